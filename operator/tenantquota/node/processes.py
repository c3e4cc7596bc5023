"""What /proc says of a container's threads and processes.

Which they are, the cgroup says (``cgroup.threads``, ``cgroup.procs``), so nothing walks /proc. The agent must
share the node's PID namespace: in another one those files name no process that it could look at.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tenantquota.domain.usage import Processes, RunDelay
from tenantquota.node.cgroups import parsing
from tenantquota.node.cgroups.files import ReadErrors

MAX_THREADS: Final = 512
"""Of one container, for its run delay to be read: each takes a descriptor. One with more is hardly one that
is held up by others, and what it costs us must not be for a tenant to choose."""

ENDED: Final = (ProcessLookupError, FileNotFoundError)

_SCHEDSTAT_BYTES: Final = 64
_STAT_BYTES: Final = 512
_TICK_MS: Final = 1000 / os.sysconf("SC_CLK_TCK")
_UNREADABLE: Final = -1

Ids = Callable[[], list[int] | None]
"""The ids that a cgroup names now; None where it doesn't say."""


class Proc:
    """The node's /proc, mounted at ``root``."""

    def __init__(self, root: Path, errors: ReadErrors) -> None:
        self._root = root
        self._errors = errors
        self._fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.open_files: Callable[[int], int] = self._size_of_fd if self._sizes_fd() else self._entries_of_fd
        """How many descriptors a process has open. Raises ENDED when it has ended, OSError else."""

    def cpu_waiting_us(self) -> int | None:
        """``pressure/cpu`` some of the whole node; None where the kernel has no pressure."""
        try:
            with open(f"{self._root}/pressure/cpu", "rb", buffering=0) as file:  # noqa: PTH123
                return parsing.pressure_some_us(file.read())
        except (OSError, ValueError) as error:
            if not (isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.EOPNOTSUPP)):
                self._errors.count("pressure", error)
            return None

    def cpu_idle_ms(self) -> float | None:
        """For how long CPUs were idle since the machine started, summed over them (``stat``, whose unit is
        USER_HZ); waiting for a disk counts as idle. None where it can't be read."""
        try:
            with open(f"{self._root}/stat", "rb", buffering=0) as file:  # noqa: PTH123
                return parsing.idle_ticks(file.read(_STAT_BYTES)) * _TICK_MS
        except (OSError, ValueError) as error:
            self._errors.count("stat", error)
            return None

    def open_schedstat(self, thread_id: int) -> int:
        """A descriptor that stays the thread's, whoever gets its id later. Raises OSError."""
        return os.open(f"{thread_id}/schedstat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._fd)

    def close(self) -> None:
        os.close(self._fd)

    def _sizes_fd(self) -> bool:
        """Since Linux 6.2 the size of a process' directory ``fd`` is the number of its descriptors."""
        try:
            return os.stat("self/fd", dir_fd=self._fd).st_size > 0
        except FileNotFoundError:
            return False

    def _size_of_fd(self, process_id: int) -> int:
        """5 µs, and anyone may ask."""
        return os.stat(f"{process_id}/fd", dir_fd=self._fd).st_size

    def _entries_of_fd(self, process_id: int) -> int:
        """For older kernels: 35 µs, and takes a capability for other users' processes."""
        import psutil  # noqa: PLC0415 - 4 MB that newer kernels spare us

        usual, psutil.PROCFS_PATH = psutil.PROCFS_PATH, str(self._root)
        try:
            return psutil.Process(process_id).num_fds()
        except psutil.NoSuchProcess as error:
            raise ProcessLookupError(errno.ESRCH, "ended") from error
        except psutil.AccessDenied as error:
            raise PermissionError(errno.EACCES, "takes a capability") from error
        finally:
            psutil.PROCFS_PATH = usual


class _Thread:
    __slots__ = ("fd", "run_delay_ns", "timeslices")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.run_delay_ns = self.timeslices = 0


class Tasks:
    """One container's processes, and its threads, whose ``schedstat`` stays open."""

    __slots__ = ("_all_known", "_errors", "_named", "_proc", "_run_delay_ns", "_threads", "_timeslices")

    def __init__(self, proc: Proc, errors: ReadErrors) -> None:
        self._proc = proc
        self._errors = errors
        self._threads: dict[int, _Thread] = {}
        self._named: list[int] | None = None
        """The threads that the cgroup named last."""
        self._run_delay_ns = self._timeslices = 0
        self._all_known = False

    def look(self, at_ns: int, process_ids: Ids, thread_ids: Ids) -> tuple[Processes, RunDelay | None]:
        """How many there are and what they have open, and how long the threads waited.

        A process counts if the cgroup still names its first thread afterwards: its id may have gone to
        somebody else's meanwhile.
        """
        open_files = {
            process_id: count
            for process_id in process_ids() or ()
            if (count := self._open_files(process_id)) is not None
        }
        run_delay = self.run_delay(at_ns, thread_ids)
        if self._named is None:
            return Processes(at_ns, None, None, None), run_delay
        counts = [open_files[process_id] for process_id in open_files.keys() & set(self._named)]
        total = None if _UNREADABLE in counts else sum(counts)
        return Processes(at_ns, len(self._named), len(counts), total), run_delay

    def run_delay(self, at_ns: int, thread_ids: Ids) -> RunDelay | None:
        """The sum so far; None where not every thread could be read."""
        try:
            ended = [thread_id for thread_id, thread in self._threads.items() if not self._advance(thread)]
            for thread_id in ended:
                self._drop(thread_id)
            self._all_known = self._find(thread_ids)
        except (OSError, ValueError) as error:
            self._errors.count("schedstat", error)
            self._all_known = False
        return RunDelay(at_ns, self._run_delay_ns, self._timeslices) if self._all_known else None

    def close(self) -> None:
        for thread_id in list(self._threads):
            self._drop(thread_id)
        self._all_known = False

    def _open_files(self, process_id: int) -> int | None:
        """Of a process; None when it has ended."""
        try:
            return self._proc.open_files(process_id)
        except ENDED:
            return None
        except OSError as error:
            self._errors.count("fd", error)
            return _UNREADABLE

    def _find(self, ids: Ids) -> bool:
        """Takes up the threads that are new, and drops those that left for another cgroup."""
        named = self._named = ids()
        if named is None:
            return False
        if len(named) > MAX_THREADS:
            self._errors.count_reason("schedstat", "too many threads")
            self.close()
            return False
        for thread_id in self._threads.keys() - set(named):
            self._drop(thread_id)
        new = [thread_id for thread_id in named if self._open(thread_id)]
        if not new:
            return True
        # before it was opened, an id may have gone to somebody else's thread
        self._named = ids()
        still_named = set(self._named or ())
        before = self._run_delay_ns, self._timeslices
        for thread_id in new:
            if thread_id not in still_named or not self._advance(self._threads[thread_id]):
                self._drop(thread_id)
        if not self._all_known:  # then what they did may be of any time
            self._run_delay_ns, self._timeslices = before
        return True

    def _open(self, thread_id: int) -> bool:
        """Whether it is a new one that lives."""
        if thread_id in self._threads:
            return False
        try:
            self._threads[thread_id] = _Thread(self._proc.open_schedstat(thread_id))
        except ENDED:
            return False
        return True

    def _advance(self, thread: _Thread) -> bool:
        """Adds what the thread did since the last time; False when it has ended."""
        try:
            run_delay_ns, timeslices = parsing.schedstat(os.pread(thread.fd, _SCHEDSTAT_BYTES, 0))
        except ProcessLookupError:
            return False
        self._run_delay_ns += run_delay_ns - thread.run_delay_ns
        self._timeslices += timeslices - thread.timeslices
        thread.run_delay_ns, thread.timeslices = run_delay_ns, timeslices
        return True

    def _drop(self, thread_id: int) -> None:
        os.close(self._threads.pop(thread_id).fd)
