"""Limits that are in the kernel: two tenants, a hog and a quiet agent."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kubernetes.utils.quantity import parse_quantity

from e2e.demo.terminal import Terminal
from e2e.harness import tenants
from e2e.harness.agents import Agent
from e2e.harness.cgroups import NodeCgroups, read_all
from e2e.harness.cluster import POD, TENANT_QUOTA, Cluster, Container
from e2e.harness.limit_watch import Limit, LimitWatch
from e2e.harness.readings import Reading, cpu_use
from e2e.specification import QUOTA_ACTIVE_WITHIN_SECONDS

QUOTA: Final = "agents"
"""The name of both quotas in examples/tenants.yaml."""
WINDOW_SECONDS: Final = 2.0
EDITED_CPU_MILLICORES: Final = 400
HOG_CORES: Final = 2
"""As examples/agents.yaml has it; one of an earlier show is quiet by now."""


@dataclass(frozen=True)
class Shown:
    """An agent of examples/agents.yaml."""

    tenant: str
    deployment: str


AGENTS: Final = (Shown("acme", "hog"), Shown("globex", "quiet"))


def show(cluster: Cluster, terminal: Terminal) -> Container:
    """Quotas, agents, an edit; returns acme's hog, which is quiet in the end.

    Raises:
        DeadlineExceededError, LimitsMissingError: when a limit doesn't reach the kernel in time.
        subprocess.CalledProcessError: when a command fails; it has said why.
    """
    terminal.title("Two tenants, a TenantQuota each")
    terminal.kubectl("apply", "-f", "examples/tenants.yaml")

    terminal.title("Their agents: acme's burns two cores, globex's is quiet; neither declares a limit")
    terminal.kubectl("apply", "-f", "examples/agents.yaml")
    running = [
        container
        for agent in AGENTS
        for container in cluster.wait_ready(agent.tenant, 1, selector=f"app={agent.deployment}")
    ]
    hog = running[0]
    works = Agent(cluster, hog.namespace, hog.pod)
    works.wait_answering()  # it is Ready before it answers, having no probe
    works.burn(HOG_CORES)
    await_quotas(cluster, running)

    terminal.title(
        f"Their limits, as Kubernetes says and as the kernel has them, and {WINDOW_SECONDS:.0f} s of use"
    )
    show_limits(cluster, terminal, running)
    terminal.say("\n  The kernel's side is read from files such as these of acme's hog:")
    for directory in sorted(NodeCgroups(hog.node).directories(hog)):
        if not directory.startswith("cpuacct"):
            terminal.say(f"  {hog.node}:/sys/fs/cgroup/{directory.removeprefix('./')}")

    terminal.title("acme's quota is edited while its hog runs")
    show_edit(cluster, terminal, hog)
    show_limits(cluster, terminal, running)

    terminal.title("What the operator says about it")
    terminal.kubectl("get", "tenantquotas", "--all-namespaces")
    terminal.kubectl("events", "--namespace", hog.namespace, "--for", f"tenantquota/{QUOTA}")
    works.burn(0)
    return hog


def await_quotas(cluster: Cluster, running: Sequence[Container]) -> None:
    """Returns at once where the agents are new; those of an earlier show may have other limits still."""
    wanted = {
        item: Limit(cpu_millicores=int(parse_quantity(quota_limits(cluster, item)["cpu"]) * 1000))
        for item in running
    }
    with LimitWatch(wanted, deadline_seconds=QUOTA_ACTIVE_WITHIN_SECONDS) as watch:
        watch.arrivals()


def show_limits(cluster: Cluster, terminal: Terminal, running: Sequence[Container]) -> None:
    before = read_all(running)
    time.sleep(WINDOW_SECONDS)  # the window that is measured
    after = read_all(running)
    rows = []
    for container in running:
        use, reading = cpu_use(before[container], after[container]), after[container]
        pod = cluster.get(POD, container.pod, container.namespace)
        in_status = pod["status"]["containerStatuses"][0]["resources"]["limits"]
        rows.append(
            (
                container.namespace,
                container.pod.partition("-")[0],
                both(quota_limits(cluster, container)),
                both(pod["spec"]["containers"][0]["resources"]["limits"]),
                both(in_status),
                in_kernel(reading),
                f"{use.millicores:.0f}m",
                f"{use.throttled_periods} of {use.periods}" if use.periods else "none",
                str(container.restarts),
            )
        )
    header = (
        "TENANT",
        "AGENT",
        "QUOTA",
        "POD SPEC",
        "POD STATUS",
        "CGROUP",
        "CPU USED",
        "THROTTLED",
        "RESTARTS",
    )
    terminal.table(header, rows)


def show_edit(cluster: Cluster, terminal: Terminal, hog: Container) -> None:
    patch = tenants.limits(cpu=f"{EDITED_CPU_MILLICORES}m")
    wanted = {hog: Limit(cpu_millicores=EDITED_CPU_MILLICORES)}
    with LimitWatch(wanted, deadline_seconds=QUOTA_ACTIVE_WITHIN_SECONDS) as watch:
        start = time.time()
        terminal.kubectl(
            *("patch", "tenantquota", QUOTA, "--namespace", hog.namespace),
            *("--type", "merge", "--patch", json.dumps(patch, separators=(",", ":"))),
        )
        seconds = watch.arrivals()[hog] - start
    (now,) = (item for item in cluster.running(hog.namespace) if item.pod == hog.pod)
    same = "the same container" if now.id == hog.id else f"ANOTHER container, {now.id[:12]}"
    terminal.say(
        f"  {seconds:.2f} s after Enter the cgroup file held {EDITED_CPU_MILLICORES}m;"
        f" {same}, {now.restarts - hog.restarts} restarts.\n"
    )


def quota_limits(cluster: Cluster, container: Container) -> dict[str, str]:
    quota = cluster.get(TENANT_QUOTA, QUOTA, container.namespace)
    limits: dict[str, str] = quota["spec"]["container"]["limits"]
    return limits


def both(limits: dict[str, str]) -> str:
    return f"{limits['cpu']} {limits['memory']}"


def in_kernel(reading: Reading) -> str:
    cpu = "no limit" if reading.cpu_limit_millicores is None else f"{reading.cpu_limit_millicores}m"
    memory = "no limit" if reading.memory_limit_bytes is None else f"{reading.memory_limit_bytes >> 20}Mi"
    return f"{cpu} {memory}"
