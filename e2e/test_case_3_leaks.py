"""Case 3, leaks: found in time and named, not mistaken for bursts, and felt by nobody else.

Every leak has a tenant of its own, and all of them run side by side, once, beside tenants whose use goes up
and down: what was told, and when, is looked at by each test. Times are this machine's, from the first thing
that an agent leaks. The leak of memory goes on until the quota's limit ends it; the others end as they are
found. Runaway CPU counts from ``spec.leaks.cpuSeconds`` on, here a minute instead of five.

Not here: slow leaks (5 MiB a minute) take a quarter of an hour to be told from work. The unit tests of the
detectors have those. Figures go to ``reports/``.
"""

import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

import pytest

from e2e.harness import tenants
from e2e.harness.agents import Agent
from e2e.harness.cgroups import CgroupError, NodeCgroups, Reading
from e2e.harness.cluster import NODE, POD, Cluster, Container, Manifest, condition
from e2e.harness.figures import machine, write_report
from e2e.harness.leaks import Course, Found, Leak, Teller, Told, growing
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.wait import NotYet, wait_until

AIM_SECONDS: Final = 60
"""The specification's. Beside the work of recorded agents 96 % of leaks of memory are found by then, and 98 %
by twice that (docs/decisions/0019)."""
FOUND_WITHIN_SECONDS: Final = 2 * AIM_SECONDS
"""Asserted; what was measured is in the report."""
CPU_SECONDS: Final = 60
"""For so long the CPU must be high."""
OVER_WITHIN_SECONDS: Final = 120
"""The specification's for recovery."""
MIB: Final = 1 << 20
WORKER: Final = "worker"
"""The name of each tenant's pod."""
LOOK_SECONDS: Final = 1.0
WORK_UNITS: Final = 1000
CPU_MILLICORES: Final = 200
MEMORY_BYTES: Final = 120 * MIB
"""The leak comes here after more than FOUND_WITHIN_SECONDS."""
MEMORY: Final = "memory_fast"
LEAKS: Final = {
    leak.kind: leak
    for leak in (
        Leak(MEMORY, 50_000_000, growing(Agent.hold, 50_000_000)),
        Leak("open_files", 120, growing(Agent.open_files, 120)),
        Leak("processes", 30, growing(Agent.start_processes, 30)),
        Leak("cpu", CPU_MILLICORES * 60 / 1000, lambda agent, seconds: agent.burn(1 if seconds else 0)),
    )
}
TOOTH_SECONDS: Final = 30.0
TOOTH_BYTES: Final = 40 * MIB
BURST_BYTES: Final = 60 * MIB
BURST_FILES: Final = 300
BURST_PROCESSES: Final = 12
RATE_FACTOR: Final = 2.0


def sawtooth(agent: Agent) -> Told:
    """Memory grows faster than a leak and is given back, as by a collector of garbage."""
    return lambda seconds: agent.hold(round(seconds % TOOTH_SECONDS / TOOTH_SECONDS * TOOTH_BYTES))


def bursts(agent: Agent) -> Told:
    """Memory and files come and go, each at its own pace."""

    def tell(seconds: float) -> None:
        agent.hold(round(BURST_BYTES * _part(seconds, 17)))
        agent.open_files(round(BURST_FILES * _part(seconds, 23)))

    return tell


def helpers(agent: Agent) -> Told:
    """CPU and processes come and go; apart from memory, of which a child would keep what its parent had."""

    def tell(seconds: float) -> None:
        agent.burn(1 if _part(seconds, 29) > 0.5 else 0)
        agent.start_processes(round(BURST_PROCESSES * _part(seconds, 37)))

    return tell


def _part(seconds: float, period: float) -> float:
    """Up and down again between 0 and 1."""
    return 1 - abs(1 - 2 * (seconds % period) / period)


WORKERS: Final = {"sawtooth": sawtooth, "bursts": bursts, "helpers": helpers}
QUIET: Final = "quiet"


@dataclass(frozen=True)
class Outcome:
    """What came of one leak; seconds since its start.

    Attributes:
        stopped_seconds: when it was given back, or its container killed.
        over_seconds: when nothing was told of it any more.
    """

    found: Found
    stopped_seconds: float
    over_seconds: float


