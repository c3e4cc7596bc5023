"""Who makes whom stall for a slow disk or for memory, on a real kernel; version 1 doesn't tell."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.harness.handmade import Container, Kubelet, cgroup_version
from tenantquota.api.stalls import Resource
from tenantquota.domain.stalls import HARM_MS
from tenantquota.domain.usage import MemoryStall
from tenantquota.node.containers import Owner
from tenantquota.node.stalls import Harming, Stalls
from tests.kernel.following import PROC_ROOT, Followed
from tests.kernel.workloads import HOLD

SLOW_DISK = Path("/mnt/slow")
MI = 1 << 20
FILE_BYTES = 96 * MI
NODE_BYTES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
DEADLINE_SECONDS = 60
WATCHED_SECONDS = 8
"""In which nothing may be found: four times what a finding takes."""

POKE = """
import os, sys, time
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
print("ready", flush=True)
while True:
    os.pwrite(file, b"x" * 4096, 0)
    os.fsync(file)
    time.sleep(0.05)
"""
"""Writes and syncs a page up to 20 times a second."""
FLOOD = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
block = b"x" * (8 << 20)
print("ready", flush=True)
while True:
    os.pwrite(file, block, 0)
    os.fsync(file)
"""
READ = """
import os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
for offset in range(0, int(sys.argv[2]), 1 << 20):
    os.pwrite(file, b"x" * (1 << 20), offset)
os.fsync(file)
print("ready", flush=True)
while True:
    for offset in range(0, int(sys.argv[2]), 1 << 16):
        os.pread(file, 1 << 16, offset)
"""
"""Reads a file again and again: from memory, where there is enough."""
GROW = """
import mmap, sys, time
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("1000")
now, most = int(sys.argv[1]), int(sys.argv[1]) + int(sys.argv[2])
block = mmap.mmap(-1, most)
for offset in range(0, now, 4096):
    block[offset] = 1
print("ready", flush=True)
for offset in range(now, most, 4096):
    block[offset] = 1
    if not offset % (8 << 20):
        time.sleep(1)
sys.stdin.read()
"""
"""Takes so much at once, and 8 MiB more each second, since nobody can say how much a node has to give."""


class Node:
    def __init__(self, kubelet: Kubelet, followed: Followed) -> None:
        self._kubelet = kubelet
        self._followed = followed
        self.stalls = Stalls("n1", followed.gates, NODE_BYTES)

    def start(self, tenant: str, *, memory_bytes: int | None = None, request_bytes: int = 0) -> Container:
        container = self._kubelet.start(memory_bytes=memory_bytes)
        owner = Owner(tenant, tenant, tenant, "agent", memory_request_bytes=request_bytes)
        self._followed.owners.pods[container.pod_uid] = owner
        return container

    def tick(self, *, everything: bool = False) -> list[Harming]:
        tick = self._followed.tick(everything=everything)
        self.stalls.after_tick(tick, list(self._followed.sampler.containers))
        return self.stalls.harming()

    def watch(self, seconds: int = WATCHED_SECONDS, *, everything: bool = False) -> None:
        """Nobody is blamed in that time."""
        for _ in range(seconds):
            assert self.tick(everything=everything) == []
            time.sleep(1)

    def calm(self) -> None:
        """The quiet levels become known, as if half a minute passed each second."""
        self.watch(everything=True)

    def until(self, found: Callable[[list[Harming]], bool]) -> list[Harming]:
        for _ in range(DEADLINE_SECONDS):
            harming = self.tick()
            if found(harming):
                return harming
            time.sleep(1)
        pytest.fail(f"not so within {DEADLINE_SECONDS} s: {self.tick()}")

    def reclaimed(self) -> tuple[int, int]:
        """Grows while memory is short for all."""
        assert self._followed.gates is not None
        reclaimed = self._followed.gates.reclaimed()
        assert reclaimed is not None
        return reclaimed

    def memory_stall(self, of: Container) -> MemoryStall:
        stall = self._followed[of].memory_stalls.latest
        assert stall is not None
        return stall

    def kubepods(self) -> Path:
        (path,) = (path for path in self._followed.cgroups.tree.kubepods() if "tqtest" in path)
        return Path(path)


