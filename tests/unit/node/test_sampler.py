"""The sampler on fixture trees and a clock of our own: what begins, ends, changes hands or breaks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantquota.domain.usage import NANOSECONDS, Limits
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.node import NodeCgroups
from tenantquota.node.containers import Container, Owner
from tenantquota.node.processes import Proc
from tenantquota.node.sampler import (
    DETAIL_TICKS,
    IDLE_FACTOR,
    NODE_WAITED_US,
    RECHECK_TICKS,
    TASKS_TICKS,
    WAITED_US,
    Sampler,
    Tick,
)
from tests.unit.node.trees import Cgroup, Node

UIDS = [f"23e3e477-15b0-43f5-851a-c4409d617a0{digit}" for digit in range(4)]
IDS = [f"{digit:064x}" for digit in range(20)]
PAUSE = IDS[19]


class Owners:
    """Pods by uid, and which of their containers are the tenant's (all, unless said otherwise)."""

    def __init__(self) -> None:
        self.pods: dict[str, Owner] = {}
        self.others = {PAUSE}
        self.asked = 0
        self._revision = 0

    @property
    def revision(self) -> int:
        return self._revision

    def put(self, pod_uid: str, tenant: str) -> None:
        self.pods[pod_uid] = Owner(tenant, tenant, f"pod-of-{tenant}", "agent")
        self._revision += 1

    def drop(self, pod_uid: str) -> None:
        del self.pods[pod_uid]
        self._revision += 1

    def owner_of(self, pod_uid: str, container_id: str) -> Owner | None:
        self.asked += 1
        return None if container_id in self.others else self.pods.get(pod_uid)


