"""Workloads of known size, measured as the node agent does it."""

import subprocess
import time
from pathlib import Path

import pytest

from e2e.harness.handmade import Container, Kubelet
from tenantquota.domain.usage import Limits, wait_per_dispatch_us
from tests.kernel.following import Followed
from tests.kernel.workloads import HOLD

MI = 1 << 20

BURN = """
import sys, time
share, period = float(sys.argv[1]), 0.1
print("ready", flush=True)
while True:
    began, used = time.monotonic(), time.process_time()
    while time.process_time() - used < share * period:
        pass
    time.sleep(max(0.0, began + period - time.monotonic()))
"""
SPIN = 'print("ready", flush=True)\nwhile True:\n    pass'
OPEN = """
import sys
files = [open("/dev/null") for _ in range(int(sys.argv[1]))]
print("ready", flush=True)
sys.stdin.read()
"""
FORK = """
import os, signal, sys, threading, time
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        signal.pause()
for _ in range(int(sys.argv[2])):
    threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
print("ready", flush=True)
signal.pause()
"""
ZOMBIES = """
import os, signal, sys
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print("ready", flush=True)
signal.pause()
"""
WRITE = """
import mmap, os, sys, time
size = int(sys.argv[2])
block = mmap.mmap(-1, 1 << 20)
block.write(b"x" * (1 << 20))
print("ready", flush=True)
sys.stdin.readline()
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
for _ in range(size >> 20):
    os.write(file, block)
os.close(file)
while time.process_time() < 0.1: # enough for its files to be worth a look
    pass
print("written", flush=True)
sys.stdin.read()
"""
EAT = """
import sys
print("ready", flush=True)
sys.stdin.readline()
blocks = []
while True:
    blocks.append(bytearray(1 << 20))
"""


class TestCpu:
    def test_30_percent_of_a_core(self, followed: Followed, container: Container) -> None:
        """Within 2 percentage points of what the scheduler says of the process itself: where others work it
        may not get what it asks for, and emulated it can't count so finely."""
        process = container.python(BURN, "0.3")
        before, since = cpu_seconds(process), time.monotonic()
        measured = followed.over(container, 4)
        used = (cpu_seconds(process) - before) / (time.monotonic() - since) * 100
        assert measured.cpu_milli is not None
        assert measured.cpu_milli / 10 == pytest.approx(used, abs=2)
        assert 10 < used < 60

    def test_an_idle_container_uses_nothing(self, followed: Followed, container: Container) -> None:
        container.python(HOLD, "4096")
        measured = followed.over(container, 2)
        assert measured.cpu_milli is not None
        assert measured.cpu_milli < 10
        assert measured.throttled_fraction == 0.0

    def test_its_own_limit(self, followed: Followed, container: Container, kubelet: Kubelet) -> None:
        kubelet.set_limits(container, cpu_milli=200)
        container.python(SPIN)
        measured = followed.over(container, 4)
        assert measured.cpu_milli is not None
        assert measured.throttled_fraction is not None
        assert measured.throttled_ms_per_second is not None
        assert measured.cpu_milli < 230
        assert measured.throttled_fraction > 0.5
        assert measured.throttled_ms_per_second > 100
        assert measured.cpu_waiting_fraction is not None
        assert measured.cpu_waiting_fraction > 0.1

    def test_waiting_for_a_neighbour(
        self, followed: Followed, kubelet: Kubelet, container: Container
    ) -> None:
        """Threads that share one core wait long each time; the same alone hardly at all."""
        container.python(SPIN)
        others = [kubelet.start() for _ in range(6)]
        followed.tick(everything=True)
        time.sleep(0.5)
        followed.tick(everything=True)
        for other in others:
            other.python(SPIN)
        followed.tick(everything=True)
        time.sleep(2)
        followed.tick(everything=True)
        found = followed[container].run_delays.all()
        assert len(found) == 4
        waited = wait_per_dispatch_us(found[2], found[3])
        assert waited is not None
        assert found[3].run_delay_ns - found[2].run_delay_ns > 500_000_000
        assert waited > 500


