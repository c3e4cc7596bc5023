"""The agent as it runs: a process of its own, a cgroup tree of plain files, and a server that misbehaves."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.harness.wait import NotYet, wait_until
from tests.unit.kube.test_plain import token
from tests.unit.node.apiserver import HOLD, REFUSE, FakeApiServer, event, pod, quota, serving

DEADLINE_SECONDS = 30.0
OPERATOR = Path(__file__).parents[3] / "operator"
POD_UID = "0d9b5a51-6dd0-4b1f-8a37-9ce7a0d0e6f1"
CONTAINER_ID = "a" * 64

FILES = {
    "cpu.stat": "usage_usec 1000000\nuser_usec 1\nsystem_usec 1\nnr_periods 10\nnr_throttled 1\n"
    "throttled_usec 5000\n",
    "cpu.max": "50000 100000\n",
    "memory.current": "33554432\n",
    "memory.max": "67108864\n",
    "memory.stat": "anon 1\ninactive_file 1048576\n",
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n",
    "memory.peak": "44554432\n",
    "io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
    "pids.current": "1\n",
    "cgroup.procs": "",
    "cgroup.threads": "",
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
}

AUDITED = """
import json, os, runpy, sys
kept = []
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
           "os.truncate", "os.utime", "os.setxattr", "os.removexattr", "os.system", "os.exec", "os.fork",
           "os.posix_spawn", "subprocess.Popen", "os.kill", "signal.pthread_kill"}
def hook(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        kept.append((bool(flags & WRITES), str(path)))
    elif event in CHANGES:
        kept.append((True, f"{event} {arguments}"))
sys.addaudithook(hook)
sys.argv[0] = "tenantquota"
try:
    runpy.run_module("tenantquota", run_name="__main__", alter_sys=True)
finally:
    wrote = [what for writes, what in kept if writes]
    read = {what for writes, what in kept if not writes}
    os.write(1, json.dumps({"wrote": wrote, "read": sorted(read)}).encode())
"""
"""Runs the agent and prints what it opened and changed. With -B, since it is not imports that are tested."""


def free_port() -> int:
    with socket.socket() as of:
        of.bind(("127.0.0.1", 0))
        port: int = of.getsockname()[1]
        return port


@dataclass
class Agent:
    process: subprocess.Popen[str]
    port: int

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=DEADLINE_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            raise NotYet(str(error)) from error

    def metric(self, name: str, **of: str) -> float | None:
        _, page = self.get("/metrics")
        for family in text_string_to_metric_families(page):
            for item in family.samples:
                if item.name == name and of.items() <= item.labels.items():
                    return float(item.value)
        return None

    def until(self, check: Callable[[], bool], what: str) -> None:
        def alive() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"the agent ended: {self.process.communicate()}")
            return check()

        wait_until(alive, what=what, deadline_seconds=DEADLINE_SECONDS, poll_seconds=0.02)

    def end(self) -> tuple[str, str]:
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=DEADLINE_SECONDS)


@dataclass
class World:
    """What the agent runs in."""

    api: FakeApiServer
    cgroups: Path
    leaf: Path
    credentials: Path
    started: list[subprocess.Popen[str]]

    def start(self, *command: str) -> Agent:
        port = free_port()
        process = subprocess.Popen(
            [
                sys.executable,
                "-B",
                *(command or ("-m", "tenantquota")),
                "node",
                f"--api-server={self.api.url}",
                f"--credentials={self.credentials}",
                f"--cgroup-root={self.cgroups}",
                f"--http-port={port}",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(OPERATOR)},
        )
        self.started.append(process)
        return Agent(process, port)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A version 2 tree with one container, and a server that knows its pod."""
    cgroups = tmp_path / "cgroup"
    pods = cgroups / "kubepods.slice/kubepods-burstable.slice"
    leaf = (
        pods / f"kubepods-burstable-pod{POD_UID.replace('-', '_')}.slice/cri-containerd-{CONTAINER_ID}.scope"
    )
    leaf.mkdir(parents=True)
    (cgroups / "cgroup.controllers").write_text("cpu io memory pids\n")
    for name, content in FILES.items():
        (leaf / name).write_text(content)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "token").write_text(token({"kubernetes.io": {"node": {"name": "n1", "uid": "u-1"}}}))
    started: list[subprocess.Popen[str]] = []
    with serving() as api:
        api.pods = [pod(POD_UID, CONTAINER_ID)]
        api.quotas = [quota("q1", "acme")]
        yield World(api, cgroups, leaf, credentials, started)
    for process in started:
        process.kill()
        process.communicate()