@dataclass
class Platform:
    """The tenants, what came of the leaks, and what was seen meanwhile of those who don't leak."""

    cluster: Cluster
    node: str
    namespaces: Mapping[str, str]
    containers: Mapping[str, Container]
    """As they were before; each by the name of its leak or work."""
    outcomes: dict[str, Future[Outcome]] = field(default_factory=dict)
    readings: dict[str, list[Reading]] = field(default_factory=dict)
    found_of_innocents: list[Manifest] = field(default_factory=list)

    @property
    def innocents(self) -> list[str]:
        return [*WORKERS, QUIET]

    def agent(self, name: str) -> Agent:
        return Agent(self.cluster, self.namespaces[name], WORKER)

    def teller(self, name: str) -> Teller:
        return Teller(self.cluster, self.node, self.namespaces[name])

    def run(self) -> None:
        """All leaks, from start to end, beside those who work."""
        with ThreadPoolExecutor(len(LEAKS)) as threads, ExitStack() as work:
            courses = [work.enter_context(Course(make(self.agent(name)))) for name, make in WORKERS.items()]
            self.outcomes = {name: threads.submit(self._leak, leak) for name, leak in LEAKS.items()}
            while not all(each.done() for each in self.outcomes.values()):
                self._look()
                time.sleep(LOOK_SECONDS)  # the pace of the figures, not a wait for something
        for course in courses:
            course.check()

    def _look(self) -> None:
        self.agent(QUIET).work(WORK_UNITS)
        for name in self.innocents:
            self.found_of_innocents += self.teller(name).findings()
        cgroups = NodeCgroups(self.node)
        for name in (*self.innocents, MEMORY):
            container = self.containers[name]
            with suppress(*((CgroupError,) if name == MEMORY else ())):  # it is killed at its limit
                self.readings.setdefault(name, []).append(cgroups.read([container])[container])

    def _leak(self, leak: Leak) -> Outcome:
        agent, teller = self.agent(leak.kind), self.teller(leak.kind)
        with Course(lambda seconds: leak.tell(agent, seconds)) as course:
            found = course.watch(teller, WORKER, leak.kind, FOUND_WITHIN_SECONDS)
            if leak.kind == MEMORY:
                stopped = course.ended(deadline_seconds=FOUND_WITHIN_SECONDS)
        if leak.kind != MEMORY:
            stopped = course.seconds()
            leak.tell(agent, 0)
        wait_until(
            teller.is_leak_free,
            what=f"the finding {leak.kind} to be over",
            deadline_seconds=OVER_WITHIN_SECONDS,
            poll_seconds=0.5,
        )
        return Outcome(found, stopped, course.seconds())

    def figures(self) -> dict[str, Any]:
        return {
            name: asdict(each.result()) if each.exception() is None else str(each.exception())
            for name, each in self.outcomes.items()
        }


@pytest.fixture(scope="module")
def platform(
    cluster: Cluster, controller: Container, node_agents: dict[str, NodeAgent]
) -> Iterator[Platform]:
    """After all leaks."""
    names = [*LEAKS, *WORKERS, QUIET]
    suffixes = [name.replace("_", "-") for name in names]
    with cluster.temporary_namespaces("case3", *suffixes) as made:
        namespaces = dict(zip(names, made, strict=True))
        for tenant in made:
            quota = tenants.quota(
                tenant,
                cpu=f"{CPU_MILLICORES}m",
                memory=str(MEMORY_BYTES),
                leaks={"cpuSeconds": CPU_SECONDS},
            )
            cluster.apply(quota, tenants.agent(WORKER, tenant))
        containers = {name: cluster.wait_ready(tenant, 1)[0] for name, tenant in namespaces.items()}
        agent = the_only(node_agents, {each.node for each in containers.values()})
        platform = Platform(cluster, agent.node, namespaces, containers)
        for name in names:
            platform.agent(name).wait_answering()
            wait_until(
                platform.teller(name).is_leak_free,
                what=f"LeakFree of {name}",
                deadline_seconds=FOUND_WITHIN_SECONDS,
            )
        platform.run()
        write_report(
            "case_3_leaks",
            {"machine": machine(cluster.version), **platform.figures()},
        )
        yield platform


