"""Case 1, baseline: what every tenant uses, idle and at work, seen each second and truly.

All figures are the node agent's; each is held against what the cgroup files say before and after the same
tick.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import pytest

from e2e.harness import many, served
from e2e.harness.beside import Beside
from e2e.harness.cgroups import NodeCgroups, read_all
from e2e.harness.cluster import Cluster, Container
from e2e.harness.contamination import Contamination
from e2e.harness.figures import Summary
from e2e.harness.leaking import Leaking
from e2e.harness.node_agent import NodeAgent, Scrape, the_only
from e2e.harness.readings import cpu_use
from e2e.harness.recording import About
from e2e.harness.served import Tenant
from e2e.harness.services import Services
from e2e.harness.sessions import ServedAgent, Sessions
from e2e.harness.side_by_side import SideBySide, side_by_side
from e2e.harness.wait import NotYet, wait_until
from e2e.results import Chart, Line, Recorder

CASE: Final = About(
    1,
    "Baseline",
    "What every tenant uses, idle and at work, by the operator's node agent and by the kernel's files.",
)
MB: Final = 1_000_000
MIB: Final = 1 << 20
SETTLED_SECONDS: Final = 5.0
"""A new agent's own start is no baseline."""
IDLE_SECONDS: Final = 12.0
"""An idle agent's own work, the renewal of its sessions, comes every two seconds."""
LOADED_SECONDS: Final = 12.0
LOADED_CORES: Final = 0.6
"""Of all tenants together, however many these are."""
LOADED_PERCENT_AT_MOST: Final = 20
HELD_BYTES: Final = 64 * MIB
WRITTEN_BYTES: Final = 8 * MIB
STIR_MILLISECONDS: Final = 4.0
SLOW_DEADLINE_SECONDS: Final = 15
"""Files and processes are counted every ten seconds."""
LEVEL_TOLERANCE_BYTES: Final = 2 * MIB


@dataclass(frozen=True)
class Bounds:
    """The specification's for one tenant, and the project's own where they are stricter.

    Attributes:
        cpu_percent: of a core.
    """

    cpu_percent: float
    memory_mb: float
    io_mb_per_second: float | None = None
    cpu_percent_goal: float | None = None
    memory_mb_goal: float | None = None


IDLE: Final = Bounds(5, 256, 10, cpu_percent_goal=0.5, memory_mb_goal=42)
LOADED: Final = Bounds(25, 512)
OVERHEAD_PERCENT: Final = 2.0
"""The specification's: of the node."""


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


Baselines = dict[str, dict[str, Baseline]]
"""By what the tenants do, and by tenant."""


@dataclass
class Platform:
    """The tenants of one run."""

    cluster: Cluster
    services: Services
    sessions: Sessions
    tenants: list[Tenant]
    contamination: Contamination
    agent: NodeAgent
    first: Scrape

    def agents(self) -> list[ServedAgent]:
        return [ServedAgent(self.sessions, tenant) for tenant in self.tenants]

    def containers(self) -> list[Container]:
        return [item for tenant in self.tenants for item in self.cluster.running(tenant.name)]

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
        found = side_by_side(self.agent, containers, self.stir)
        assert not found.outside()
        return found

    def stir(self) -> None:
        many.each(lambda agent: agent.work(STIR_MILLISECONDS), self.agents())


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


def spread(of: Mapping[str, Baseline]) -> dict[str, Any]:
    """Over the tenants, each figure of their baselines."""
    each = [asdict(found) for found in of.values()]
    return {name: asdict(Summary.of([found[name] for found in each])) for name in each[0]}


def note(record: Recorder, state: str, found: Mapping[str, Baseline], bounds: Bounds) -> None:
    """The most that a tenant used, beside what it may."""
    every = found.values()
    record.bound(
        f"CPU of {state}, the most of a core",
        max(each.cpu for each in every) * 100,
        "%",
        at_most=bounds.cpu_percent,
        goal=bounds.cpu_percent_goal,
    )
    record.bound(
        f"memory of {state}, the most",
        max(each.memory_bytes for each in every) / MB,
        "MB",
        at_most=bounds.memory_mb,
        goal=bounds.memory_mb_goal,
    )
    if bounds.io_mb_per_second is not None:
        record.bound(
            f"I/O of {state}, the most",
            max(each.io_bytes_per_second for each in every) / MB,
            "MB/s",
            at_most=bounds.io_mb_per_second,
        )


def charts(found: Mapping[str, Mapping[str, Baseline]]) -> list[Chart]:
    """A bar for each tenant, idle and at work."""
    names = sorted(next(iter(found.values())))

    def bars(of: Callable[[Baseline], float]) -> list[Line]:
        return [
            Line(name=state, points=[(number, round(of(each[name]), 2)) for number, name in enumerate(names)])
            for state, each in found.items()
        ]

    short = [name.rpartition("-")[2] for name in names]
    return [
        Chart(
            title="CPU of every tenant",
            unit="m",
            x="tenant",
            bars=short,
            lines=bars(lambda each: each.cpu * 1000),
            limits={"idle at most": IDLE.cpu_percent * 10, "at work at most": LOADED.cpu_percent * 10},
        ),
        Chart(
            title="Memory of every tenant",
            unit="MB",
            x="tenant",
            bars=short,
            lines=bars(lambda each: each.memory_bytes / MB),
            limits={"idle at most": IDLE.memory_mb, "at work at most": LOADED.memory_mb},
        ),
    ]


