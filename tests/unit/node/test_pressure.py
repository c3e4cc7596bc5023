"""When it is worth looking at who stalls, on plain files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantquota.domain.usage import NANOSECONDS, IoStall, MemoryStall
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.pressure import HOLD_TICKS, STALLED_US, Gates, Looks, Stalled, open_gates
from tests.unit.node.samples import container


class Files:
    """The node's, as the kernel writes them: in place."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroup = root / "proc", root / "cgroup"
        self.kubepods = self.cgroup / "kubepods.slice"
        self.proc.mkdir()
        self.kubepods.mkdir(parents=True)
        self.errors = ReadErrors()
        self.totals_us = {"io": 0, "memory": 0}
        for resource in self.totals_us:
            self.stall(resource, 0)

    def stall(self, resource: str, microseconds: int) -> None:
        self.totals_us[resource] += microseconds
        line = f"some avg10=0.00 avg60=0.00 avg300=0.00 total={self.totals_us[resource]}\n"
        (self.cgroup / f"{resource}.pressure").write_text(line)

    def gates(self, version: int = 2) -> Gates | None:
        return open_gates(version, self.proc, self.cgroup, lambda: [str(self.kubepods)], self.errors)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def gates(files: Files) -> Iterator[Gates]:
    gates = files.gates()
    assert gates is not None
    yield gates
    gates.close()


class TestGates:
    def test_closed_while_nothing_stalls(self, files: Files, gates: Gates) -> None:
        for _ in range(5):
            files.stall("io", STALLED_US - 1)
            assert gates.look() == Stalled()

    @pytest.mark.parametrize("resource", ["io", "memory"])
    def test_open_from_a_stall_on_for_some_seconds(self, files: Files, gates: Gates, resource: str) -> None:
        files.stall(resource, STALLED_US)
        for _ in range(HOLD_TICKS):
            assert gates.look() == Stalled(**{resource: True})
        assert gates.look() == Stalled()

    def test_a_kernel_without_pressure(self, files: Files) -> None:
        (files.cgroup / "memory.pressure").unlink()

        assert files.gates() is None
        assert files.errors.total == 0

    def test_version_1_does_not_tell_whose_io_it_is(self, files: Files) -> None:
        assert files.gates(version=1) is None

    def test_what_is_not_understood_is_counted_and_opens_nothing(self, files: Files, gates: Gates) -> None:
        (files.cgroup / "io.pressure").write_text("some avg10=0.00\n")
        assert gates.look() == Stalled()
        assert files.errors.counts == {("pressure", "malformed"): 1}
        files.stall("io", 5 * STALLED_US)
        assert gates.look() == Stalled(), "since when is not known"
        files.stall("io", STALLED_US)
        assert gates.look() == Stalled(io=True)

    def test_what_the_node_does(self, files: Files, gates: Gates) -> None:
        (files.cgroup / "io.stat").write_text(
            "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=5 dios=7\n"
            "8:16 rbytes=1 wbytes=1 rios=1 wios=1\n"
        )
        (files.proc / "vmstat").write_text("pgscan_kswapd 30\npgscan_direct 4\npgscan_direct_throttle 9\n")

        (files.kubepods / "memory.events.local").write_text("low 0\nhigh 0\nmax 7\noom 0\n")

        assert gates.io_done() == {"8:0": (3, 12288), "8:16": (2, 2)}
        assert gates.reclaimed() == (34, 7)

    def test_what_is_not_there_is_counted(self, files: Files, gates: Gates) -> None:
        assert gates.io_done() is None
        assert gates.reclaimed() is None
        files_read = ("io.stat", "vmstat", "memory.events.local")
        assert files.errors.counts == {(name, "ENOENT"): 1 for name in files_read}


class Reader:
    """A container that stalls as long as the test says."""

    def __init__(self) -> None:
        self.io_us = self.reads = 0

    def io_stall(self) -> IoStall:
        self.reads += 1
        return IoStall(self.reads * NANOSECONDS, self.io_us, {})

    def memory_stall(self) -> MemoryStall | None:
        return None


class TestLooks:
    """Only at those that may have something to tell."""

    def reads(self, *seconds: tuple[int, int], stalled: bool = True, due: bool = False) -> list[int]:
        """How often its files were read by the end of each second; of CPU time used and I/O stall by then."""
        reader, looks, of, counts = Reader(), Looks(), container(), []
        for usage_ns, reader.io_us in seconds:
            looks.look(of, reader, usage_ns, Stalled(io=stalled), due=due)  # type: ignore[arg-type]
            counts.append(reader.reads)
        assert of.memory_stalls.latest is None
        return counts

    def test_each_second_in_which_it_ran(self) -> None:
        assert self.reads((1, 0), (2, 0), (3, 0), (4, 0)) == [1, 2, 3, 4]

    def test_not_while_it_sleeps(self) -> None:
        assert self.reads((1, 0), (1, 0), (1, 0), (1, 0)) == [1, 2, 2, 2]

    def test_as_long_as_it_stalls_though_it_never_runs(self) -> None:
        assert self.reads((1, 0), (2, 900), (2, 1900), (2, 2900), (2, 2900), (2, 2900)) == [1, 2, 3, 4, 5, 5]

    def test_not_while_the_node_does_not_stall(self) -> None:
        assert self.reads((1, 0), (2, 0), stalled=False) == [0, 0]

    def test_when_it_is_due_anyway(self) -> None:
        assert self.reads((1, 0), (1, 0), stalled=False, due=True) == [1, 2]
