"""What is read of one container, whatever the cgroup version; ``v1`` and ``v2`` say which files it is in.

Why some files are read less often than each second: docs/decisions/0010-node-agent-reads.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from tenantquota.domain.usage import (
    NANOSECONDS,
    Detail,
    IoStall,
    Limits,
    MemoryStall,
    Sample,
    increase,
)
from tenantquota.node.cgroups.files import File, ReadErrors
from tenantquota.node.cgroups.parsing import NO_LIMIT, Throttling
from tenantquota.node.cgroups.watch import WRITES, Watch

LITTLE_CPU_NS: Final = 1_000_000
"""What a container does with less CPU time than this is not worth a look of its own: some MiB of memory, some
hundred reads or writes."""
LITTLE_SECONDS_NS: Final = 10 * NANOSECONDS
"""How long values are carried on while that little is used."""
IDLE_SECONDS_NS: Final = 30 * NANOSECONDS
"""And while nothing is: others may still take its page cache or write its dirty pages."""
STEP_BYTES: Final = 1 << 20
"""Memory usage that moved by this much makes another look at ``memory.stat`` worth its cost, which is that of
all else together."""

GROWTH_BYTES: Final = 128 * 2**10
"""Who took so much since the last look is looked at in the next second too, however little CPU it takes: a
leak is told by in which of the seconds it grows."""

_AFTER_WAITING: Final = Sample._fields.index("cpu_waiting_us") + 1
_NO_THROTTLING: Final = Throttling(None, None, None)
_NO_IO: Final = (None, None)


class Files(NamedTuple):
    """Where the figures are that both versions have in a file of their own."""

    cpu_pressure: File[int]
    memory_usage: File[int]
    inactive_file: File[int]
    memory_peak: File[int]
    oom_kills: File[int | None]
    memory_pressure: File[int]
    io_pressure: File[int]
    io_bytes: File[tuple[int, int]]
    thread_ids: File[list[int]]
    process_ids: File[list[int]]
    tasks: File[int]


class Reader(ABC):
    """One container's cgroup. Every method but ``close`` raises VanishedError when it is gone."""

    def __init__(self, files: Files, limits_written: "Written", clock_ns: Callable[[], int]) -> None:
        self._files = files
        self._limits_written = limits_written
        self._clock_ns = clock_ns
        self._last: Sample | None = None
        self._full_at_ns = 0
        """When all files were read last, and the CPU time then."""
        self._full_usage_ns = 0
        self._grew = False
        self._inactive_file_until_ns = 0
        self._usage_at_inactive_file = 0

    def sample(self, *, waiting_possible: bool = True) -> Sample:
        """
        Args:
            waiting_possible: false where no thread of the node waited for a CPU since the last sample, and
                so none of this container's.
        """
        at_ns, last = self._clock_ns(), self._last
        usage_ns = self._cpu_usage_ns()
        if last is None or usage_ns is None or self._is_due(at_ns, usage_ns):
            self._last = self._full_sample(at_ns, usage_ns)
        else:
            # who has not run at all has not ended a wait either
            ran = usage_ns != last.cpu_usage_ns
            waiting_us = self._files.cpu_pressure.read() if ran and waiting_possible else last.cpu_waiting_us
            self._last = Sample(at_ns, usage_ns, *self._carried(last), waiting_us, *last[_AFTER_WAITING:])
        return self._last

    def _is_due(self, at_ns: int, usage_ns: int) -> bool:
        """All files are worth reading."""
        used_ns, age_ns = usage_ns - self._full_usage_ns, at_ns - self._full_at_ns
        if not 0 <= used_ns < LITTLE_CPU_NS or (self._grew and used_ns):
            return True
        return age_ns >= (LITTLE_SECONDS_NS if used_ns else IDLE_SECONDS_NS)

    def _full_sample(self, at_ns: int, usage_ns: int | None) -> Sample:
        self._full_at_ns, self._full_usage_ns = at_ns, usage_ns or 0
        memory_usage_bytes = self._files.memory_usage.read()
        taken_bytes = increase(self._last and self._last.memory_usage_bytes, memory_usage_bytes)
        self._grew = taken_bytes is not None and taken_bytes >= GROWTH_BYTES
        nr_periods, nr_throttled, throttled_ns = self._throttling() or _NO_THROTTLING
        io_read_bytes, io_written_bytes = self._io_bytes() or _NO_IO
        return Sample(
            at_ns=at_ns,
            cpu_usage_ns=usage_ns,
            nr_periods=nr_periods,
            nr_throttled=nr_throttled,
            throttled_ns=throttled_ns,
            cpu_waiting_us=self._files.cpu_pressure.read(),
            memory_usage_bytes=memory_usage_bytes,
            inactive_file_bytes=self._inactive_file(at_ns, memory_usage_bytes),
            io_read_bytes=io_read_bytes,
            io_written_bytes=io_written_bytes,
        )

    def _carried(self, last: Sample) -> Throttling:
        """Throttling, where only the CPU time was read."""
        return Throttling(last.nr_periods, last.nr_throttled, last.throttled_ns)

    def detail(self) -> Detail:
        files = self._files
        return Detail(
            at_ns=self._clock_ns(),
            memory_peak_bytes=files.memory_peak.read(),
            oom_kills=files.oom_kills.read(),
            memory_waiting_us=files.memory_pressure.read(),
            io_waiting_us=files.io_pressure.read(),
        )

    def io_stall(self) -> IoStall | None:
        """None where the kernel doesn't say how long the container stalled, and whose all I/O is: on version
        1, which counts no buffered write to whom it belongs."""
        return None

    def memory_stall(self) -> MemoryStall | None:
        """None where the kernel doesn't say it: as ``io_stall``."""
        return None

    def limits_written(self) -> bool:
        """Somebody may have written the limits since this was asked last."""
        return self._limits_written.since_last_asked()

    @abstractmethod
    def limits(self) -> Limits | None:
        """None where one of the files couldn't be read: a part of the limits would be a wrong limit."""

    def thread_ids(self) -> list[int] | None:
        """Of all its threads, as the reading process' PID namespace has them."""
        return self._files.thread_ids.read()

    def process_ids(self) -> list[int] | None:
        return self._files.process_ids.read()

    def zombies(self, threads: int) -> int | None:
        """How many tasks there are beside its living threads: ``pids.current`` counts a task until it is
        waited for (kernel, Documentation/admin-guide/cgroup-v1/pids.rst)."""
        tasks = self._files.tasks.read()
        return None if tasks is None else max(0, tasks - threads)

    def close(self) -> None:
        self._limits_written.close()

    @abstractmethod
    def _cpu_usage_ns(self) -> int | None: ...

    @abstractmethod
    def _throttling(self) -> Throttling | None:
        """Called after ``_cpu_usage_ns``."""

    def _io_bytes(self) -> tuple[int, int] | None:
        """Read and written."""
        return self._files.io_bytes.read()

    def _inactive_file(self, at_ns: int, usage_bytes: int | None) -> int | None:
        if usage_bytes is None:
            return None
        if (
            self._last is not None
            and at_ns < self._inactive_file_until_ns
            and abs(usage_bytes - self._usage_at_inactive_file) < STEP_BYTES
        ):
            return self._last.inactive_file_bytes
        self._inactive_file_until_ns = at_ns + LITTLE_SECONDS_NS
        self._usage_at_inactive_file = usage_bytes
        return self._files.inactive_file.read()


