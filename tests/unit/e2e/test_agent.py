"""The tenants' agent, as a process of its own, the way it runs in a pod."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from e2e.harness.wait import NotYet, wait_until
from e2e.tenant import agent as agent_module

PROGRAM = [sys.executable, "-I", "-S", "-B", str(Path(agent_module.__file__))]
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
        return int(psutil.Process(self.process.pid).memory_info().rss)


@pytest.fixture
def agent() -> Iterator[Running]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([*PROGRAM, "serve", "--port", str(port)]) as process:
        running = Running(process, port)
        wait_until(lambda: running.ask("GET", "/"), what="the agent to answer", deadline_seconds=10)
        yield running
        process.kill()


def test_answers_work(agent: Running) -> None:
    assert agent.ask("GET", "/work?units=1000") == (200, {"cores": 0, "bytes": 0})


def test_burns_with_a_process_for_each_core_and_stops(agent: Running) -> None:
    assert agent.ask("POST", "/burn?cores=2")[1]["cores"] == 2
    assert agent.children() == 2
    agent.ask("POST", "/burn?cores=0")
    assert agent.children() == 0


def test_holds_touched_memory_and_gives_it_back(agent: Running) -> None:
    idle = agent.memory_bytes()
    agent.ask("POST", f"/hold?bytes={50 * MIB}")
    assert 50 * MIB <= agent.memory_bytes() - idle < 60 * MIB
    agent.ask("POST", "/hold?bytes=0")
    assert agent.memory_bytes() - idle < 10 * MIB


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("POST", "/burn", 400, "give cores=N"),
        ("POST", "/hold?bytes=-1", 400, "give bytes=N"),
        ("GET", "/work?units=x", 400, "give units=N"),
        ("GET", "/burn", 404, "there are /, /work"),
    ],
)
def test_says_what_is_wrong(agent: Running, method: str, path: str, status: int, says: str) -> None:
    found, answer = agent.ask(method, path)
    assert found == status
    assert says in str(answer["error"])


def test_ends_at_once_with_its_burners(agent: Running) -> None:
    agent.ask("POST", "/burn?cores=2")
    children = psutil.Process(agent.process.pid).children()
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait(10) == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_load_reports_each_request(agent: Running) -> None:
    url = f"http://127.0.0.1:{agent.port}/work?units=100"
    command = [*PROGRAM, "load", url, "--rate", "100", "--seconds", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert (report["sent"], report["failed"], len(report["latencies_ms"])) == (50, 0, 50)
    assert 0 < report["in_time"] <= 50


def test_load_reports_failures() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/work"
        command = [*PROGRAM, "load", url, "--rate", "100", "--seconds", "0.05"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert (report["sent"], report["failed"], report["latencies_ms"]) == (5, 5, [])
    assert "ConnectionRefusedError" in report["errors"][0]
