"""When the node's threads stall for I/O or memory, and so when it is worth reading for whose sake they do.

Two small files each second tell of the whole node. Those of a container are read while the node stalls, and
else as seldom as its other details: a container stalls no longer than its node does.
"""

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from tenantquota.domain.stalls import HARM_MS
from tenantquota.domain.usage import IoStall, MemoryStall, increase
from tenantquota.node.cgroups import parsing
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.reader import Reader
from tenantquota.node.containers import Container
from tenantquota.node.window import LastTwo

STALLED_US: Final = int(HARM_MS * 1000)
"""A second in which the node stalled for less has no harm in it."""
HOLD_TICKS: Final = 3
"""From one with more on, so many are looked at: what comes and goes must be seen twice."""
_BYTES: Final = 512
_UNOPENED: Final = -1
_ABSENT: Final = -2

Done = Mapping[str, tuple[int, int]]
"""By device: operations and bytes; counters."""
Look = TypeVar("Look", IoStall, MemoryStall)
Value = TypeVar("Value")


class Stalled(NamedTuple):
    """Whether the node's threads stalled in this second or the last few."""

    io: bool = False
    memory: bool = False


class _Gate:
    """One pressure file of the node, kept open."""

    __slots__ = ("_errors", "_fd", "_left", "_path", "_total_us")

    def __init__(self, path: Path, errors: ReadErrors) -> None:
        self._path = path
        self._errors = errors
        self._fd = _UNOPENED
        self._total_us: int | None = None
        self._left = 0

    @property
    def present(self) -> bool:
        return self._fd != _ABSENT

    def is_open(self) -> bool:
        """To be asked once a second."""
        if self._fd == _ABSENT:
            return False
        before, self._total_us = self._total_us, self._read()
        stalled_us = increase(before, self._total_us)
        if stalled_us is not None and stalled_us >= STALLED_US:
            self._left = HOLD_TICKS
        elif self._left:
            self._left -= 1
        return self._left > 0

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = _UNOPENED

    def _read(self) -> int | None:
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            return parsing.pressure_some_us(os.pread(self._fd, _BYTES, 0))
        except (OSError, ValueError) as error:
            self.close()
            if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
                self._fd = _ABSENT
            else:
                self._errors.count("pressure", error)
            return None


class Gates:
    """The node's pressure.

    Args:
        cgroup_root: of the node's cgroup version 2 file system. Its own pressure files are those of
            /proc/pressure, and are there only if the kernel keeps any for cgroups.
        kubepods: the kubelet's directories of all pods.
    """

    def __init__(
        self, proc_root: Path, cgroup_root: Path, kubepods: Callable[[], Iterable[str]], errors: ReadErrors
    ) -> None:
        self._proc_root = proc_root
        self._cgroup_root = cgroup_root
        self._kubepods = kubepods
        self._errors = errors
        self._io = _Gate(cgroup_root / "io.pressure", errors)
        self._memory = _Gate(cgroup_root / "memory.pressure", errors)

    def present(self) -> bool:
        """This kernel has pressure."""
        self.look()
        return self._io.present and self._memory.present

    def look(self) -> Stalled:
        """To be asked once a second."""
        return Stalled(self._io.is_open(), self._memory.is_open())

    def io_done(self) -> Done | None:
        """Of the whole node, whoever's it is."""
        return self._read(self._cgroup_root / "io.stat", parsing.io_done)

    def reclaimed(self) -> tuple[int, int] | None:
        """What grows while memory is short for all: the pages that were looked at to free memory of the node,
        and how often all pods together were at the limit that the kubelet gives them (Node Allocatable)."""
        scanned = self._read(self._proc_root / "vmstat", parsing.pages_scanned)
        hits = [
            self._read(Path(path, "memory.events.local"), parsing.limit_hits) for path in self._kubepods()
        ]
        return None if scanned is None else (scanned, sum(each or 0 for each in hits))

    def close(self) -> None:
        self._io.close()
        self._memory.close()

    def _read(self, path: Path, parse: Callable[[bytes], Value]) -> Value | None:
        try:
            return parse(path.read_bytes())
        except (OSError, ValueError) as error:
            self._errors.count(path.name, error)
            return None


def open_gates(
    version: int,
    proc_root: Path,
    cgroup_root: Path,
    kubepods: Callable[[], Iterable[str]],
    errors: ReadErrors,
) -> Gates | None:
    """None where the kernel doesn't tell who stalls: on cgroup version 1, whose containers' I/O isn't all
    counted either, and where pressure is left out or off (``psi=0``)."""
    gates = Gates(proc_root, cgroup_root, kubepods, errors)
    if version == 1 or not gates.present():
        gates.close()
        return None
    return gates


class Looks:
    """Reads what one container stalls."""

    __slots__ = ("_io_usage_ns", "_memory_usage_ns")

    def __init__(self) -> None:
        self._io_usage_ns: int | None = None
        """The CPU time at the last look."""
        self._memory_usage_ns: int | None = None

    def look(
        self,
        container: Container,
        reader: Reader,
        usage_ns: int | None,
        stalled: Stalled,
        *,
        due: bool,
    ) -> None:
        """
        Args:
            usage_ns: CPU time that the container has used.
            due: look though the node doesn't stall.

        Raises:
            VanishedError: the cgroup is gone.
        """
        if due or (stalled.io and _does_anything(container.io_stalls, usage_ns, self._io_usage_ns)):
            self._io_usage_ns = usage_ns
            if (io := reader.io_stall()) is not None:
                container.io_stalls.append(io)
        if due or (
            stalled.memory and _does_anything(container.memory_stalls, usage_ns, self._memory_usage_ns)
        ):
            self._memory_usage_ns = usage_ns
            if (memory := reader.memory_stall()) is not None:
                container.memory_stalls.append(memory)


def _does_anything(looks: LastTwo[Look], usage_ns: int | None, last_usage_ns: int | None) -> bool:
    """The container ran since the last look, or stalled or did I/O before it, with which it may go on without
    running. Of one that sleeps nothing has changed."""
    latest, previous = looks.latest, looks.previous
    if latest is None or previous is None or usage_ns is None or usage_ns != last_usage_ns:
        return True
    return latest[1:] != previous[1:]
