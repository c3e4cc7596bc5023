"""Processes that were started by someone else: told apart, found, ended."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import engine, processes


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "600"], env={**os.environ, "CLUSTER_TEST_MARK": str(os.getpid())})
    yield process
    process.kill()
    process.wait()


def test_a_pid_file_counts_only_while_its_process_runs_that_program(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    assert processes.running_pid(pid_file, "sleep") is None
    pid_file.write_text(f"{sleeper.pid}\n")
    assert processes.running_pid(pid_file, "sleep") == sleeper.pid
    assert processes.running_pid(pid_file, "dockerd") is None  # its number belongs to something else now
    sleeper.kill()
    sleeper.wait()
    assert processes.running_pid(pid_file, "sleep") is None
    pid_file.write_text("")
    assert processes.running_pid(pid_file, "sleep") is None


def test_processes_are_found_by_a_mark_in_their_environment(sleeper: subprocess.Popen[bytes]) -> None:
    assert processes.carrying("CLUSTER_TEST_MARK", str(os.getpid())) == [sleeper.pid]
    assert processes.carrying("CLUSTER_TEST_MARK", "another") == []
    assert processes.command_line(sleeper.pid) == "sleep 600"


def test_end_ends_a_process_and_does_not_mind_one_that_has_ended(sleeper: subprocess.Popen[bytes]) -> None:
    processes.end(sleeper.pid)
    assert processes.gone(sleeper.pid)
    sleeper.wait()
    processes.end(sleeper.pid)


def test_end_does_not_take_no_for_an_answer() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)"
    deaf += "; time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        process.stdout.readline()
    processes.end(process.pid, patience=0.1)
    assert process.wait() == -9


def test_dockerd_is_told_of_another_runtime_only_where_it_is_needed(tmp_path: Path) -> None:
    plain = engine.configuration(tmp_path, None)
    assert "default-runtime" not in plain
    lowering = engine.configuration(tmp_path, tmp_path / "oci-runtime")
    assert lowering["runtimes"][lowering["default-runtime"]] == {"path": str(tmp_path / "oci-runtime")}
