"""What can be read of one container, whatever the cgroup version."""

from collections.abc import Collection, Iterable
from typing import Final, Protocol

from tenantquota.domain.usage import NANOSECONDS, Detail, Limits, Sample
from tenantquota.node.cgroups.files import File, ReadErrors
from tenantquota.node.cgroups.parsing import NO_LIMIT, Throttling
from tenantquota.node.cgroups.watch import WRITES, Watch

NO_THROTTLING = Throttling(None, None, None)
NO_IO = (None, None)


class Reader(Protocol):
    """One container's cgroup. Every method but ``close`` raises VanishedError when it is gone."""

    def sample(self) -> Sample: ...

    def detail(self) -> Detail: ...

    def limits_written(self) -> bool:
        """Somebody may have written the limits since this was asked last."""

    def limits(self) -> Limits | None:
        """None where one of the files couldn't be read: a part of the limits would be a wrong limit."""

    def thread_ids(self) -> list[int] | None:
        """Of all its threads, as the reading process' PID namespace has them."""

    def process_ids(self) -> list[int] | None: ...

    def close(self) -> None: ...


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


class InactiveFile:
    """``memory.stat``, which costs as much as all else together, read when it can have changed by much.

    Args:
        file: its ``inactive_file``.
    """

    STEP_BYTES: Final = 1 << 20
    """Memory usage that moved by this much is worth a look."""
    EVERY_NS: Final = 10 * NANOSECONDS
    """Pages become inactive without a change of usage, slowly."""

    __slots__ = ("_bytes", "_due_ns", "_file", "_usage_bytes")

    def __init__(self, file: File[int]) -> None:
        self._file = file
        self._bytes: int | None = None
        self._due_ns = 0
        self._usage_bytes = 0

    def read(self, at_ns: int, usage_bytes: int | None) -> int | None:
        """Page cache that is given back first, at most EVERY_NS or STEP_BYTES of usage ago."""
        if usage_bytes is None:
            return None
        if at_ns >= self._due_ns or abs(usage_bytes - self._usage_bytes) >= self.STEP_BYTES:
            self._bytes = self._file.read()
            self._usage_bytes = usage_bytes
            self._due_ns = at_ns + self.EVERY_NS if self._bytes is not None else 0
        return self._bytes


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