@pytest.fixture
def node(kubelet: Kubelet, followed: Followed) -> Node:
    return Node(kubelet, followed)


@pytest.fixture
def files() -> Iterator[Path]:
    """On a disk on which one waits for another."""
    assert SLOW_DISK.is_mount(), f"no slow disk at {SLOW_DISK}: run these with `python -m e2e.cgroup2vm`"
    yield SLOW_DISK
    for path in SLOW_DISK.glob("tenantquota-*"):
        path.unlink()


def available_bytes() -> int:
    for line in (PROC_ROOT / "meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    raise AssertionError("the kernel doesn't tell what memory is available")


if cgroup_version() == 1:

    def test_nothing_is_claimed_where_the_kernel_does_not_tell(node: Node, disk: Path) -> None:
        node.start("hog").python(FLOOD, str(disk / "flood"))
        node.watch(2)
        assert not node.stalls.sees

else:

    def test_a_writer_that_floods_the_disk_is_blamed_and_nobody_else(node: Node, files: Path) -> None:
        hog, small, bystander = node.start("hog"), node.start("small"), node.start("bystander")
        small.python(POKE, str(files / "tenantquota-poke"))
        bystander.python(HOLD, str(MI))
        node.calm()
        hog.python(FLOOD, str(files / "tenantquota-flood"))

        (harming,) = node.until(bool)
        assert (harming.tenant, harming.resource, harming.victims) == ("hog", Resource.IO, ("small",))
        print(harming.message)

        hog.end()
        node.until(lambda harming: harming == [])

    def test_one_that_floods_the_disk_alone_is_blamed_for_nothing(node: Node, files: Path) -> None:
        node.start("hog").python(FLOOD, str(files / "tenantquota-flood"))
        node.start("bystander").python(HOLD, str(MI))
        node.calm()
        node.watch()

    @pytest.mark.parametrize("short", ["of the node", "of all pods"])
    def test_who_takes_memory_over_its_request_is_blamed(node: Node, files: Path, short: str) -> None:
        """Small reads a file that stays in memory as long as there is room for it."""
        hog, small = node.start("hog"), node.start("small", request_bytes=2 * FILE_BYTES)
        small.python(READ, str(files / "tenantquota-read"), str(FILE_BYTES))
        node.calm()
        if short == "of the node":
            room_bytes = available_bytes() - FILE_BYTES
        else:
            room_bytes = 2 * FILE_BYTES
            used_bytes = int((node.kubepods() / "memory.current").read_text())
            (node.kubepods() / "memory.max").write_text(str(used_bytes + room_bytes))
        hog.python(GROW, str(room_bytes), str(2 * FILE_BYTES))

        (harming,) = node.until(bool)
        assert (harming.tenant, harming.resource, harming.victims) == ("hog", Resource.MEMORY, ("small",))
        print(harming.message)

    @pytest.mark.parametrize("level", ["container", "pod"])
    def test_who_is_at_its_own_memory_limit_is_nobodys_victim(node: Node, files: Path, level: str) -> None:
        """And harms nobody, though another one holds much more than it requested."""
        holder, tight = node.start("holder"), node.start("tight")
        holder.python(HOLD, str(NODE_BYTES // 8))
        tight.python(READ, str(files / "tenantquota-read"), str(FILE_BYTES))
        node.calm()
        before, reclaimed = node.memory_stall(tight), node.reclaimed()
        (path,) = tight.directories
        limited = path if level == "container" else path.parent
        (limited / "memory.max").write_text(str(FILE_BYTES // 3))
        node.watch()
        node.watch(1, everything=True)

        after = node.memory_stall(tight)
        assert after.waiting_us - before.waiting_us > HARM_MS * 1000 * WATCHED_SECONDS
        assert after.limit_hits > before.limit_hits
        assert node.reclaimed() == reclaimed, "memory was short for all"
