"""Processes and threads: on the real /proc where that can be exact, on a fixture where it must be staged."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tenantquota.domain.usage import Processes, RunDelay
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.processes import MAX_THREADS, Proc, Tasks

OPENS_FILES = """
import sys, time
files = [open("/dev/null") for _ in range(int(sys.argv[1]))]
print("ready", flush=True)
sys.stdin.read()
"""
NOBODY = 2**22 + 1
"""No process: the kernel's pid_max is at most 2^22."""


@pytest.fixture
def errors() -> ReadErrors:
    return ReadErrors()


def start(files: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", OPENS_FILES, str(files)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    with start(200) as process:
        yield process
        process.kill()


class TestOpenFiles:
    @pytest.fixture(params=["counted by the kernel or listed", "listed"])
    def proc(self, request: pytest.FixtureRequest, errors: ReadErrors) -> Iterator[Proc]:
        """As this kernel has it, and as those before 6.2."""
        proc = Proc(Path("/proc"), errors)
        if request.param == "listed":
            proc.open_files = proc._entries_of_fd
        yield proc
        proc.close()

    @pytest.fixture
    def tasks(self, proc: Proc, errors: ReadErrors) -> Iterator[Tasks]:
        tasks = Tasks(proc, errors)
        yield tasks
        tasks.close()

    def test_is_exact(self, tasks: Tasks, process: subprocess.Popen[str]) -> None:
        assert psutil.Process(process.pid).num_fds() == 203
        assert look(tasks, [process.pid]) == Processes(5, 1, 1, 203)

    def test_those_of_all_processes_together(self, tasks: Tasks, process: subprocess.Popen[str]) -> None:
        with start(10) as other:
            assert look(tasks, [process.pid, other.pid]) == Processes(5, 2, 2, 216)
            other.kill()

    def test_threads_are_no_processes(self, tasks: Tasks) -> None:
        threads = [int(path.name) for path in Path("/proc/self/task").iterdir()]
        found = look(tasks, [os.getpid()], threads)
        assert (found.threads, found.processes) == (len(threads), 1)

    def test_one_that_has_ended_is_none(
        self, tasks: Tasks, process: subprocess.Popen[str], errors: ReadErrors
    ) -> None:
        assert look(tasks, [process.pid, NOBODY], [process.pid]) == Processes(5, 1, 1, 203)
        assert errors.total == 0

    def test_one_whose_id_went_to_somebody_else_does_not_count(
        self, tasks: Tasks, process: subprocess.Popen[str]
    ) -> None:
        """The cgroup doesn't name it any more once it was looked at."""
        assert look(tasks, [os.getpid(), process.pid], [process.pid]) == Processes(5, 1, 1, 203)

    def test_without_names_there_is_no_number(self, tasks: Tasks, process: subprocess.Popen[str]) -> None:
        assert tasks.look(5, lambda: [process.pid], lambda: None) == (Processes(5, None, None, None), None)

    def test_a_part_of_them_is_no_number(
        self,
        tasks: Tasks,
        proc: Proc,
        process: subprocess.Popen[str],
        errors: ReadErrors,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse(_: int) -> int:
            raise PermissionError(13, "no")

        monkeypatch.setattr(proc, "open_files", refuse)
        assert look(tasks, [process.pid]) == Processes(5, 1, 1, None)
        assert errors.counts == {("fd", "EACCES"): 1}


def look(tasks: Tasks, processes: list[int], threads: list[int] | None = None) -> Processes:
    found, _ = tasks.look(5, lambda: processes, lambda: processes if threads is None else threads)
    return found


class Case:
    """A /proc of our own with threads in it, and one container's."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.errors = ReadErrors()
        self.proc = Proc(root, self.errors)
        self.tasks = Tasks(self.proc, self.errors)
        self.named: list[int] = []

    def run(self, thread_id: int, run_delay_ns: int, timeslices: int) -> None:
        directory = self.root / str(thread_id)
        directory.mkdir(exist_ok=True)
        (directory / "schedstat").write_text(f"123 {run_delay_ns} {timeslices}\n")
        if thread_id not in self.named:
            self.named.append(thread_id)

    def read(self) -> tuple[int, int] | None:
        found = self.tasks.run_delay(7, lambda: list(self.named))
        assert found is None or found.at_ns == 7
        return found and (found.run_delay_ns, found.timeslices)


class TestRunDelay:
    @pytest.fixture
    def case(self, tmp_path: Path) -> Iterator[Case]:
        case = Case(tmp_path)
        yield case
        case.tasks.close()
        case.proc.close()

    def test_counts_from_when_it_was_first_read(self, case: Case) -> None:
        case.run(1, 1000, 10)
        case.run(2, 50, 5)
        assert case.read() == (0, 0)
        case.run(1, 1100, 12)
        case.run(2, 50, 6)
        assert case.read() == (100, 3)

    def test_a_thread_that_began_since_counts_from_its_beginning(self, case: Case) -> None:
        case.run(1, 1000, 10)
        case.read()
        case.run(2, 30, 3)
        assert case.read() == (30, 3)
        case.run(2, 40, 4)
        assert case.read() == (40, 4)

    def test_what_an_ended_thread_did_stays(self, case: Case) -> None:
        case.run(1, 0, 0)
        case.run(2, 0, 0)
        case.read()
        case.run(1, 10, 1)
        case.run(2, 20, 2)
        assert case.read() == (30, 3)
        case.named.remove(2)
        assert case.read() == (30, 3)

    def test_a_thread_that_left_for_another_cgroup_is_not_followed(self, case: Case) -> None:
        case.run(1, 0, 0)
        case.run(2, 0, 0)
        case.read()
        case.named.remove(2)
        case.read()
        (case.root / "2" / "schedstat").write_text("1 5000 50\n")
        assert case.read() == (0, 0)

    def test_an_id_that_went_to_somebody_else_before_it_was_opened(self, case: Case) -> None:
        case.run(1, 0, 0)
        case.read()
        case.run(2, 999, 9)
        answers: Iterator[list[int]] = iter([[1, 2], [1]])
        assert case.tasks.run_delay(7, lambda: next(answers)) == RunDelay(7, 0, 0)

    def test_a_thread_that_ends_before_it_is_opened(self, case: Case) -> None:
        case.run(1, 0, 0)
        case.named.append(NOBODY)
        assert case.read() == (0, 0)
        assert case.errors.total == 0

    @pytest.mark.parametrize("content", ["", "1 2", "garbage\n"])
    def test_no_figure_where_one_of_them_is_not_understood(self, case: Case, content: str) -> None:
        case.run(1, 0, 0)
        case.run(2, 0, 0)
        case.read()
        case.run(1, 10, 1)
        (case.root / "2" / "schedstat").write_text(content)
        assert case.read() is None
        assert case.errors.counts == {("schedstat", "malformed"): 1}
        case.run(2, 20, 2)
        assert case.read() == (30, 3)

    def test_what_could_not_be_opened_counts_from_when_it_can(
        self, case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case.run(1, 0, 0)
        case.read()
        case.run(2, 500, 5)

        def refuse(_: int) -> int:
            raise OSError(24, "too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(case.proc, "open_schedstat", refuse)
            assert case.read() is None
        assert case.errors.counts == {("schedstat", "EMFILE"): 1}
        assert case.read() == (0, 0)
        case.run(2, 510, 6)
        assert case.read() == (10, 1)

    def test_a_container_with_a_thousand_threads_takes_no_thousand_descriptors(self, case: Case) -> None:
        before = descriptors()
        for thread_id in range(1, MAX_THREADS + 1):
            case.run(thread_id, 0, 0)
        assert case.read() == (0, 0)
        assert descriptors() == before + MAX_THREADS
        case.run(MAX_THREADS + 1, 0, 0)
        assert case.read() is None
        assert case.errors.counts == {("schedstat", "too many threads"): 1}
        assert descriptors() == before

    def test_no_figure_without_names(self, case: Case) -> None:
        assert case.tasks.run_delay(7, lambda: None) is None


def test_a_thread_that_ends_is_noticed_by_the_read(errors: ReadErrors) -> None:
    """On the real /proc, where the descriptor of one that ended says so."""
    proc = Proc(Path("/proc"), errors)
    tasks = Tasks(proc, errors)
    with start(0) as other, start(0) as process:
        assert tasks.run_delay(7, lambda: [process.pid, other.pid]) is not None
        other.kill()
        other.wait()
        assert tasks.run_delay(8, lambda: [process.pid]) is not None
        process.kill()
    tasks.close()
    proc.close()
    assert errors.total == 0


@pytest.mark.parametrize(
    ("content", "waiting_us", "counted"),
    [
        ("some avg10=0.00 avg60=0.00 avg300=0.00 total=42\n", 42, {}),
        ("some avg10=0.00 avg60", None, {("pressure", "malformed"): 1}),
        (None, None, {}),
    ],
)
def test_pressure_of_the_node(
    tmp_path: Path,
    errors: ReadErrors,
    content: str | None,
    waiting_us: int | None,
    counted: dict[tuple[str, str], int],
) -> None:
    (tmp_path / "pressure").mkdir()
    if content is not None:
        (tmp_path / "pressure" / "cpu").write_text(content)
    proc = Proc(tmp_path, errors)
    assert proc.cpu_waiting_us() == waiting_us
    assert errors.counts == counted
    proc.close()


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
