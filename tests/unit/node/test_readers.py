"""One container's figures, exact, from fixture trees of both versions."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tenantquota.domain.usage import Detail, IoStall, Limits, MemoryStall, Sample
from tenantquota.node.cgroups.files import ReadErrors, VanishedError
from tenantquota.node.cgroups.node import NodeCgroups
from tenantquota.node.cgroups.reader import (
    GROWTH_BYTES,
    IDLE_SECONDS_NS,
    LITTLE_CPU_NS,
    LITTLE_SECONDS_NS,
    STEP_BYTES,
    Reader,
)
from tenantquota.node.cgroups.tree import Leaf
from tests.unit.node.trees import Cgroup, Node, path_of

UID = "23e3e477-15b0-43f5-851a-c4409d617a05"
ID = "c0ffee" * 10 + "beef"
SAMPLE = Sample(
    at_ns=1000,
    cpu_usage_ns=3_000_000_000,
    nr_periods=120,
    nr_throttled=100,
    throttled_ns=21_000_000_000,
    cpu_waiting_us=700,
    memory_usage_bytes=11440128,
    inactive_file_bytes=118784,
    io_read_bytes=4096,
    io_written_bytes=8192,
)


class Case:
    """A container on a node of one version, and its reader, on a clock of our own."""

    def __init__(self, root: Path, version: int, *, hybrid: bool = True) -> None:
        self.now_ns = 1000
        self.root = root
        self.errors = ReadErrors()
        self.node = Node(root, version, hybrid=hybrid).boot()
        self.cgroup: Cgroup = self.node.add(UID, ID)
        self.cgroups = NodeCgroups(root, self.errors, lambda: self.now_ns)
        self.reader: Reader = self.cgroups.open(Leaf(ID, UID, path_of("systemd", "burstable", UID, ID)))
        self.version = version

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.cgroups.close()

    def pod_events(self, content: str) -> None:
        """What happened at the limits of the pod and its containers."""
        path = self.root / path_of("systemd", "burstable", UID, ID)
        (path.parent / "memory.events").write_text(content)

    def name(self, v1: str, v2: str) -> str:
        return v1 if self.version == 1 else v2


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with Case(tmp_path, request.param) as case:
        yield case


def test_sample(case: Case) -> None:
    assert case.reader.sample() == SAMPLE
    assert case.errors.total == 0


def test_detail(case: Case) -> None:
    assert case.reader.detail() == Detail(1000, 12_000_000, 2, 800, 900)


def test_stalls(case: Case) -> None:
    """Version 1 doesn't say whose all I/O is, and so nothing."""
    if case.version == 1:
        assert (case.reader.io_stall(), case.reader.memory_stall()) == (None, None)
        return
    case.pod_events("low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n")
    assert case.reader.io_stall() == IoStall(1000, 900, {"254:0": (2, 12288)})
    assert case.reader.memory_stall() == MemoryStall(1000, 800, 0)
    case.pod_events("low 0\nhigh 3\nmax 4\noom 0\noom_kill 0\n")
    assert case.reader.memory_stall() == MemoryStall(1000, 800, 7)


def test_half_of_a_stall_is_none(tmp_path: Path) -> None:
    with Case(tmp_path, 2) as case:
        case.cgroup.write("io.stat", "8:0 rios=x\n")
        case.cgroup.write("memory.pressure", "some\n")
        assert (case.reader.io_stall(), case.reader.memory_stall()) == (None, None)
        assert case.errors.counts == {("io.stat", "malformed"): 1, ("memory.pressure", "malformed"): 1}


def test_limits(case: Case) -> None:
    limits = case.reader.limits()
    assert limits == Limits(1000, 25_000, 100_000, 134217728)
    assert limits.cpu_milli == 250


def test_no_limits(case: Case) -> None:
    case.cgroup.write(
        case.name("cpu.cfs_quota_us", "cpu.max"), "-1\n" if case.version == 1 else "max 100000\n"
    )
    case.cgroup.write(
        case.name("memory.limit_in_bytes", "memory.max"),
        "9223372036854771712\n" if case.version == 1 else "max\n",
    )
    limits = case.reader.limits()
    assert limits == Limits(1000, None, 100_000, None)
    assert limits.cpu_milli is None


def test_half_of_the_limits_are_no_limits(case: Case) -> None:
    case.cgroup.write(case.name("memory.limit_in_bytes", "memory.max"), "1342")
    assert case.reader.limits() is None
    assert case.errors.counts == {(case.name("memory.limit_in_bytes", "memory.max"), "malformed"): 1}


def test_threads_and_processes(case: Case) -> None:
    assert case.reader.thread_ids() == [841, 859]
    assert case.reader.process_ids() == [841]
    assert case.reader.zombies(2) == 0


def test_zombies_are_tasks_that_nobody_names(case: Case) -> None:
    case.cgroup.write("pids.current", "7\n")
    assert case.reader.zombies(2) == 5
    assert case.reader.zombies(8) == 0, "one may have ended in between"


THROTTLING = ["nr_periods", "nr_throttled", "throttled_ns"]


