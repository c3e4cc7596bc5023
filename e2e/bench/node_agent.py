"""What the node agent costs on a real node, everything included, for ever more containers of the same sort.

Its pod's cgroups say so: sampling, deciding, its watches, its report, and answering Prometheus. Containers
are idle, as most agents are most of the time; then some burst; then they want more CPU than there is.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from e2e.harness import tenants
from e2e.harness.agents import Agent
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import Cluster, Container, Manifest
from e2e.harness.node_agent import NodeAgent, Scrape
from e2e.harness.readings import CpuUse, Reading, cpu_use
from e2e.harness.wait import NotYet, wait_until

CONTAINERS: Final = (50, 150, 250)
CONTAINERS_PER_POD: Final = 5
"""A node holds 110 pods as Kubernetes comes: as many containers fit if each pod has several."""
PODS_PER_TENANT: Final = 5
SCRAPE_SECONDS: Final = 15
"""As a Prometheus would ask."""
REQUESTS: Final = {"cpu": "1m", "memory": "4Mi"}


@dataclass(frozen=True)
class Workload:
    """What agents do, others every SCRAPE_SECONDS.

    Attributes:
        at_once: how many do something.
        percent: of a core each.
    """

    name: str
    at_once: int
    percent: int


WORKLOADS: Final = (Workload("idle", 0, 0), Workload("busy", 5, 15), Workload("saturating", 1000, 100))


@dataclass(frozen=True)
class Cost:
    """What the agent cost over some time.

    Attributes:
        workload: its name.
        working_set_bytes: kernel memory in it.
        usage_bytes: with the page cache.
        report_bytes: of its last report, as JSON.
        reports_per_minute: that the API server took.
        reasons: for which reports were made, and how many of each.
        tick_seconds: of the last tick.
        period_error_p99_seconds: at most so much did the time between two ticks miss the second.
    """

    containers: int
    workload: str
    seconds: float
    millicores: float
    working_set_bytes: int
    usage_bytes: int
    report_bytes: int
    reports_per_minute: float
    reasons: dict[str, int]
    tick_seconds: float
    period_error_p99_seconds: float
    late_ticks: int
    missed_ticks: int

    @property
    def millicores_per_container(self) -> float:
        return self.millicores / self.containers


def measure(
    cluster: Cluster,
    agent: NodeAgent,
    *,
    containers: Sequence[int],
    seconds: float,
    say: Callable[[str], None],
) -> list[Cost]:
    """The agent's cost for each number of containers on its node, idle and busy.

    Raises:
        DeadlineExceededError: when the pods don't come up, or the agent doesn't find them.
    """
    costs = []
    with _tenants(cluster, agent.node, max(containers)) as grow:
        for count in sorted(containers):
            say(f"starting up to {count} containers on node {agent.node}")
            running = grow(count)
            wait_until(
                lambda count=count: _followed(agent, count),  # type: ignore[misc]
                what=f"the agent to follow {count} containers",
                deadline_seconds=60,
                poll_seconds=1,
            )
            time.sleep(15)  # past the first looks, which are at everything
            able = [
                Agent(cluster, item.namespace, item.pod) for item in running if item.name == tenants.CONTAINER
            ]
            for workload in WORKLOADS:
                costs.append(_over(agent, count, workload, seconds, able))
                say(_line(costs[-1]))
        say("removing the pods")
    return costs


def _line(cost: Cost) -> str:
    return (
        f"{cost.containers:4} containers {cost.workload}: {cost.millicores:.2f}m,"
        f" {cost.millicores_per_container:.3f}m each, {cost.working_set_bytes / (1 << 20):.1f} MiB,"
        f" {cost.reports_per_minute:.1f} reports of {cost.report_bytes} bytes a minute"
    )


@contextmanager
def _tenants(cluster: Cluster, node: str, most: int) -> Iterator[Callable[[int], list[Container]]]:
    """Namespaces with a quota each, empty at first, and what fills them up to a number of containers."""
    count = -(-most // (PODS_PER_TENANT * CONTAINERS_PER_POD))
    with cluster.temporary_namespaces("bench", *(f"t{number:02d}" for number in range(count))) as names:
        for name in names:
            cluster.apply(tenants.quota(name, cpu="200m", memory="64Mi", requests=REQUESTS))

        def grow(containers: int) -> list[Container]:
            pods = containers // CONTAINERS_PER_POD
            replicas = {
                name: max(0, min(PODS_PER_TENANT, pods - number * PODS_PER_TENANT))
                for number, name in enumerate(names)
            }
            for name, wanted in replicas.items():
                cluster.apply(_deployment(name, node, wanted))
            return [
                container
                for name, wanted in replicas.items()
                if wanted
                for container in cluster.wait_ready(name, wanted, deadline_seconds=60 + 10 * pods)
            ]

        yield grow


def _deployment(namespace: str, node: str, replicas: int) -> Manifest:
    """Pods of several agents, each on a port of its own."""
    manifest = tenants.agents("agents", namespace, replicas=replicas, node=node)
    spec = manifest["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    spec["containers"] = [
        container
        | {
            "name": f"{container['name']}{number}" if number else container["name"],
            "args": ["--port", str(tenants.PORT + number)],
            "ports": [{"containerPort": tenants.PORT + number}],
            "resources": {"requests": REQUESTS},
        }
        for number in range(CONTAINERS_PER_POD)
    ]
    return manifest


def _followed(agent: NodeAgent, count: int) -> bool:
    followed = agent.scrape().value("tenantquota_node_containers")
    if followed < count:
        raise NotYet(f"it follows {followed:.0f}")
    return True


def _over(agent: NodeAgent, count: int, workload: Workload, seconds: float, able: Sequence[Agent]) -> Cost:
    """The agent's cost over some time in which it is asked for its metrics now and then."""
    cgroups, containers = NodeCgroups(agent.node), agent.containers()
    first, before = agent.scrape(), cgroups.read(containers)
    turns = max(1, round(seconds / SCRAPE_SECONDS))
    for turn in range(turns):
        at_work = _some(able, turn, workload.at_once)
        for one in at_work:
            one.burn(1, percent=workload.percent)
        time.sleep(seconds / turns)
        for one in at_work:
            one.burn(0)
        last = agent.scrape()
    after = cgroups.read(containers)
    uses = [cpu_use(before[container], after[container]) for container in containers]
    return _cost(count, workload.name, uses, list(after.values()), (first, last))


