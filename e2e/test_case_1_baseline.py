"""Case 1, baseline: what every tenant uses, idle and at work, seen each second and truly.

All figures are the node agent's; each is held against what the cgroup files say before and after the same
tick. Figures go to ``reports/``.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from e2e.harness import tenants
from e2e.harness.agents import Agent
from e2e.harness.cgroups import NodeCgroups, cpu_use, read_all
from e2e.harness.cluster import Cluster, Container
from e2e.harness.figures import Summary, machine, write_report
from e2e.harness.node_agent import NodeAgent, Scrape, the_only
from e2e.harness.side_by_side import SideBySide, side_by_side
from e2e.harness.wait import NotYet, wait_until

MIB = 1 << 20
SETTLED_SECONDS = 5.0
"""A new agent's own start is no baseline."""
IDLE_SECONDS = 20.0
LOADED_SECONDS = 20.0
LOADED_CORES = 0.6
"""Of all tenants together, so that twenty of them leave the machine to the tests that run beside this one."""
LOADED_PERCENT_AT_MOST = 20
HELD_BYTES = 64 * MIB
WRITTEN_BYTES = 8 * MIB
SLOW_DEADLINE_SECONDS = 15
"""Files and processes are counted every ten seconds."""
LEVEL_TOLERANCE_BYTES = 2 * MIB
OVERHEAD_AT_MOST = 0.02
"""The specification's: of the node."""


@dataclass(frozen=True)
class Bounds:
    """The specification's, for one tenant.

    Attributes:
        cpu: of a core.
    """

    cpu: float
    memory_bytes: int
    io_bytes_per_second: float | None


IDLE = Bounds(0.05, 256 * MIB, 10_000_000)
LOADED = Bounds(0.25, 512 * MIB, None)


@dataclass(frozen=True)
class Baseline:
    """What one tenant used over some time, by the agent; levels at the end of it."""

    seconds: float
    cpu: float
    memory_bytes: int
    io_bytes: int
    io_bytes_per_second: float
    open_files: int
    processes: int
    threads: int

    def over(self, bounds: Bounds) -> list[str]:
        """What is not within the bounds."""
        io = bounds.io_bytes_per_second
        found = {
            f"cpu {self.cpu:.3f}": self.cpu >= bounds.cpu,
            f"memory {self.memory_bytes}": self.memory_bytes >= bounds.memory_bytes,
            f"I/O {self.io_bytes_per_second:.0f}": io is not None and self.io_bytes_per_second >= io,
        }
        return [text for text, over in found.items() if over]


@dataclass
class Platform:
    """The tenants of one run, and the figures found on the way."""

    cluster: Cluster
    names: list[str]
    agent: NodeAgent
    first: Scrape
    figures: dict[str, Any] = field(default_factory=dict)

    def tenant(self, name: str) -> Agent:
        return Agent(self.cluster, name, "agent")

    def containers(self) -> list[Container]:
        return [item for name in self.names for item in self.cluster.running(name)]

    def baselines(
        self, seconds: float, meanwhile: Callable[[], object] = lambda: None
    ) -> dict[str, Baseline]:
        """Of every tenant over some time; at both ends the agent is held against the files."""
        containers = self.containers()
        start = self.compared(containers)
        meanwhile()
        time.sleep(max(0.0, start.scrape.answered_seconds + seconds - time.time()))  # what is measured
        end = self.compared(containers)
        return {item.namespace: baseline(item, start.scrape, end.scrape) for item in containers}

    def compared(self, containers: list[Container]) -> SideBySide:
        found = side_by_side(self.agent, containers)
        assert not found.outside()
        return found


def baseline(container: Container, start: Scrape, end: Scrape) -> Baseline:
    seconds = end.tick_seconds - start.tick_seconds

    def increase(name: str) -> float:
        return end.container(name, container) - start.container(name, container)

    io_bytes = int(increase("io_read_bytes_total") + increase("io_written_bytes_total"))
    return Baseline(
        seconds=seconds,
        cpu=increase("cpu_usage_seconds_total") / seconds,
        memory_bytes=int(end.container("memory_working_set_bytes", container)),
        io_bytes=io_bytes,
        io_bytes_per_second=io_bytes / seconds,
        open_files=int(end.container("open_files", container)),
        processes=int(end.container("processes", container)),
        threads=int(end.container("threads", container)),
    )


def spread(of: dict[str, Baseline]) -> dict[str, Summary]:
    """Over the tenants, each figure of their baselines."""
    each = [asdict(found) for found in of.values()]
    return {name: Summary.of([found[name] for found in each]) for name in each[0]}


