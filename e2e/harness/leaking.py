"""Where leaks run: every leak has a tenant of its own, and all of them run side by side, once, beside tenants
whose use goes up and down, and tenants that are quiet.

The leak of memory goes on until the quota's limit ends it; the others end as they are found. Runaway CPU
counts from ``spec.leaks.cpuSeconds`` on, here a minute instead of five.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from e2e.harness import many, served
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import NODE_REPORT, Cluster, Container, Manifest
from e2e.harness.contamination import Contamination
from e2e.harness.leaks import Course, Found, Leak, Teller, Told, growing
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.readings import Reading
from e2e.harness.served import AGENT, Tenant, Terms
from e2e.harness.services import Services
from e2e.harness.sessions import ServedAgent, Sessions
from e2e.harness.usage import Usage
from e2e.harness.wait import NotYet, wait_until

FOUND_WITHIN_SECONDS: Final = 120
"""What is waited for; twice the specification's."""
OVER_WITHIN_SECONDS: Final = 120
"""The specification's for recovery."""
CPU_SECONDS: Final = 60
"""For so long the CPU must be high."""
MIB: Final = 1 << 20
LOOK_SECONDS: Final = 1.0
WORK_MILLISECONDS: Final = 1.0
CPU_MILLICORES: Final = 200
REQUESTED: Final = "30m"
MEMORY_BYTES: Final = 112 * MIB
"""The leak comes here after some 100 s, long after it is to be found; who doesn't leak stays below."""
MEMORY: Final = "memory_fast"
FILES: Final = "open_files"
LEAKS: Final = {
    leak.kind: leak
    for leak in (
        Leak(MEMORY, 50_000_000, growing(ServedAgent.hold, 50_000_000)),
        Leak(FILES, 120, growing(lambda agent, count: agent.keep(files=count), 120)),
        Leak("processes", 30, growing(lambda agent, count: agent.keep(processes=count), 30)),
        Leak("cpu", CPU_MILLICORES * 60 / 1000, lambda agent, seconds: agent.burn(1 if seconds else 0)),
    )
}
TOOTH_SECONDS: Final = 30.0
TOOTH_BYTES: Final = 56 * MIB
BURST_BYTES: Final = 60 * MIB
BURST_FILES: Final = 300
BURST_PROCESSES: Final = 12


def sawtooth(agent: ServedAgent) -> Told:
    """Memory grows faster than a leak and is given back, as by a collector of garbage."""
    return lambda seconds: agent.hold(round(seconds % TOOTH_SECONDS / TOOTH_SECONDS * TOOTH_BYTES))


def bursts(agent: ServedAgent) -> Told:
    """Memory and files come and go, each at its own pace."""

    def tell(seconds: float) -> None:
        agent.hold(round(BURST_BYTES * _part(seconds, 17)))
        agent.keep(files=round(BURST_FILES * _part(seconds, 23)))

    return tell


def helpers(agent: ServedAgent) -> Told:
    """CPU and processes come and go; apart from memory, of which a child would keep what its parent had."""

    def tell(seconds: float) -> None:
        agent.burn(1 if _part(seconds, 29) > 0.5 else 0)
        agent.keep(processes=round(BURST_PROCESSES * _part(seconds, 37)))

    return tell


def _part(seconds: float, period: float) -> float:
    """Up and down again between 0 and 1."""
    return 1 - abs(1 - 2 * (seconds % period) / period)