@pytest.mark.parametrize("kind", LEAKS)
def test_a_leak_is_found_in_time(platform: Platform, kind: str) -> None:
    found = platform.outcomes[kind].result().found
    assert max(found.reported_seconds, found.condition_seconds) <= FOUND_WITHIN_SECONDS


@pytest.mark.parametrize("kind", LEAKS)
def test_it_is_told_how_fast_since_when_and_where(platform: Platform, kind: str) -> None:
    outcome = platform.outcomes[kind].result()
    report, start = outcome.found.report, outcome.found.start_seconds
    planted = LEAKS[kind].per_minute

    assert planted / RATE_FACTOR <= report["ratePerMinute"] <= planted * RATE_FACTOR
    assert report["name"] == tenants.CONTAINER
    told = [since_in(outcome.found.condition["message"]), since_in(outcome.found.event)]
    for since in (report["since"], *told):
        assert start - AIM_SECONDS <= seconds_of(since) <= start + outcome.found.reported_seconds
    assert ("limitInSeconds" in report) == (kind == MEMORY)


def test_it_is_told_when_the_limit_will_be_hit(platform: Platform) -> None:
    """Within the factor that holds for the rate."""
    outcome = platform.outcomes[MEMORY].result()
    found = outcome.found
    left = outcome.stopped_seconds - found.reported_seconds
    said = seconds_of(found.report["heartbeat"]) + found.report["limitInSeconds"]
    said_left = said - found.start_seconds - found.reported_seconds

    assert left / RATE_FACTOR <= said_left <= left * RATE_FACTOR
    assert "its memory limit will be hit at about" in found.condition["message"]


@pytest.mark.parametrize("kind", LEAKS)
def test_a_finding_ends_with_its_leak(platform: Platform, kind: str) -> None:
    outcome = platform.outcomes[kind].result()
    assert outcome.over_seconds - outcome.stopped_seconds <= OVER_WITHIN_SECONDS


def test_the_limit_contains_the_worst(platform: Platform) -> None:
    """The leak is killed in its own cgroup, at its quota's limit, and starts anew."""
    platform.outcomes[MEMORY].result()
    before = platform.containers[MEMORY]
    ended = wait_until(
        lambda: last_end(platform.cluster, before),
        what="the leaking container to start anew",
        deadline_seconds=OVER_WITHIN_SECONDS,
    )
    assert (ended["reason"], ended["containerID"].endswith(before.id)) == ("OOMKilled", True)
    readings = platform.readings[MEMORY]
    assert {each.memory_limit_bytes for each in readings} == {MEMORY_BYTES}
    assert MEMORY_BYTES / 2 < max(each.memory_used_bytes for each in readings) <= MEMORY_BYTES
    node = platform.cluster.get(NODE, platform.node)
    assert (condition(node, "MemoryPressure") or {})["status"] == "False"


def test_neighbours_live(platform: Platform) -> None:
    """One of them was also asked all the time, and always answered, or there were no outcomes."""
    for name, before in platform.containers.items():
        if name != MEMORY:
            assert platform.cluster.running(platform.namespaces[name]) == [before], "no restart"
    for name in platform.innocents:
        assert platform.readings[name][-1].oom_kills == 0


def test_work_that_comes_and_goes_is_no_leak(platform: Platform) -> None:
    for name, of in {"sawtooth": memory, "bursts": memory, "helpers": threads}.items():
        use = [of(each) for each in platform.readings[name]]
        assert max(use) > 2 * min(use), "there was something to be mistaken"
    assert platform.found_of_innocents == []
    assert {name: platform.teller(name).events() for name in platform.innocents} == {
        name: [] for name in platform.innocents
    }


def memory(reading: Reading) -> int:
    return reading.memory_used_bytes


def threads(reading: Reading) -> int:
    return reading.threads


def since_in(message: str) -> str:
    """Since when the worker leaks, as the message says."""
    found = re.search(rf"{WORKER} \({tenants.CONTAINER}\), since (\S+):", message)
    assert found, message
    return found[1]


def seconds_of(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def last_end(cluster: Cluster, before: Container) -> dict[str, Any]:
    """How a container ended, once another runs in its stead."""
    status = cluster.get(POD, before.pod, before.namespace)["status"]["containerStatuses"][0]
    if "running" not in status["state"] or status["restartCount"] == before.restarts:
        raise NotYet(f"{status['state']}")
    return dict(status["lastState"]["terminated"])
