"""When the node's threads stall for I/O or memory, and so when it is worth reading for whose sake they do.

Two small files each second tell of the whole node. Those of a container are read while the node stalls, and
else as seldom as its other details: a container stalls no longer than its node does.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from tenantquota.domain.stalls import HARM_MS
from tenantquota.domain.usage import IoStall, MemoryStall, increase
from tenantquota.node.cgroups import parsing
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.reader import Reader
from tenantquota.node.containers import Container
from tenantquota.node.window import Window

STALLED_US: Final = int(HARM_MS * 1000)
"""A second in which the node stalled for less has no harm in it."""
HOLD_TICKS: Final = 3
"""From one with more on, so many are looked at: what comes and goes must be seen twice."""
_BYTES: Final = 512
_UNOPENED: Final = -1
_ABSENT: Final = -2

Look = TypeVar("Look", IoStall, MemoryStall)
Value = TypeVar("Value")


class Stalled(NamedTuple):
    """Whether the node's threads stalled in this second or the last few."""

    io: bool = False
    memory: bool = False


class _Gate:
    """One pressure file of the node, kept open: a read costs 4 µs."""

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
        proc_root: the node's /proc.
        cgroup_root: of its cgroup version 2 file system.
    """

    def __init__(self, proc_root: Path, cgroup_root: Path, errors: ReadErrors) -> None:
        self._proc_root = proc_root
        self._cgroup_root = cgroup_root
        self._errors = errors
        self._io = _Gate(proc_root / "pressure" / "io", errors)
        self._memory = _Gate(proc_root / "pressure" / "memory", errors)

    def present(self) -> bool:
        """This kernel has pressure."""
        self.look()
        return self._io.present and self._memory.present

    def look(self) -> Stalled:
        """To be asked once a second."""
        return Stalled(self._io.is_open(), self._memory.is_open())

    def io_done(self) -> tuple[int, int] | None:
        """Operations and bytes of the whole node, whoever's they are; counters."""
        return self._read(self._cgroup_root / "io.stat", parsing.io_done)

    def pages_scanned(self) -> int | None:
        """To free memory of the node itself; a counter."""
        return self._read(self._proc_root / "vmstat", parsing.pages_scanned)

    def close(self) -> None:
        self._io.close()
        self._memory.close()

    def _read(self, path: Path, parse: Callable[[bytes], Value]) -> Value | None:
        try:
            return parse(path.read_bytes())
        except (OSError, ValueError) as error:
            self._errors.count(path.name, error)
            return None


def open_gates(proc_root: Path, cgroup_root: Path, version: int, errors: ReadErrors) -> Gates | None:
    """None where the kernel doesn't tell who stalls: on cgroup version 1, whose containers' I/O isn't all
    counted either, and where pressure is left out or off (``psi=0``)."""
    gates = Gates(proc_root, cgroup_root, errors)
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


def _does_anything(looks: Window[Look], usage_ns: int | None, last_usage_ns: int | None) -> bool:
    """The container ran since the last look, or stalled or did I/O before it, with which it may go on without
    running. Of one that sleeps nothing has changed."""
    latest, previous = looks.latest, looks.previous
    if latest is None or previous is None or usage_ns is None or usage_ns != last_usage_ns:
        return True
    return latest[1:] != previous[1:]