@pytest.fixture(scope="module")
def platform(
    cluster: Cluster, controller: Container, node_agents: dict[str, NodeAgent], tenant_count: int
) -> Iterator[Platform]:
    """Tenants with a quota and an agent each, all on one node, followed by its node agent."""
    suffixes = [f"t{number:02d}" for number in range(tenant_count)]
    with cluster.temporary_namespaces("case1", *suffixes) as names:
        for name in names:
            cluster.apply(tenants.quota(name, cpu="1", memory="512Mi"))
            cluster.apply(tenants.agent("agent", name, scratch=True))
        containers = [container for name in names for container in cluster.wait_ready(name, 1)]
        agent = the_only(node_agents, {container.node for container in containers})
        for name in names:
            Agent(cluster, name, "agent").wait_answering()
        wait_until(
            lambda: all_counted(agent, containers), what="every tenant to be followed", deadline_seconds=30
        )
        time.sleep(SETTLED_SECONDS)
        made = Platform(cluster, names, agent, agent.next_tick())
        yield made
        figures = {"machine": machine(cluster.version), "tenants": tenant_count, **made.figures}
        write_report(f"case_1_baseline_{tenant_count}_tenants", figures)


def all_counted(agent: NodeAgent, containers: list[Container]) -> bool:
    """The agent knows all figures of every container; NotYet names what is missing."""
    scrape = agent.scrape()
    return all(scrape.container("open_files", container) > 0 for container in containers)


def test_idle_tenants(platform: Platform) -> None:
    found = platform.baselines(IDLE_SECONDS)
    platform.figures["idle"] = spread(found)
    assert not {name: over for name, each in found.items() if (over := each.over(IDLE))}
    assert all(each.processes == 1 for each in found.values())


def test_tenants_at_work(platform: Platform) -> None:
    percent = max(1, min(LOADED_PERCENT_AT_MOST, round(LOADED_CORES / len(platform.names) * 100)))
    for name in platform.names:
        platform.tenant(name).hold(HELD_BYTES)
        platform.tenant(name).burn(1, percent=percent)

    def write() -> None:
        for name in platform.names:
            platform.tenant(name).write(WRITTEN_BYTES)

    try:
        found = platform.baselines(LOADED_SECONDS, write)
    finally:
        for name in platform.names:
            platform.tenant(name).burn(0)
    platform.figures["at_work"] = {"percent_of_a_core_each": percent, **spread(found)}
    assert not {name: over for name, each in found.items() if (over := each.over(LOADED))}
    assert all(each.memory_bytes > HELD_BYTES for each in found.values())
    assert all(each.io_bytes >= WRITTEN_BYTES for each in found.values())
    assert all(each.processes == 2 for each in found.values()), "the agent and its burner"


def test_levels_are_those_of_the_files(platform: Platform) -> None:
    """Memory each second; open files and processes within the ten seconds in which they are counted anew."""
    for number, name in enumerate(platform.names):
        platform.tenant(name).hold((number % 4) * 16 * MIB)
        platform.tenant(name).open_files(number * 5)
        platform.tenant(name).start_processes(number % 3)
    containers = platform.containers()
    cgroups = NodeCgroups(platform.agent.node)

    def same() -> bool:
        scrape, counts = platform.agent.scrape(), cgroups.count(containers)
        others = [
            f"{item}: {told} by the agent, {counts[item]}"
            for item in containers
            if (told := (int(scrape.container("processes", item)), int(scrape.container("open_files", item))))
            != (counts[item].processes, counts[item].open_files)
        ]
        if others:
            raise NotYet("; ".join(others[:3]))
        return True

    wait_until(same, what="the same files and processes", deadline_seconds=SLOW_DEADLINE_SECONDS)
    found = platform.compared(containers)
    differences = [
        abs(found.scrape.container("memory_usage_bytes", item) - found.after[item].memory_used_bytes)
        for item in containers
    ]
    platform.figures["memory_difference_bytes"] = Summary.of(differences)
    assert max(differences) < LEVEL_TOLERANCE_BYTES


def test_every_second_was_sampled_and_it_cost_next_to_nothing(platform: Platform) -> None:
    """Over the whole case, the tests before this one included."""
    last = platform.agent.next_tick()
    elapsed = last.tick_seconds - platform.first.tick_seconds

    def increase(name: str) -> float:
        return last.value(f"tenantquota_node_{name}") - platform.first.value(f"tenantquota_node_{name}")

    before = read_all([platform.agent.itself])[platform.agent.itself]
    time.sleep(10)  # the window that is measured
    use = cpu_use(before, read_all([platform.agent.itself])[platform.agent.itself])
    over_the_case = (
        last.value("process_cpu_seconds_total") - platform.first.value("process_cpu_seconds_total")
    ) / elapsed
    cores = os.cpu_count() or 1
    platform.figures["sampling"] = {
        "seconds": elapsed,
        "ticks": increase("ticks_total"),
        "missed": increase("ticks_missed_total"),
        "late": increase("ticks_late_total"),
        "read_errors": sum(last.samples.get("tenantquota_node_read_errors_total", {}).values()),
    }
    platform.figures["overhead"] = {
        "part_of_the_node": over_the_case / cores,
        "millicores": over_the_case * 1000,
        "idle_millicores_of_its_cgroup": use.millicores,
        "memory_bytes": before.memory_used_bytes,
        "followed_containers": last.value("tenantquota_node_containers"),
    }
    assert increase("ticks_missed_total") == 0
    assert increase("ticks_total") == pytest.approx(elapsed, abs=1.5)
    assert over_the_case / cores < OVERHEAD_AT_MOST