@pytest.mark.parametrize(
    ("case", "name", "fields"),
    [
        (1, "cpuacct.usage", ["cpu_usage_ns"]),
        (1, "cpu.stat", THROTTLING),
        (1, "cpu.pressure", ["cpu_waiting_us"]),
        (1, "memory.usage_in_bytes", ["memory_usage_bytes", "inactive_file_bytes"]),
        (1, "memory.stat", ["inactive_file_bytes"]),
        (1, "blkio.throttle.io_service_bytes_recursive", ["io_read_bytes", "io_written_bytes"]),
        (2, "cpu.stat", ["cpu_usage_ns", *THROTTLING]),
        (2, "cpu.pressure", ["cpu_waiting_us"]),
        (2, "memory.current", ["memory_usage_bytes", "inactive_file_bytes"]),
        (2, "memory.stat", ["inactive_file_bytes"]),
        (2, "io.stat", ["io_read_bytes", "io_written_bytes"]),
    ],
    indirect=["case"],
)
def test_a_file_that_is_not_understood_spoils_its_own_figures_only(
    case: Case, name: str, fields: list[str]
) -> None:
    case.cgroup.write(name, b"\0half a li")
    assert case.reader.sample() == SAMPLE._replace(**dict.fromkeys(fields))
    assert case.errors.counts == {(name, "malformed"): 1}


def test_a_node_without_pressure(tmp_path: Path) -> None:
    with Case(tmp_path, 1, hybrid=False) as case:
        assert case.reader.sample() == SAMPLE._replace(cpu_waiting_us=None)
        assert case.reader.detail() == Detail(1000, 12_000_000, 2, None, None)
        assert case.errors.total == 0


def test_files_that_older_kernels_lack(tmp_path: Path) -> None:
    with Case(tmp_path, 2) as case:
        case.cgroup.file("memory.peak").unlink()
        case.cgroup.file("memory.pressure").unlink()
        assert case.reader.detail() == Detail(1000, None, 2, None, 900)
        assert case.errors.total == 0


@pytest.mark.parametrize(
    "nothing", ["Total 0\n", "8:0 Read 0\n8:0 Write 0\n8:0 Total 0\nTotal 0\n", "", "8:"]
)
def test_version_1_may_count_no_io(tmp_path: Path, nothing: str) -> None:
    """No figure, rather than 0, while the root has none; then 0 means that there was none."""
    with Case(tmp_path, 1) as case:
        case.cgroup.write("blkio.throttle.io_service_bytes_recursive", "Total 0\n")
        case.node.count_io(nothing)
        assert case.reader.sample() == SAMPLE._replace(io_read_bytes=None, io_written_bytes=None)
        case.node.count_io()
        case.now_ns += IDLE_SECONDS_NS
        assert case.reader.sample() == SAMPLE._replace(at_ns=case.now_ns, io_read_bytes=0, io_written_bytes=0)
        assert case.errors.total == 0


