"""What all pods of a node use together, and what is left there of pods that are gone.

Tenants that end take their cgroups with them, so what they leave can't be read from those. It is what the
kubelet's own parent of all pods has more than the pods that are there. Both cgroup versions; memory is
anonymous and shared memory, since page cache outlives the pod that filled it until somebody wants the room.
"""

import re
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from e2e.harness.cgroups import node_bash
from e2e.harness.readings import CgroupError

Uid = str
"""Of a pod; of a static one the hash that the kubelet gives it in its stead."""

SCRIPT: Final = r"""
cd /sys/fs/cgroup
echo "at $EPOCHREALTIME"
all=$(find . -ignore_readdir_race -type d -regextype posix-extended \
  -regex '.*(pod[0-9a-f_-]{32,36}|kubepods)(\.slice)?' 2> /dev/null)
sed 's/^/directory /' <<< "$all"
sed -E 's#(.*)#\1/memory.stat\n\1/cpuacct.usage\n\1/cpu.stat\n\1/pids.current#' <<< "$all" |
  xargs grep -sHE '^(total_rss |total_shmem |anon |shmem |usage_usec |[0-9]+$)' | sed 's/^/figure /'
grep -sHm1 -E 'pod[0-9a-f_-]{32,36}' /proc/[0-9]*/cgroup | sed 's/^/process /'
grep -shE '^[0-9]+ \(.*\) Z ' /proc/[0-9]*/stat | sed 's/^/zombie /'
find /proc/[0-9]*/fd -mindepth 1 -maxdepth 1 -printf '%h\n' 2> /dev/null | uniq -c | sed 's/^ */files /'
true
"""
_POD: Final = re.compile(r"pod([0-9a-f]{8}[_-]?[0-9a-f]{4}[_-]?[0-9a-f]{4}[_-]?[0-9a-f]{4}[_-]?[0-9a-f]{12})")
_ALL: Final = ""
"""In a pod's place: the parent of them all."""


@dataclass(frozen=True)
class Use:
    """
    Attributes:
        cpu_seconds: since the cgroup was made, what ended in it included.
        memory_bytes: anonymous and shared.
        threads: the kernel's own count (``pids.current``).
        open_files: descriptors of all processes.
    """

    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    threads: int = 0
    processes: int = 0
    open_files: int = 0

    def less(self, other: "Use") -> "Use":
        """What is left of it without the other."""
        return Use(
            self.cpu_seconds - other.cpu_seconds,
            self.memory_bytes - other.memory_bytes,
            self.threads - other.threads,
            self.processes - other.processes,
            self.open_files - other.open_files,
        )


@dataclass(frozen=True)
class Zombie:
    """A process that has ended and that nobody has asked for its end.

    Attributes:
        started: in ticks since the kernel's start: with the pid, that names it.
    """

    pid: int
    name: str
    started: int


@dataclass(frozen=True)
class Footprint:
    """One moment of a node.

    Attributes:
        at_seconds: the node's clock.
        whole: all pods together, by the kubelet's parent of them.
        pods: each that has a cgroup directory in any hierarchy, or a process.
        zombies: of the whole node: one's cgroup can't be told on version 1.
    """

    at_seconds: float
    whole: Use
    pods: Mapping[Uid, Use]
    zombies: frozenset[Zombie]

    def besides(self, others: Collection[Uid]) -> Use:
        """What is used by other pods than these: those that are there, and what is left of those gone."""
        rest = self.whole
        for uid in others:
            rest = rest.less(self.pods.get(uid, _NOTHING))
        return rest


_NOTHING: Final = Use()


def millicores(earlier: Footprint, later: Footprint, others: Collection[Uid]) -> float:
    """What other pods than these used of the CPU in between."""
    used = later.besides(others).cpu_seconds - earlier.besides(others).cpu_seconds
    return used / (later.at_seconds - earlier.at_seconds) * 1000


def footprint(node: str) -> Footprint:
    """
    Raises:
        CgroupError: when the node can't be looked at.
    """
    return parse(node_bash(node, SCRIPT))


def parse(output: str) -> Footprint:
    """What SCRIPT printed.

    Raises:
        CgroupError: when there is no parent of all pods.
    """
    at_seconds = 0.0
    figures: dict[Uid, dict[str, int]] = {}
    of_process: dict[str, Uid] = {}
    files: dict[str, int] = {}
    zombies = []
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        match kind:
            case "at":
                at_seconds = float(rest)
            case "directory":
                figures.setdefault(_uid(rest), {})
            case "figure":
                path, _, content = rest.partition(":")
                name, _, value = content.rpartition(" ")
                figures[_uid(path)][name or path.rpartition("/")[2]] = int(value)
            case "process":
                path, _, content = rest.partition(":")
                of_process[path.split("/")[2]] = _uid(content)
            case "zombie":
                zombies.append(_zombie(rest))
            case "files":
                count, _, path = rest.partition(" ")
                files[path.split("/")[2]] = int(count)
    if _ALL not in figures:
        raise CgroupError("the node has no cgroup kubepods: does its kubelet run?")
    pods = {
        uid: _use(figures.get(uid, {}), [files.get(pid, 0) for pid, of in of_process.items() if of == uid])
        for uid in (figures.keys() | of_process.values()) - {_ALL}
    }
    whole = _use(figures[_ALL], [files.get(pid, 0) for pid in of_process])
    return Footprint(at_seconds, whole, pods, frozenset(zombies))


def _uid(path: str) -> Uid:
    found = _POD.search(path)
    return found[1].replace("_", "-") if found else _ALL


def _use(figures: Mapping[str, int], files: Collection[int]) -> Use:
    nanoseconds = figures.get("cpuacct.usage", figures.get("usage_usec", 0) * 1000)
    memory = ("total_rss", "total_shmem") if "total_rss" in figures else ("anon", "shmem")
    return Use(
        cpu_seconds=nanoseconds / 1e9,
        memory_bytes=sum(figures.get(name, 0) for name in memory),
        threads=figures.get("pids.current", 0),
        processes=len(files),
        open_files=sum(files),
    )


def _zombie(stat: str) -> Zombie:
    """``proc_pid_stat(5)``; the name may hold spaces and brackets."""
    before, _, after = stat.rpartition(")")
    pid, _, name = before.partition(" (")
    return Zombie(int(pid), name, int(after.split()[19]))


class Watch:
    """Looks at a node again and again, in a thread."""

    def __init__(self, node: str, period_seconds: float = 1.0) -> None:
        self._node = node
        self._period_seconds = period_seconds
        self._stop = threading.Event()
        self.seen: list[tuple[float, Footprint]] = []
        """With the time.monotonic() of each."""

    def _run(self) -> None:
        while not self._stop.wait(self._period_seconds):
            try:
                found = footprint(self._node)
            except CgroupError:
                continue  # a look that failed is one fewer; what is asserted is looked at anew
            self.seen.append((time.monotonic(), found))

    @contextmanager
    def running(self) -> Iterator["Watch"]:
        thread = threading.Thread(target=self._run, name=f"watch {self._node}", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()