WORKERS: Final = {"sawtooth": sawtooth, "bursts": bursts, "helpers": helpers}
QUIET: Final = "quiet0"
"""Of the quiet ones, the one that is asked all the time."""
LEAST_TENANTS: Final = len(LEAKS) + len(WORKERS) + 1


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
class Leaking:
    """The tenants, what came of the leaks, and what was seen meanwhile of those who don't leak.

    Attributes:
        tenants: by the name of their leak or work.
        containers: as they were before.
        counts: of the open files of those of whom they matter; seconds on the chart's axis.
        found_of_innocents: whatever was told of them.
    """

    cluster: Cluster
    services: Services
    sessions: Sessions
    contamination: Contamination
    node: str
    tenants: Mapping[str, Tenant]
    containers: Mapping[str, Container]
    usage: Usage
    outcomes: dict[str, Future[Outcome]] = field(default_factory=dict)
    counts: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    found_of_innocents: list[Manifest] = field(default_factory=list)

    @property
    def innocents(self) -> list[str]:
        return [name for name in self.tenants if name not in LEAKS]

    def agent(self, name: str) -> ServedAgent:
        return ServedAgent(self.sessions, self.tenants[name])

    def teller(self, name: str) -> Teller:
        return Teller(self.cluster, self.node, self.tenants[name].name)

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
        # what rises and then stays is no work that comes and goes any more
        for name, make in WORKERS.items():
            make(self.agent(name))(0.0)

    def _look(self) -> None:
        self.agent(QUIET).work(WORK_MILLISECONDS)
        innocent = {self.tenants[name].name for name in self.innocents}
        report = self.cluster.get(NODE_REPORT, self.node)
        self.found_of_innocents += [each for each in report.get("findings", []) if each["tenant"] in innocent]
        of = {name: self.containers[name] for name in (FILES, *WORKERS)}
        counts = NodeCgroups(self.node).count(of.values())
        at = round(time.time() - self.usage.start_seconds, 2)
        for name, container in of.items():
            self.counts.setdefault(name, []).append((at, counts[container].open_files))

    def _leak(self, leak: Leak) -> Outcome:
        agent, teller = self.agent(leak.kind), self.teller(leak.kind)
        with Course(lambda seconds: leak.tell(agent, seconds)) as course:
            found = course.watch(teller, AGENT, leak.kind, FOUND_WITHIN_SECONDS)
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

    def readings(self, name: str) -> list[Reading]:
        """Of its container, from before the leaks until after them, or until it ended."""
        return self.usage.readings(name)

    def figures(self) -> dict[str, Any]:
        """What came of each leak, or why nothing did."""
        return {
            name: asdict(each.result()) if each.exception() is None else str(each.exception())
            for name, each in self.outcomes.items()
        }


@contextmanager
def leaking(
    cluster: Cluster,
    services: Services,
    sessions: Sessions,
    node_agents: Mapping[str, NodeAgent],
    tenant_count: int,
) -> Iterator[Leaking]:
    """After all leaks.

    Args:
        tenant_count: those beyond LEAST_TENANTS are quiet.
    """
    quiet = [f"quiet{number}" for number in range(max(1, tenant_count - LEAST_TENANTS + 1))]
    names = [*LEAKS, *WORKERS, *quiet]
    quota = Terms(
        cpu=f"{CPU_MILLICORES}m", memory=str(MEMORY_BYTES), further={"leaks": {"cpuSeconds": CPU_SECONDS}}
    )
    # who else is busy on the node must not keep these from their leaks
    requested = dict.fromkeys([*LEAKS, *WORKERS], REQUESTED) | {"cpu": f"{CPU_MILLICORES}m"}
    terms = {
        name.replace("_", "-"): replace(quota, requested_cpu=requested.get(name, Terms.requested_cpu))
        for name in names
    }
    with served.serving(cluster, services, "case3", *terms, terms=terms) as made:
        of = dict(zip(names, made, strict=True))
        containers = {name: cluster.running(tenant.name)[0] for name, tenant in of.items()}
        agent = the_only(dict(node_agents), {each.node for each in containers.values()})
        with Usage(containers, every_seconds=1.0) as usage:
            found = Leaking(
                cluster, services, sessions, Contamination(made), agent.node, of, containers, usage
            )
            found.contamination.plant()
            many.each(lambda name: found.agent(name).wait_answering(), names)
            for name in names:
                wait_until(
                    found.teller(name).is_leak_free,
                    what=f"LeakFree of {name}",
                    deadline_seconds=FOUND_WITHIN_SECONDS,
                )
            wait_until(
                lambda: begun(agent, [containers[name] for name in LEAKS]),
                what="the files of agents that have begun to be counted",
                deadline_seconds=FOUND_WITHIN_SECONDS,
            )
            found.run()
            yield found


def begun(agent: NodeAgent, containers: Collection[Container]) -> bool:
    """The node's agent has counted their files since they began to serve; else NotYet. What a program opens
    as it begins would be counted to its leak, and isn't given back with it."""
    now, scrape = NodeCgroups(agent.node).count(containers), agent.scrape()
    known = {item: scrape.container("open_files", item) for item in containers}
    counts = [f"{known[item]:g} of {now[item].open_files} of {item}" for item in containers]
    if any(known[item] < now[item].open_files / 2 for item in containers):
        raise NotYet(f"known are {', '.join(counts)}")
    return True