class Case:
    """A node, and a sampler that ticks once a second of its own time."""

    def __init__(self, root: Path, version: int = 2) -> None:
        self.now_ns = 100 * NANOSECONDS
        self.number = 0
        self.version = version
        self.errors = ReadErrors()
        self.node = Node(root / "cgroup", version).boot()
        self.proc_root = root / "proc"
        (self.proc_root / "pressure").mkdir(parents=True)
        self.node_waits(0)
        self.owners = Owners()
        self.cgroups = NodeCgroups(root / "cgroup", self.errors, self.clock_ns)
        self.proc = Proc(self.proc_root, self.errors)
        self.sampler = Sampler(self.cgroups, self.proc, self.owners, self.errors, self.clock_ns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sampler.close()
        self.cgroups.close()
        self.proc.close()

    def clock_ns(self) -> int:
        self.now_ns += 1
        return self.now_ns

    def tick(self, count: int = 1) -> Tick:
        """The last of so many ticks."""
        for _ in range(count):
            tick = self.sampler.tick(self.number)
            self.number += 1
            self.now_ns += NANOSECONDS
        return tick

    def start(self, number: int = 0, pod: int = 0, tenant: str | None = "blue") -> Cgroup:
        if tenant:
            self.owners.put(UIDS[pod], tenant)
        return self.node.add(UIDS[pod], IDS[number])

    @property
    def ids(self) -> set[str]:
        return {container.id for container in self.sampler.containers}

    @property
    def container(self) -> Container:
        (container,) = self.sampler.containers
        return container

    def use_cpu(self, cgroup: Cgroup, usage_ns: int) -> None:
        if self.version == 1:
            cgroup.write("cpuacct.usage", f"{usage_ns}\n")
        else:
            cgroup.write("cpu.stat", f"usage_usec {usage_ns // 1000}\n")

    def node_waits(self, total_us: int) -> None:
        line = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={total_us}\n"
        (self.proc_root / "pressure" / "cpu").write_text(line)

    def thread(self, thread_id: int, run_delay_ns: int, timeslices: int) -> None:
        directory = self.proc_root / str(thread_id)
        directory.mkdir(exist_ok=True)
        (directory / "schedstat").write_text(f"1 {run_delay_ns} {timeslices}\n")


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with Case(tmp_path, request.param) as case:
        yield case


class TestComingAndGoing:
    def test_a_new_container_is_sampled_in_the_next_tick(self, case: Case) -> None:
        assert case.tick().appeared == []
        case.start()
        tick = case.tick()
        assert tick.appeared == [case.container]
        assert case.container.owner.tenant == "blue"
        assert case.container.samples.latest is not None
        assert case.container.limits is not None
        assert case.container.limits.cpu_milli == 250
        assert case.container.details.latest is not None

    def test_an_ended_one_is_dropped_in_the_next_tick(self, case: Case) -> None:
        cgroup = case.start()
        case.tick()
        container = case.container
        cgroup.remove()
        tick = case.tick()
        assert tick.gone == [container]
        assert case.ids == set()
        assert case.errors.total == 0

    def test_a_restart_within_a_second(self, case: Case) -> None:
        """Another id in the same pod."""
        first = case.start(0)
        case.tick()
        first.remove()
        case.start(1)
        tick = case.tick()
        assert [container.id for container in tick.gone] == [IDS[0]]
        assert [container.id for container in tick.appeared] == [IDS[1]]
        assert case.ids == {IDS[1]}

    def test_a_recreated_cgroup_begins_a_new_history(self, case: Case) -> None:
        cgroup = case.start(0)
        case.tick(3)
        old = case.container
        with cgroup.replaced():
            again = case.node.add(UIDS[0], IDS[0])
        case.use_cpu(again, 1000)
        tick = case.tick()
        assert old in tick.gone
        (new,) = (container for container in case.sampler.containers if container.id == IDS[0])
        assert new is not old
        assert len(new.samples) == 1

    def test_one_that_is_not_whole_yet_is_taken_up_when_it_is(self, tmp_path: Path) -> None:
        with Case(tmp_path, 1) as case:
            cgroup = case.start()
            memory = cgroup.directories["memory"]
            aside = tmp_path / "aside"
            memory.rename(aside)
            assert case.tick().appeared == []
            aside.rename(memory)
            assert [container.id for container in case.tick().appeared] == [IDS[0]]
            assert case.errors.total == 0

    def test_closes_what_it_opened(self, case: Case) -> None:
        case.tick()
        before = descriptors()
        cgroups = [case.start(number, pod=number % 3) for number in range(9)]
        case.tick()
        assert len(case.ids) == 9
        for cgroup in cgroups:
            cgroup.remove()
        case.tick()
        assert descriptors() == before


class TestOwners:
    def test_nobodys_containers_are_not_read(self, case: Case) -> None:
        case.start(0, tenant=None)
        case.tick(3)
        assert case.ids == set()
        assert case.owners.asked <= 2

    def test_one_whose_owner_is_learned_later(self, case: Case) -> None:
        case.start(0, tenant=None)
        case.tick()
        case.owners.put(UIDS[0], "blue")
        assert [container.id for container in case.tick().appeared] == [IDS[0]]

    def test_a_pause_container_is_nobodys(self, case: Case) -> None:
        case.start(0)
        case.node.add(UIDS[0], PAUSE)
        case.tick()
        assert case.ids == {IDS[0]}

    def test_one_that_turns_out_to_be_nobodys_is_dropped(self, case: Case) -> None:
        case.start(0)
        case.tick()
        container = case.container
        case.owners.drop(UIDS[0])
        assert case.tick().gone == [container]
        case.owners.put(UIDS[0], "blue")
        assert [found.id for found in case.tick().appeared] == [IDS[0]]

    def test_a_changed_owner_keeps_the_history(self, case: Case) -> None:
        case.start(0)
        case.tick(2)
        container = case.container
        case.owners.put(UIDS[0], "red")
        tick = case.tick()
        assert (tick.appeared, tick.gone) == ([], [])
        assert case.container is container
        assert container.owner.tenant == "red"
        assert len(container.samples) == 3

    def test_pods_are_told_apart(self, case: Case) -> None:
        case.start(0, pod=0, tenant="blue")
        case.start(1, pod=1, tenant="red")
        case.tick()
        assert {(container.id, container.owner.tenant) for container in case.sampler.containers} == {
            (IDS[0], "blue"),
            (IDS[1], "red"),
        }


class TestFigures:
    def test_rates_are_of_the_time_that_passed(self, case: Case) -> None:
        cgroup = case.start()
        for second in range(5):
            case.use_cpu(cgroup, 3_000_000_000 + second * 300_000_000)
            case.tick()
        rates = case.container.rates(3)
        assert rates is not None
        assert rates.seconds == pytest.approx(3, abs=1e-6)
        assert rates.cpu_milli == pytest.approx(300, abs=1e-3)
        assert case.container.working_set_bytes == 11440128 - 118784

    def test_rates_after_missed_ticks_are_right_too(self, case: Case) -> None:
        cgroup = case.start()
        case.tick()
        case.now_ns += 6 * NANOSECONDS
        case.use_cpu(cgroup, 3_000_000_000 + 700_000_000)
        case.tick()
        rates = case.container.rates(10)
        assert rates is not None
        assert rates.cpu_milli == pytest.approx(100, abs=1e-3)

    def test_one_sample_is_no_rate(self, case: Case) -> None:
        case.start()
        case.tick()
        assert case.container.rates(10) is None

    def test_a_counter_that_went_back_ends_the_history(self, case: Case) -> None:
        cgroup = case.start()
        case.tick(3)
        case.use_cpu(cgroup, 1000)
        case.tick()
        assert case.sampler.counter_resets == 1
        assert len(case.container.samples) == 1
        assert case.container.rates(10) is None
        case.use_cpu(cgroup, 500_001_000)
        case.tick()
        rates = case.container.rates(10)
        assert rates is not None
        assert rates.cpu_milli == pytest.approx(500, abs=1e-3)

    def test_a_bad_read_leaves_a_gap_and_is_counted(self, case: Case) -> None:
        cgroup = case.start()
        case.tick(2)
        name = "cpuacct.usage" if case.version == 1 else "cpu.stat"
        cgroup.write(name, b"\xff\0")
        case.tick()
        assert case.container.samples.latest is not None
        assert case.container.samples.latest.cpu_usage_ns is None
        assert case.errors.counts == {(name, "malformed"): 1}
        case.use_cpu(cgroup, 3_100_000_000)
        case.tick()
        rates = case.container.rates(10)
        assert rates is not None
        assert rates.cpu_milli == pytest.approx(100 / 3, abs=1e-3)

    def test_a_step_of_the_wall_clock_changes_nothing(self, case: Case) -> None:
        """There is no wall clock here: everything is timed by the one that is passed in."""
        cgroup = case.start()
        case.tick()
        case.use_cpu(cgroup, 3_250_000_000)
        case.tick()
        rates = case.container.rates(1)
        assert rates is not None
        assert rates.cpu_milli == pytest.approx(250, abs=1e-3)


class TestLimits:
    def test_a_limit_changed_by_hand_is_seen_in_the_next_tick(self, case: Case) -> None:
        cgroup = case.start()
        case.tick(2)
        cgroup.write(
            *(("cpu.cfs_quota_us", "70000\n") if case.version == 1 else ("cpu.max", "70000 100000\n"))
        )
        case.tick()
        assert case.container.limits is not None
        assert case.container.limits.cpu_milli == 700

    def test_otherwise_they_are_read_once_a_minute(self, case: Case) -> None:
        case.start()
        case.tick()
        times = set()
        for _ in range(3 * RECHECK_TICKS):
            case.tick()
            assert case.container.limits is not None
            times.add(case.container.limits.at_ns)
        assert len(times) in (3, 4)
        assert case.errors.total == 0

    def test_limits_that_cannot_be_read_are_read_again(self, case: Case) -> None:
        cgroup = case.start()
        case.tick()
        name = "cpu.cfs_quota_us" if case.version == 1 else "cpu.max"
        before = case.container.limits
        cgroup.write(name, "7000")
        case.tick()
        assert case.container.limits is before
        assert case.errors.counts == {(name, "malformed"): 1}
        case.cgroups.poll()
        cgroup.file(name).write_text("50000\n" if case.version == 1 else "50000 100000\n")
        case.tick()
        assert isinstance(case.container.limits, Limits)
        assert case.container.limits.cpu_milli == 500

    def test_a_change_that_the_kernel_did_not_tell_is_found_and_counted(
        self, case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cgroup = case.start()
        case.tick(2)
        monkeypatch.setattr(case.cgroups, "poll", lambda: None)
        cgroup.write(
            *(("cpu.cfs_quota_us", "70000\n") if case.version == 1 else ("cpu.max", "70000 100000\n"))
        )
        case.tick(RECHECK_TICKS)
        assert case.container.limits is not None
        assert case.container.limits.cpu_milli == 700
        case.tick()
        assert case.errors.counts == {("inotify", "missed"): 1}

    def test_what_the_kernel_tells_a_moment_later_is_not_missed(
        self, case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cgroup = case.start()
        case.tick(2)
        poll = case.cgroups.poll
        monkeypatch.setattr(case.cgroups, "poll", lambda: None)
        cgroup.write(
            *(("cpu.cfs_quota_us", "70000\n") if case.version == 1 else ("cpu.max", "70000 100000\n"))
        )
        for _ in range(RECHECK_TICKS):
            case.tick()
            if case.container.limits is not None and case.container.limits.cpu_milli == 700:
                break
        else:
            pytest.fail("the change was not found")
        monkeypatch.setattr(case.cgroups, "poll", poll)
        case.tick(2 * RECHECK_TICKS)
        assert case.errors.total == 0


class TestRareReads:
    def test_processes_and_details_each_at_its_own_rate(self, case: Case) -> None:
        cgroup = case.start()
        for second in range(1 + 2 * DETAIL_TICKS):
            case.use_cpu(cgroup, 3_000_000_000 + 1000 * second)
            case.tick()
        container = case.container
        assert 3 <= len(container.details) <= 4
        assert (
            2 * DETAIL_TICKS // TASKS_TICKS <= len(container.processes) <= 2 * DETAIL_TICKS // TASKS_TICKS + 2
        )
        assert len(container.samples) == min(60, 1 + 2 * DETAIL_TICKS)

    def test_more_seldom_while_no_cpu_is_used(self, case: Case) -> None:
        case.start()
        case.tick(1 + 3 * IDLE_FACTOR * TASKS_TICKS)
        assert 3 <= len(case.container.processes) <= 5
        assert 1 <= len(case.container.details) <= 3

    def test_at_once_when_cpu_is_used_after_a_long_rest(self, case: Case) -> None:
        cgroup = case.start()
        case.tick(2 * TASKS_TICKS + 1)
        before = len(case.container.processes)
        case.use_cpu(cgroup, 3_100_000_000)
        case.tick()
        assert len(case.container.processes) == before + 1

    def test_those_found_together_are_not_due_together(self, case: Case) -> None:
        cgroups = [case.start(number, pod=number % 3) for number in range(12)]
        case.tick()
        due = []
        for second in range(TASKS_TICKS):
            before = {container.id: len(container.processes) for container in case.sampler.containers}
            for cgroup in cgroups:
                case.use_cpu(cgroup, 3_100_000_000 + 1000 * second)
            case.tick()
            due.append(sum(len(c.processes) > before[c.id] for c in case.sampler.containers))
        assert sum(due) >= 12
        assert max(due) <= 4

    def test_missed_ticks_delay_no_rare_read(self, case: Case) -> None:
        case.start()
        case.tick()
        case.number += 1000
        case.tick()
        assert len(case.container.processes) == 2
        assert len(case.container.details) == 2


class TestRunDelay:
    def contend(self, case: Case, cgroup: Cgroup, second: int, *, node_us: int, own_us: int) -> None:
        """What a second with so much waiting leaves in the files."""
        case.node_waits(node_us * second)
        total = 700 + own_us * second
        cgroup.write("cpu.pressure", f"some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n")
        case.use_cpu(cgroup, 3_000_000_000 + 1000 * second)
        case.thread(841, 1000 + 900 * second, 10 + 3 * second)

    @pytest.mark.parametrize(
        ("node_us", "own_us", "each_second"),
        [
            (NODE_WAITED_US + 1, WAITED_US + 1, True),
            (NODE_WAITED_US + 1, WAITED_US, False),
            (NODE_WAITED_US, WAITED_US, False),
        ],
    )
    def test_is_read_at_once_where_a_thread_waits(
        self, case: Case, node_us: int, own_us: int, each_second: bool
    ) -> None:
        cgroup = case.start()
        case.thread(841, 1000, 10)
        case.thread(859, 0, 0)
        case.tick()
        for second in range(1, 9):
            self.contend(case, cgroup, second, node_us=node_us, own_us=own_us)
            case.tick()
        found = case.container.run_delays.all()
        if each_second:
            assert [(of.run_delay_ns, of.timeslices) for of in found] == [(900 * n, 3 * n) for n in range(9)]
        else:
            assert 1 <= len(found) <= 3

    def test_without_pressure_it_is_read_each_second(self, tmp_path: Path) -> None:
        with Case(tmp_path, 1) as case:
            (case.proc_root / "pressure" / "cpu").unlink()
            cgroup = case.start()
            cgroup.file("cpu.pressure").unlink()
            case.thread(841, 1000, 10)
            case.thread(859, 0, 0)
            case.tick(5)
            assert len(case.container.run_delays) == 5


class Fate:
    """What was done to a node's containers, and so what must be known of each. A key is pod and container."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.there: dict[tuple[int, int], Cgroup] = {}
        self.garbled: set[tuple[int, int]] = set()

    def start(self, pod: int, number: int) -> None:
        if (pod, number) not in self.there:
            self.there[pod, number] = self.case.node.add(UIDS[pod], IDS[3 * pod + number])

    def end(self, pod: int, number: int) -> None:
        if cgroup := self.there.pop((pod, number), None):
            cgroup.remove()
            self.garbled.discard((pod, number))

    def garble(self, pod: int, number: int) -> None:
        if (pod, number) in self.there:
            self.garbled.add((pod, number))

    def own(self, pod: int, _: int) -> None:
        self.case.owners.put(UIDS[pod], f"tenant-{pod}")

    def disown(self, pod: int, _: int) -> None:
        if UIDS[pod] in self.case.owners.pods:
            self.case.owners.drop(UIDS[pod])

    def expected(self, second: int) -> dict[str, tuple[str, int | None]]:
        """By container id: its tenant, and its CPU usage in ns, which it then writes."""
        expected = {}
        for (pod, number), cgroup in self.there.items():
            usage_ns: int | None = 10**12 * (3 * pod + number + 1) + 10**9 * second
            if (pod, number) in self.garbled:
                usage_ns = None
                cgroup.write("cpuacct.usage" if self.case.version == 1 else "cpu.stat", b"\0")
            else:
                self.case.use_cpu(cgroup, usage_ns or 0)
            if UIDS[pod] in self.case.owners.pods:
                expected[IDS[3 * pod + number]] = f"tenant-{pod}", usage_ns
        return expected


DEEDS = (Fate.start, Fate.end, Fate.garble, Fate.own, Fate.disown)
EVENT = st.tuples(st.sampled_from(DEEDS), st.integers(0, 2), st.integers(0, 2))


@settings(max_examples=50)
@given(version=st.sampled_from([1, 2]), seconds=st.lists(st.lists(EVENT, max_size=5), max_size=6))
def test_whatever_happens_each_container_has_its_own_figures(
    tmp_path_factory: pytest.TempPathFactory,
    version: int,
    seconds: list[list[tuple[Callable[[Fate, int, int], None], int, int]]],
) -> None:
    """After each second exactly the tenants' containers are followed, each with its own pod's owner and its
    own usage, whatever began, ended, changed hands or held garbage."""
    with Case(tmp_path_factory.mktemp("node"), version) as case:
        fate = Fate(case)
        for second, events in enumerate(seconds):
            for do, pod, number in events:
                do(fate, pod, number)
            expected = fate.expected(second)
            case.tick()
            found = {
                container.id: (container.owner.tenant, sample.cpu_usage_ns)
                for container in case.sampler.containers
                if (sample := container.samples.latest)
            }
            assert found == expected
        assert set(case.errors.counts) <= {("cpuacct.usage", "malformed"), ("cpu.stat", "malformed")}


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
