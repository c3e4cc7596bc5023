"""The workload, as a process of its own, the way it runs in a pod."""

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from e2e.cluster.settings import REPOSITORY
from e2e.harness.wait import NotYet, wait_until

PROGRAM = [sys.executable, "-E", "-s", "-S", "-B", "-m", "e2e.workload"]
MIB = 1 << 20


class Running:
    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port

    def ask(self, method: str, path: str) -> tuple[int, dict[str, object]]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except ConnectionRefusedError as error:
            raise NotYet("it doesn't listen yet") from error
        finally:
            connection.close()

    def children(self) -> int:
        return len(psutil.Process(self.process.pid).children())

    def memory_bytes(self) -> int:
        """Its own, page by page: resident memory is summed per CPU and lags behind (proc(5), statm)."""
        return int(psutil.Process(self.process.pid).memory_full_info().uss)

    def held_bytes(self) -> int:
        """Of anonymous mappings made to be held, the pages that were touched. What else a process has comes
        and goes by some pages, also by what others map of the same files."""
        maps = psutil.Process(self.process.pid).memory_maps()
        return sum(each.rss for each in maps if each.path.startswith("/dev/zero"))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory on a disk: temporary ones may be in memory, which has no direct writes."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent, prefix=".scratch-") as name:
        yield Path(name)


@pytest.fixture
def agent(scratch: Path) -> Iterator[Running]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*PROGRAM, "--port", str(port), "--scratch", str(scratch)]
    with subprocess.Popen(command, cwd=REPOSITORY) as process:
        running = Running(process, port)
        wait_until(lambda: running.ask("GET", "/"), what="the agent to answer", deadline_seconds=10)
        yield running
        process.kill()


def test_says_what_it_does(agent: Running) -> None:
    nothing = {"cores": 0, "percent": 100, "bytes": 0, "files": 0, "processes": 0}
    assert agent.ask("GET", "/") == (200, nothing)


def test_burns_with_a_process_for_each_core_and_stops(agent: Running) -> None:
    assert agent.ask("POST", "/burn?cores=2")[1]["cores"] == 2
    assert agent.children() == 2
    agent.ask("POST", "/burn?cores=0")
    assert agent.children() == 0


def test_burns_a_part_of_a_core(agent: Running) -> None:
    agent.ask("POST", "/burn?cores=1&percent=20")
    (child,) = psutil.Process(agent.process.pid).children()

    def used() -> float:
        times = child.cpu_times()
        return float(times.user + times.system)

    start, before = time.monotonic(), used()
    wait_until(lambda: used() - before > 0.4, what="0.4 s of CPU time", deadline_seconds=60)
    assert time.monotonic() - start > 1.5, "a fifth of a core takes 2 s for it"
    assert agent.ask("POST", "/burn?cores=1&percent=30")[1]["percent"] == 30
    assert [other.pid for other in psutil.Process(agent.process.pid).children()] != [child.pid]


def test_keeps_files_open(agent: Running) -> None:
    process = psutil.Process(agent.process.pid)

    def open_files(of: psutil.Process, count: int) -> None:
        # the connection that was answered last is closed a moment later
        wait_until(lambda: of.num_fds() == count, what=f"{count} open files", deadline_seconds=10)

    own = 4  # standard input, output and error, and the socket that it listens on
    open_files(process, own)
    agent.ask("POST", "/files?count=200")
    open_files(process, own + 200)
    agent.ask("POST", "/processes?count=1")
    open_files(process.children()[0], 3)
    agent.ask("POST", "/files?count=0")
    open_files(process, own + 2)  # a pipe to its children


def test_has_idle_processes(agent: Running) -> None:
    assert agent.ask("POST", "/processes?count=5")[1]["processes"] == 5
    assert agent.children() == 5
    agent.ask("POST", "/processes?count=0")
    assert agent.children() == 0


def test_writes_to_the_disk_and_leaves_nothing(agent: Running, scratch: Path) -> None:
    before = psutil.Process(agent.process.pid).io_counters().write_chars
    assert agent.ask("POST", f"/write?bytes={3 * MIB + 4096}")[0] == 200
    written = psutil.Process(agent.process.pid).io_counters().write_chars - before
    assert 0 <= written - (3 * MIB + 4096) < 4096, "the answer is written too"
    assert not [*scratch.iterdir()]


def test_holds_touched_memory_and_gives_it_back(agent: Running) -> None:
    idle = agent.memory_bytes()
    agent.ask("POST", f"/hold?bytes={50 * MIB}")
    assert agent.held_bytes() == 50 * MIB
    assert agent.memory_bytes() - idle - 50 * MIB < MIB, "no copy to write from stays"
    agent.ask("POST", "/hold?bytes=0")
    assert agent.held_bytes() == 0
    assert agent.memory_bytes() - idle < MIB


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("POST", "/burn", 400, "give cores=N"),
        ("POST", "/burn?cores=1&percent=0", 400, "from 1 to 100"),
        ("POST", "/write?bytes=5", 400, "whole blocks of 4096"),
        ("POST", "/hold?bytes=-1", 400, "give bytes=N"),
        ("POST", "/files?count=x", 400, "give count=N"),
        ("GET", "/burn", 404, "there are /"),
    ],
)
def test_says_what_is_wrong(agent: Running, method: str, path: str, status: int, says: str) -> None:
    found, answer = agent.ask(method, path)
    assert found == status
    assert says in str(answer["error"])


def test_ends_at_once_with_its_burners(agent: Running) -> None:
    agent.ask("POST", "/burn?cores=2")
    agent.ask("POST", "/processes?count=2")
    children = psutil.Process(agent.process.pid).children()
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(10) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