def _some(able: Sequence[Agent], turn: int, count: int) -> list[Agent]:
    """The next ``count``, or all of them."""
    start = turn * count
    return [able[(start + number) % len(able)] for number in range(min(count, len(able)))]


def _cost(
    count: int,
    workload: str,
    uses: Sequence[CpuUse],
    readings: Sequence[Reading],
    scrapes: tuple[Scrape, Scrape],
) -> Cost:
    """Of all containers of the agent's pod: what they used meanwhile, and how they were at the end."""
    first, last = scrapes

    def increase(name: str, **labels: str) -> float:
        return last.value(f"tenantquota_node_{name}", **labels) - first.value(
            f"tenantquota_node_{name}", **labels
        )

    minutes = (last.answered_seconds - first.answered_seconds) / 60
    reasons = [labels["reason"] for labels in last.labels("tenantquota_node_reports_total")]
    return Cost(
        containers=count,
        workload=workload,
        seconds=max(use.seconds for use in uses),
        millicores=sum(use.millicores for use in uses),
        working_set_bytes=sum(reading.working_set_bytes for reading in readings),
        usage_bytes=sum(reading.memory_used_bytes for reading in readings),
        report_bytes=int(last.value("tenantquota_node_report_size_bytes")),
        reports_per_minute=increase("reports_written_total") / minutes,
        reasons={reason: int(increase("reports_total", reason=reason)) for reason in sorted(reasons)},
        tick_seconds=last.value("tenantquota_node_tick_duration_seconds"),
        period_error_p99_seconds=last.quantile("tenantquota_node_period_error_seconds", 0.99, first),
        late_ticks=int(increase("ticks_late_total")),
        missed_ticks=int(increase("ticks_missed_total")),
    )
