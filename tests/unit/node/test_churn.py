"""What came and went leaves nothing: the node agent's state after round upon round of tenants."""

import gc
import tracemalloc
from pathlib import Path
from typing import Final

import pytest

import tenantquota
from tenantquota.domain.usage import NANOSECONDS
from tenantquota.kube.plain import NodeIdentity
from tenantquota.node.leaks import LeakWatch
from tenantquota.node.neighbours import Neighbours
from tenantquota.node.report import Reporter
from tenantquota.node.stalls import Stalls
from tenantquota.node.totals import TenantTotals
from tests.unit.node.test_neighbours import CAPACITY_MS, SHARES, Files
from tests.unit.node.test_sampler import Case

OPERATOR: Final = Path(tenantquota.__file__).parent
TENANTS: Final = 3
SECONDS: Final = 20
"""A tenant's life. In the first half the node is full, so that the first tenant yields to the others; in
every second round to the end, so that pods go that others' weights were for."""
SETTLING_ROUNDS: Final = 6
"""In which what is bounded fills: windows of seconds, caches."""
ROUNDS: Final = 16
MOST_BYTES: Final = 64
"""That a round may leave: less than any entry of a dictionary with its key. Dictionaries that grow and shrink
hold more at one moment than at another."""


class Agent:
    """All that keeps a state from tick to tick, on a tree of plain files and a clock of our own."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.files = Files()
        self.idle_ms = 0.0
        self.node_waited_us = 0
        self.yielded = 0
        self.written = 0
        self.reports = 0
        self.leaks, self.totals, self.stalls = LeakWatch(), TenantTotals(), Stalls("n1", None, 1 << 34)
        self.neighbours = Neighbours("n1", self, self.files, CAPACITY_MS, lambda: 700, case.clock_ns)
        self.reporter = Reporter(
            NodeIdentity("n1", "u-1"), 10, self._count, lambda: case.now_ns / NANOSECONDS, lambda: 1.7e9
        )

    def _count(self, *_: object) -> None:
        self.reports += 1

    def cpu_idle_ms(self) -> float:
        return self.idle_ms

    def tick(self, *, full: bool) -> None:
        self.idle_ms += 0.0 if full else 1000.0
        self.node_waited_us += 40_000 if full else 0
        self.case.node_waits(self.node_waited_us)
        tick = self.case.tick()
        containers = tuple(self.case.sampler.containers)
        for container in containers:
            for path in (container.path, container.path.rpartition("/")[0]):
                self.files.values.setdefault(path, SHARES)
        self.totals.add(containers)
        self.leaks.after_tick(containers)
        self.neighbours.after_tick(tick, containers)
        self.stalls.after_tick(tick, containers)
        holdings = self.neighbours.holdings()
        self.yielded += len(holdings)
        self.written += len(self.files.orders)
        self.files.orders.clear()
        self.reporter.after_tick(
            containers, holdings, self.leaks.confirmed, self.stalls.harming(), any_held=False
        )


def live(agent: Agent, number: int) -> None:
    """A round: tenants come, one takes what the others wait for, and all go."""
    case = agent.case
    uids = [f"23e3e477-15b0-43f5-{number:04x}-c4409d617a{each:02x}" for each in range(TENANTS)]
    cgroups = []
    for each, uid in enumerate(uids):
        case.owners.put(uid, f"tenant-{number}-{each}")
        case.owners.pods[uid] = case.owners.pods[uid]._replace(enforces=True, cpu_request_milli=50)
        cgroup = case.node.add(uid, f"{number:060x}{each:04x}")
        cgroup.write("tasks" if case.version == 1 else "cgroup.threads", f"{thread(each)}\n")
        cgroups.append(cgroup)
    used_ms, waited_ms = [0] * TENANTS, 0
    for second in range(SECONDS):
        full = second < SECONDS // 2 or number % 2 == 1
        waited_ms += 40 if full else 0
        for each, cgroup in enumerate(cgroups):
            used_ms[each] += (1900 if each == 0 else 45) if full else 20
            case.use_cpu(cgroup, used_ms[each] * 1_000_000)
            case.thread(thread(each), waited_ms * 1_000_000, (second + 1) * 1000)
        agent.tick(full=full)
    for uid, cgroup in zip(uids, cgroups, strict=True):
        case.owners.drop(uid)
        cgroup.remove_pod()
    agent.tick(full=False)
    agent.files.values.clear()


def thread(tenant: int) -> int:
    return 1000 + tenant


def kept_bytes() -> int:
    """What the agent's own lines have taken and hold."""
    gc.collect()
    own = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, f"{OPERATOR}/*")])
    return sum(each.size for each in own.traces)


@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_what_came_and_went_leaves_nothing(tmp_path: Path, version: int) -> None:
    with Case(tmp_path, version) as case:
        agent = Agent(case)
        tracemalloc.start()
        try:
            for number in range(SETTLING_ROUNDS):
                live(agent, number)
            before = kept_bytes()
            for number in range(SETTLING_ROUNDS, SETTLING_ROUNDS + ROUNDS):
                live(agent, number)
            left = kept_bytes() - before
        finally:
            tracemalloc.stop()
    assert agent.yielded
    assert agent.written
    assert agent.reports
    assert left / ROUNDS < MOST_BYTES, f"{left} bytes"