class TestCarryingOn:
    """What is read again, and when; every file but the one of the CPU time is changed."""

    CHANGED = SAMPLE._replace(
        cpu_waiting_us=701, memory_usage_bytes=11440000, io_read_bytes=4097, io_written_bytes=8193
    )

    def change(self, case: Case, *, used_ns: int = 0) -> None:
        case.cgroup.write(case.name("memory.usage_in_bytes", "memory.current"), "11440000\n")
        case.cgroup.write("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=701\n")
        io = case.cgroup.file(case.name("blkio.throttle.io_service_bytes_recursive", "io.stat"))
        io.write_text(io.read_text().replace("4096", "4097").replace("8192", "8193"))
        usage = case.cgroup.file(case.name("cpuacct.usage", "cpu.stat"))
        text = f"{3_000_000_000 + used_ns}" if case.version == 1 else f"{(3_000_000_000 + used_ns) // 1000}"
        usage.write_text(re.sub("3000000(000)?", text, usage.read_text(), count=1))

    def test_who_used_cpu_is_read(self, case: Case) -> None:
        case.reader.sample()
        self.change(case, used_ns=LITTLE_CPU_NS)
        assert case.reader.sample() == self.CHANGED._replace(cpu_usage_ns=3_000_000_000 + LITTLE_CPU_NS)

    def test_little_by_little_is_much(self, case: Case) -> None:
        case.reader.sample()
        self.change(case, used_ns=LITTLE_CPU_NS - 1000)
        assert case.reader.sample().memory_usage_bytes == SAMPLE.memory_usage_bytes
        usage = case.cgroup.file(case.name("cpuacct.usage", "cpu.stat"))
        usage.write_text(
            re.sub("300[0-9]+", lambda found: str(int(found[0]) + 1000), usage.read_text(), count=1)
        )
        assert case.reader.sample().memory_usage_bytes == 11440000

    def test_who_used_little_is_carried_on_for_some_seconds(self, case: Case) -> None:
        case.reader.sample()
        self.change(case, used_ns=1000)
        case.now_ns += LITTLE_SECONDS_NS - 1
        assert case.reader.sample() == SAMPLE._replace(
            at_ns=case.now_ns, cpu_usage_ns=3_000_001_000, cpu_waiting_us=701
        )
        case.now_ns += 1
        assert case.reader.sample() == self.CHANGED._replace(at_ns=case.now_ns, cpu_usage_ns=3_000_001_000)

    def test_who_takes_memory_is_read_again_however_little_cpu_that_takes(self, case: Case) -> None:
        """A leak is told by in which of the seconds it grows."""
        memory = case.name("memory.usage_in_bytes", "memory.current")
        usage = case.cgroup.file(case.name("cpuacct.usage", "cpu.stat"))
        case.reader.sample()
        for look in range(1, 4):
            case.cgroup.write(memory, f"{11440128 + look * GROWTH_BYTES}\n")
            case.now_ns += LITTLE_SECONDS_NS if look == 1 else 1_000_000_000
            text = f"{3_000_000_000 + look * 1000}" if case.version == 1 else f"{3_000_000 + look}"
            usage.write_text(re.sub("300000[0-9]+", text, usage.read_text(), count=1))
            assert case.reader.sample().memory_usage_bytes == 11440128 + look * GROWTH_BYTES
        case.now_ns += 1_000_000_000
        case.cgroup.write(memory, "1\n")
        assert case.reader.sample().memory_usage_bytes != 1, "it used no CPU at all"

    def test_who_used_none_is_carried_on_longer(self, case: Case) -> None:
        case.reader.sample()
        self.change(case)
        case.now_ns += IDLE_SECONDS_NS - 1
        assert case.reader.sample() == SAMPLE._replace(at_ns=case.now_ns)
        case.now_ns += 1
        assert case.reader.sample() == self.CHANGED._replace(at_ns=case.now_ns)

    def test_pressure_is_read_where_there_can_be_some(self, case: Case) -> None:
        case.reader.sample()
        self.change(case, used_ns=1000)
        assert case.reader.sample(waiting_possible=False).cpu_waiting_us == 700
        self.change(case, used_ns=1000)
        usage = case.cgroup.file(case.name("cpuacct.usage", "cpu.stat"))
        usage.write_text(usage.read_text().replace("3000001", "3000002"))
        assert case.reader.sample(waiting_possible=True).cpu_waiting_us == 701

    @pytest.mark.parametrize(
        ("moved", "read"), [(STEP_BYTES - 1, False), (STEP_BYTES, True), (-STEP_BYTES, True)]
    )
    def test_inactive_pages_are_read_again_when_usage_moved(self, case: Case, moved: int, read: bool) -> None:
        case.reader.sample()
        self.change(case, used_ns=LITTLE_CPU_NS)
        usage = SAMPLE.memory_usage_bytes or 0
        case.cgroup.write(case.name("memory.usage_in_bytes", "memory.current"), f"{usage + moved}\n")
        case.cgroup.write("memory.stat", "inactive_file 7\ntotal_inactive_file 7\n")
        assert case.reader.sample().inactive_file_bytes == (7 if read else 118784)
        case.now_ns += IDLE_SECONDS_NS
        assert case.reader.sample().inactive_file_bytes == 7

    def test_a_cpu_time_that_went_back_or_is_missing_is_looked_into(self, case: Case) -> None:
        case.reader.sample()
        self.change(case, used_ns=-1_000_000)
        assert case.reader.sample().memory_usage_bytes == 11440000
        case.cgroup.write(case.name("memory.usage_in_bytes", "memory.current"), "5\n")
        case.cgroup.write(case.name("cpuacct.usage", "cpu.stat"), b"\0")
        assert case.reader.sample().memory_usage_bytes == 5


class TestLimitsWritten:
    def test_says_so_once(self, case: Case) -> None:
        assert case.reader.limits_written()
        assert not case.reader.limits_written()
        case.cgroups.poll()
        assert not case.reader.limits_written()
        case.cgroup.write(case.name("cpu.cfs_quota_us", "cpu.max"), "1000\n")
        case.cgroups.poll()
        assert case.reader.limits_written()
        case.cgroup.write(case.name("memory.limit_in_bytes", "memory.max"), "4096\n")
        case.cgroups.poll()
        assert case.reader.limits_written()
        assert not case.reader.limits_written()

    def test_other_files_are_no_limits(self, case: Case) -> None:
        case.reader.limits_written()
        case.cgroup.write("cgroup.procs", "842\n")
        case.cgroups.poll()
        assert not case.reader.limits_written()


@pytest.mark.parametrize("what", ["sample", "detail", "limits", "thread_ids", "process_ids"])
def test_every_read_says_that_the_container_has_ended(case: Case, what: str) -> None:
    case.cgroup.remove()
    with pytest.raises(VanishedError):
        getattr(case.reader, what)()


@pytest.mark.parametrize("case", [1], indirect=True, ids=["v1"])
def test_a_container_that_is_not_whole_yet_cannot_be_opened(case: Case) -> None:
    """Version 1's directories are made one after another."""
    for file in (directory := case.cgroup.directories["memory"]).iterdir():
        file.unlink()
    directory.rmdir()
    with pytest.raises(VanishedError):
        case.cgroups.open(Leaf(ID, UID, path_of("systemd", "burstable", UID, ID)))