def limits_of(at_ns: int, quota: int | None, period: int | None, memory: int | None) -> Limits | None:
    """The limits from what the files said."""
    if quota is None or period is None or memory is None:
        return None
    return Limits(
        at_ns,
        cpu_quota_us=None if quota == NO_LIMIT else quota,
        cpu_period_us=period,
        memory_limit_bytes=None if memory == NO_LIMIT else memory,
    )


class Written:
    """Whether somebody wrote certain files of some directories.

    Args:
        watch: None where there is none: then they may always have been written.
    """

    __slots__ = ("_names", "_watch", "_watches", "_written")

    def __init__(
        self, watch: Watch | None, directories: Iterable[str], names: Collection[str], errors: ReadErrors
    ) -> None:
        self._names = names
        self._written = True
        self._watch = watch
        self._watches: list[int] = []
        if watch is None:
            return
        try:
            for directory in directories:
                self._watches.append(watch.add(directory, WRITES, self._note))
        except OSError as error:
            errors.count("inotify", error)
            self.close()
            self._watch = None

    def since_last_asked(self) -> bool:
        written, self._written = self._written, self._watch is None
        return written

    def close(self) -> None:
        for watched in self._watches:
            if self._watch is not None:
                self._watch.remove(watched)
        self._watches.clear()

    def _note(self, name: str) -> None:
        self._written = self._written or not name or name in self._names