class TestMemory:
    def test_100_mib_held(self, followed: Followed, container: Container) -> None:
        process = container.python(HOLD, "4096")
        followed.tick()
        before = followed[container].working_set_bytes
        process.kill()
        process.wait()
        container.python(HOLD, str(100 * MI))
        followed.tick()
        after = followed[container].working_set_bytes
        assert before is not None
        assert after is not None
        assert after - before == pytest.approx(100 * MI, abs=2 * MI)

    def test_its_peak_stays(self, followed: Followed, container: Container) -> None:
        process = container.python(HOLD, str(50 * MI))
        process.kill()
        process.wait()
        followed.tick()
        detail, sample = followed[container].details.latest, followed[container].samples.latest
        assert detail is not None
        assert sample is not None
        assert sample.memory_usage_bytes is not None
        assert detail.memory_peak_bytes is not None
        assert sample.memory_usage_bytes < 50 * MI < detail.memory_peak_bytes

    def test_an_oom_kill(self, followed: Followed, container: Container, kubelet: Kubelet) -> None:
        kubelet.set_limits(container, memory_bytes=30 * MI)
        followed.tick(everything=True)
        process = container.python(EAT)
        tell(process)
        process.wait()
        followed.tick(everything=True)
        before, after = followed[container].details.all()
        assert (before.oom_kills, after.oom_kills) == (0, 1)


class TestProcesses:
    def test_200_open_files(self, followed: Followed, container: Container) -> None:
        container.python(OPEN, "200")
        followed.tick(everything=True)
        latest = followed[container].processes.latest
        assert latest is not None
        assert (latest.open_files, latest.processes) == (203, 1)

    @pytest.mark.parametrize(("children", "threads"), [(0, 0), (12, 5), (300, 20)])
    def test_processes_and_threads(
        self, followed: Followed, container: Container, children: int, threads: int
    ) -> None:
        """300 ids take more than a page of the file that lists them."""
        container.python(FORK, str(children), str(threads))
        followed.tick(everything=True)
        latest = followed[container].processes.latest
        assert latest is not None
        assert (latest.processes, latest.threads) == (children + 1, children + 1 + threads)
        assert latest.open_files == 3 * (children + 1)
        assert latest.zombies == 0
        container.end()

    def test_zombies(self, followed: Followed, container: Container) -> None:
        container.python(ZOMBIES, "12")
        followed.tick(everything=True)
        latest = followed[container].processes.latest
        assert latest is not None
        assert (latest.processes, latest.threads, latest.zombies) == (1, 1, 12)


class TestIo:
    def test_bytes_written(self, followed: Followed, container: Container, disk: Path) -> None:
        process = container.python(WRITE, str(disk / "file"), str(16 * MI))
        followed.tick()
        before = followed[container].samples.latest
        tell(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        followed.tick()
        after = followed[container].samples.latest
        assert before is not None
        assert after is not None
        assert after.io_written_bytes is not None
        assert before.io_written_bytes is not None
        assert after.io_written_bytes - before.io_written_bytes == pytest.approx(16 * MI, rel=0.05)


class TestLimits:
    def test_those_in_force(self, followed: Followed, container: Container) -> None:
        followed.tick()
        limits = followed[container].limits
        assert limits == Limits(limits.at_ns if limits else 0, 100_000, 100_000, 512 * MI)

    def test_none(self, followed: Followed, kubelet: Kubelet) -> None:
        container = kubelet.start()
        followed.own(container)
        followed.tick()
        limits = followed[container].limits
        assert limits == Limits(limits.at_ns if limits else 0, None, 100_000, None)

    def test_one_changed_by_hand_is_seen_in_the_next_tick(
        self, followed: Followed, container: Container, kubelet: Kubelet
    ) -> None:
        followed.tick()
        followed.tick()
        kubelet.set_limits(container, cpu_milli=70)
        followed.tick()
        limits = followed[container].limits
        assert limits is not None
        assert limits.cpu_milli == 70
        kubelet.set_limits(container, memory_bytes=64 * MI)
        followed.tick()
        limits = followed[container].limits
        assert limits is not None
        assert limits.memory_limit_bytes == 64 * MI
        assert followed.errors.total == 0


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """CPU time of a process, as the scheduler counts it for the process alone."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e9


def tell(process: subprocess.Popen[str]) -> None:
    """Lets the workload begin."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