def test_reports_what_the_cgroup_says(world: World) -> None:
    agent = world.start()
    agent.until(lambda: bool(world.api.reports), "the first report")

    report = world.api.reports[0]
    assert report["metadata"]["name"] == "n1"
    assert report["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    (container,) = report["containers"]
    assert container["cpuLimitMilli"] == 500
    assert container["memoryLimitBytes"] == 64 * 2**20
    assert container["memoryBytes"] == 31 * 2**20
    assert agent.metric("tenantquota_container_cpu_usage_seconds_total", pod=f"agent-{POD_UID}") == 1.0


def test_a_limit_that_was_changed_by_hand_is_told(world: World) -> None:
    agent = world.start()
    agent.until(lambda: bool(world.api.reports), "the first report")
    (world.leaf / "cpu.max").write_text("20000 100000\n")

    agent.until(lambda: len(world.api.reports) == 2, "the second report")
    assert world.api.reports[1]["containers"][0]["cpuLimitMilli"] == 200


def test_ends_at_once_when_told_to(world: World) -> None:
    """In the middle of everything: a report that hangs, a watch that is open, a scrape that doesn't end."""
    world.api.streams.append([HOLD])
    agent = world.start()
    agent.until(lambda: bool(world.api.reports), "the first report")
    with socket.create_connection(("127.0.0.1", agent.port)):
        start = time.monotonic()
        _, log = agent.end()

    assert agent.process.returncode == 0
    assert time.monotonic() - start < DEADLINE_SECONDS / 2
    lines = [json.loads(line) for line in log.splitlines()]
    assert lines[-1]["message"].startswith("stopped after")
    assert not [line for line in lines if line["severity"] in {"warning", "error"}]


def test_goes_on_sampling_while_the_api_server_is_broken(world: World) -> None:
    world.api.streams.append([event("MODIFIED", pod(POD_UID, CONTAINER_ID, version="101"))])
    world.api.streams.extend([[REFUSE]] * 10_000)
    agent = world.start()
    agent.until(lambda: bool(world.api.reports), "the first report")
    world.api.refusals.extend([(503, b"")] * 10_000)
    ticks = agent.metric("tenantquota_node_ticks_total") or 0
    (world.leaf / "cpu.stat").write_text(
        FILES["cpu.stat"].replace("usage_usec 1000000", "usage_usec 7000000")
    )

    def goes_on() -> bool:
        used = agent.metric("tenantquota_container_cpu_usage_seconds_total")
        failures = agent.metric("tenantquota_node_api_errors_total", request="pods") or 0
        return used == 7.0 and failures > 1

    agent.until(goes_on, "the new figure")
    assert (agent.metric("tenantquota_node_ticks_total") or 0) > ticks
    assert agent.get("/healthz") == (200, "ok\n")


def test_waits_for_an_api_server_that_is_not_there_yet(world: World) -> None:
    world.api.refusals.extend([(503, b"")] * 4)
    agent = world.start()
    seen: list[int] = []

    def ready() -> bool:
        seen.append(agent.get("/readyz")[0])
        return seen[-1] == 200

    agent.until(ready, "it to be ready")
    agent.until(lambda: bool(world.api.reports), "a report")
    assert len(world.api.reports[0]["containers"]) == 1, "nothing is told before it is known whose they are"


def test_ends_when_one_of_its_threads_has(world: World) -> None:
    """It is started anew then; without its watch it would follow no new container, and nobody would know."""
    world.api.streams.append([b"[" * 100_000 + b"\n"])
    agent = world.start()
    _, log = agent.process.communicate(timeout=DEADLINE_SECONDS)

    assert agent.process.returncode == 1
    assert "thread pods failed" in log
    assert "RecursionError" in log


def test_knows_no_other_pages(world: World) -> None:
    agent = world.start()
    agent.until(lambda: agent.get("/readyz")[0] == 200, "it to be ready")

    assert agent.get("/")[0] == 404
    assert agent.get("/metrics?x=y")[0] == 200


def test_opens_nothing_for_writing(world: World) -> None:
    agent = world.start("-c", AUDITED)
    agent.until(lambda: bool(world.api.reports), "the first report")
    agent.until(lambda: (agent.metric("tenantquota_node_ticks_total") or 0) >= 4, "some ticks")
    printed, log = agent.end()

    opened = json.loads(printed)
    assert opened["wrote"] == [], log
    assert {"cpu.max", "cpu.stat", "memory.stat"} <= set(opened["read"]), "the hook sees what is opened"


def test_the_audit_sees_a_write(tmp_path: Path) -> None:
    """Else the test above could not fail."""
    (tmp_path / "tenantquota").mkdir()
    (tmp_path / "tenantquota/__init__.py").touch()
    (tmp_path / "tenantquota/__main__.py").write_text(
        "import os\nos.close(os.open('x', os.O_WRONLY | os.O_CREAT))\nopen('y', 'w').close()\nos.mkdir('z')\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", AUDITED],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        timeout=DEADLINE_SECONDS,
    )

    wrote = json.loads(done.stdout)["wrote"]
    assert [what.split()[0] for what in wrote] == ["x", "y", "os.mkdir"]


