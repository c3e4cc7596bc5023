"""The show: two tenants, a hog and a quiet agent, and limits that are in the kernel. Run: ``make demo``.

Every command that is printed is the one that runs, so that all of it can be typed again.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kubernetes.utils.quantity import parse_quantity

from e2e.cluster.settings import REPOSITORY
from e2e.harness import tenants
from e2e.harness.cgroups import NodeCgroups, Reading, cpu_use, read_all
from e2e.harness.cluster import POD, TENANT_QUOTA, Cluster, Container, NoClusterError
from e2e.harness.controller import find_controller
from e2e.harness.limit_watch import Limit, LimitsMissingError, LimitWatch
from e2e.harness.wait import DeadlineExceededError

QUOTA: Final = "agents"
"""The name of both quotas in examples/tenants.yaml."""
WINDOW_SECONDS: Final = 2.0
EDITED_CPU_MILLICORES: Final = 400
ACTIVE_WITHIN_SECONDS: Final = 60


@dataclass(frozen=True)
class Shown:
    """An agent of examples/agents.yaml."""

    tenant: str
    deployment: str


AGENTS: Final = (Shown("acme", "hog"), Shown("globex", "quiet"))


class Terminal:
    """What the audience sees."""

    def __init__(self, cluster: Cluster) -> None:
        self._start = time.monotonic()
        current = subprocess.run(
            ["kubectl", "config", "current-context"], capture_output=True, text=True, check=False
        )
        elsewhere = current.stdout.strip() != cluster.context
        self._kubectl = ["kubectl", *(["--context", cluster.context] if elsewhere else [])]

    def say(self, text: str = "") -> None:
        print(text, flush=True)

    def title(self, text: str) -> None:
        self.say(f"\n[{time.monotonic() - self._start:4.1f} s] {text}")

    def kubectl(self, *arguments: str) -> None:
        """Shows the command, and runs it.

        Raises:
            subprocess.CalledProcessError: when it fails; it has said why.
        """
        command = [*self._kubectl, *arguments]
        self.say(f"$ {shlex.join(command)}")
        subprocess.run(command, cwd=REPOSITORY, check=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        lines = [header, *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.say("  " + "   ".join(cells).rstrip())


def main() -> int:
    try:
        cluster = Cluster()
        find_controller(cluster)
        show(cluster, Terminal(cluster))
    except (NoClusterError, DeadlineExceededError, LimitsMissingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: '{shlex.join(error.cmd)}' ended with code {error.returncode}", file=sys.stderr)
        return 1
    return 0


def show(cluster: Cluster, terminal: Terminal) -> None:
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

    terminal.title("That was it; the cluster stays up. What to try next:")
    terminal.say(NEXT.format(hog=hog.pod))


def await_quotas(cluster: Cluster, running: Sequence[Container]) -> None:
    """Returns at once where the agents are new; those of an earlier show may have other limits still."""
    wanted = {
        item: Limit(cpu_millicores=int(parse_quantity(quota_limits(cluster, item)["cpu"]) * 1000))
        for item in running
    }
    with LimitWatch(wanted, deadline_seconds=ACTIVE_WITHIN_SECONDS) as watch:
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
    with LimitWatch(wanted, deadline_seconds=ACTIVE_WITHIN_SECONDS) as watch:
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


NEXT: Final = """
  kubectl explain tenantquota.spec                      what a quota can say
  kubectl edit tenantquota agents -n acme               another limit; the cgroup follows within a second
  kubectl describe tenantquota agents -n acme           conditions, and the last decisions with their reasons

  kubectl run free -n acme --image tenantquota/agent:dev
  kubectl get pod free -n acme -o jsonpath='{{.spec.containers[0].resources}}'
                                                        a pod that declares nothing is born with limits

  kubectl create --raw '/api/v1/namespaces/acme/pods/{hog}:8080/proxy/hold?bytes=500000000' -f /dev/null
  kubectl get pods -n acme                              too much memory: the request ends in EOF, the
                                                        container is OOMKilled and comes back within its limit

  kubectl delete -f examples/tenants.yaml               ends the show

  make test                                             every test, the cluster's too
  make bench                                            how fast an edit reaches 50 pods
  make down                                             the cluster is gone
"""


if __name__ == "__main__":
    sys.exit(main())