@pytest.fixture(scope="module")
def baselines(record: Recorder) -> Iterator[Baselines]:
    """By what the tenants do, and by tenant; charts are made of them in the end."""
    found: dict[str, dict[str, Baseline]] = {}
    yield found
    record.figures |= {state: spread(of) for state, of in found.items()}
    if found:
        record.charts += charts(found)


@pytest.fixture(scope="module")
def platform(
    cluster: Cluster,
    services: Services,
    sessions: Sessions,
    controller: Container,
    leaks: Beside[Leaking],
    node_agents: dict[str, NodeAgent],
    tenant_count: int,
) -> Iterator[Platform]:
    """Tenants with a quota and an agent each, all on one node, followed by its node agent."""
    suffixes = [f"t{number:02d}" for number in range(tenant_count)]
    with served.serving(cluster, services, "case1", *suffixes, cpu="1", memory="512Mi") as made:
        containers = [item for tenant in made for item in cluster.running(tenant.name)]
        agent = the_only(node_agents, {container.node for container in containers})
        wait_until(
            lambda: all_counted(agent, containers),
            what="every tenant to be followed",
            deadline_seconds=30,
            poll_seconds=1.0,
        )
        platform = Platform(
            cluster, services, sessions, made, Contamination(made), agent, first=agent.scrape()
        )
        platform.contamination.plant()
        many.each(ServedAgent.wait_answering, platform.agents())
        time.sleep(SETTLED_SECONDS)
        platform.first = agent.next_tick()
        yield platform


def all_counted(agent: NodeAgent, containers: list[Container]) -> bool:
    """The agent knows all figures of every container; NotYet names what is missing."""
    scrape = agent.scrape()
    return all(scrape.container("open_files", container) > 0 for container in containers)


def test_idle_tenants(platform: Platform, baselines: Baselines, record: Recorder) -> None:
    """Every idle tenant is within the bounds, and so is what the operator needs to see it."""
    itself = platform.agent.itself
    before = read_all([itself])[itself]
    found = platform.baselines(IDLE_SECONDS)
    use = cpu_use(before, read_all([itself])[itself])
    record.figures["node_agent_idle_millicores"] = round(use.millicores, 2)
    baselines["idle"] = found
    assert all(each.processes == 1 for each in found.values())
    note(record, "an idle tenant", found, IDLE)


def test_tenants_at_work(platform: Platform, baselines: Baselines, record: Recorder) -> None:
    """Every tenant that works is within the bounds: some CPU, 64 MiB, 8 MiB written."""
    agents = platform.agents()
    percent = max(1, min(LOADED_PERCENT_AT_MOST, round(LOADED_CORES / len(agents) * 100)))

    def begin(agent: ServedAgent) -> None:
        agent.hold(HELD_BYTES)
        agent.burn(1, percent=percent)

    many.each(begin, agents)
    try:
        found = platform.baselines(
            LOADED_SECONDS, lambda: many.each(lambda agent: agent.write(WRITTEN_BYTES), agents)
        )
    finally:
        many.each(lambda agent: agent.burn(0), agents)
    record.figures["percent_of_a_core_each"] = percent
    baselines["at work"] = found
    assert all(each.memory_bytes > HELD_BYTES for each in found.values())
    assert all(each.io_bytes >= WRITTEN_BYTES for each in found.values())
    assert all(each.processes == 2 for each in found.values()), "the agent and its burner"
    note(record, "a tenant at work", found, LOADED)


def test_levels_are_those_of_the_files(platform: Platform, record: Recorder) -> None:
    """Memory each second; open files and processes within the ten seconds in which they are counted anew."""

    def change(numbered: tuple[int, ServedAgent]) -> None:
        number, agent = numbered
        agent.hold((number % 4) * 16 * MIB)
        agent.keep(files=number * 5, processes=number % 3)

    many.each(change, enumerate(platform.agents()))
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
    record.figures["memory_difference_bytes"] = asdict(Summary.of(differences))
    assert max(differences) < LEVEL_TOLERANCE_BYTES


def test_every_second_was_sampled_and_it_cost_next_to_nothing(platform: Platform, record: Recorder) -> None:
    """Over the whole case, the tests before this one included."""
    last = platform.agent.next_tick()
    elapsed = last.tick_seconds - platform.first.tick_seconds

    def increase(name: str) -> float:
        return last.value(f"tenantquota_node_{name}") - platform.first.value(f"tenantquota_node_{name}")

    over_the_case = (
        last.value("process_cpu_seconds_total") - platform.first.value("process_cpu_seconds_total")
    ) / elapsed
    itself = platform.agent.itself
    record.figures["sampling"] = {
        "seconds": elapsed,
        "ticks": increase("ticks_total"),
        "missed": increase("ticks_missed_total"),
        "late": increase("ticks_late_total"),
        "read_errors": sum(last.samples.get("tenantquota_node_read_errors_total", {}).values()),
        "millicores": over_the_case * 1000,
        "memory_bytes": read_all([itself])[itself].memory_used_bytes,
        "followed_containers": last.value("tenantquota_node_containers"),
    }
    assert increase("ticks_missed_total") == 0
    assert increase("ticks_total") == pytest.approx(elapsed, abs=1.5)
    record.bound(
        "CPU of the node agent over the case, of the node",
        over_the_case / (os.cpu_count() or 1) * 100,
        "%",
        at_most=OVERHEAD_PERCENT,
    )


def test_tenants_are_kept_apart(platform: Platform, record: Recorder) -> None:
    """No reply, key or row of a tenant has another's canary."""
    platform.contamination.search(platform.services)
    platform.contamination.note(record)