HEAVY = ("kopf", "kubernetes", "pydantic", "aiohttp", "yaml", "asyncio", "prometheus_client", "psutil")
"""What the controller needs, and the agent must not pay for."""


def test_loads_nothing_heavy(world: World) -> None:
    script = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print(*sys.modules, flush=True))\n"
        "runpy.run_module('tenantquota', run_name='__main__', alter_sys=True)\n"
    )
    agent = world.start("-c", script)
    agent.until(lambda: bool(world.api.reports), "the first report")
    agent.until(lambda: agent.get("/metrics")[0] == 200, "a scrape")
    loaded, log = agent.end()

    assert "tenantquota.node.sampler" in loaded.split(), log
    assert not {name.partition(".")[0] for name in loaded.split()} & set(HEAVY)


def test_a_token_that_names_no_node_is_told(world: World) -> None:
    (world.credentials / "token").write_text("opaque")
    agent = world.start()
    _, log = agent.process.communicate(timeout=DEADLINE_SECONDS)

    assert agent.process.returncode == 1
    assert "--bound-object-kind=Node" in json.loads(log)["message"]


def test_a_cgroup_root_that_is_none_is_told(world: World) -> None:
    world.cgroups.rename(world.cgroups.with_name("elsewhere"))
    agent = world.start()
    _, log = agent.process.communicate(timeout=DEADLINE_SECONDS)

    assert agent.process.returncode == 1
    assert "mount the node's /sys/fs/cgroup there" in json.loads(log)["message"]


def test_a_port_that_is_taken_is_told(world: World) -> None:
    first = world.start()
    first.until(lambda: first.get("/healthz")[0] == 200, "the first agent")
    second = subprocess.run(
        [*first.process.args],  # type: ignore[misc]
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(OPERATOR)},
        timeout=DEADLINE_SECONDS,
    )

    assert second.returncode == 1
    assert "Address already in use" in json.loads(second.stderr)["message"]
