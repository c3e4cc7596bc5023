"""A container's cgroups on version 1: one directory per controller. Documented in admin-guide/cgroup-v1."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from tenantquota.domain.usage import Limits
from tenantquota.node.cgroups import parsing
from tenantquota.node.cgroups.files import ABSENT, Directory, ReadErrors
from tenantquota.node.cgroups.reader import Files, Reader, Written, limits_of
from tenantquota.node.cgroups.watch import Watch

CONTROLLERS: Final = ("cpu", "cpuacct", "memory", "blkio", "pids")
UNIFIED: Final = "unified"
"""Beside them, in systemd's hybrid set-up, a version 2 hierarchy without controllers: it has the pressure."""
LIMIT_FILES: Final = ("cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes")
IO_FILE: Final = "blkio.throttle.io_service_bytes_recursive"


class V1Reader(Reader):
    """One container's files.

    Args:
        roots: the directory of each of CONTROLLERS, and of UNIFIED where there is one.
        path: the container's, below each of them.
        counts_io: whether this kernel counts I/O; see ``IoAccounting``.

    Raises:
        VanishedError: one of the directories isn't there (any more, or yet).
        OSError: one of them can't be opened.
    """

    def __init__(
        self,
        roots: Mapping[str, str],
        path: str,
        errors: ReadErrors,
        counts_io: Callable[[], bool],
        watch: Watch | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._directories: dict[str, Directory] = {}
        try:
            for root in roots.values():
                if root not in self._directories:  # cpu and cpuacct are often one
                    self._directories[root] = Directory(f"{root}/{path}", errors)
        except BaseException:
            self._close_directories()
            raise
        cpu, cpuacct, memory, blkio, pids = (self._directories[roots[name]] for name in CONTROLLERS)
        unified = self._directories[roots[UNIFIED]] if UNIFIED in roots else None
        pressure = parsing.pressure_some_us
        files = Files(
            cpu_pressure=unified.kept("cpu.pressure", pressure) if unified else ABSENT,
            memory_usage=memory.kept("memory.usage_in_bytes", parsing.number),
            inactive_file=memory.seldom("memory.stat", parsing.total_inactive_file),
            memory_peak=memory.seldom("memory.max_usage_in_bytes", parsing.number),
            oom_kills=memory.seldom("memory.oom_control", parsing.oom_kills),
            memory_pressure=unified.seldom("memory.pressure", pressure) if unified else ABSENT,
            io_pressure=unified.seldom("io.pressure", pressure) if unified else ABSENT,
            io_bytes=blkio.kept(IO_FILE, parsing.io_service_bytes),
            thread_ids=pids.seldom("tasks", parsing.ids),
            process_ids=pids.seldom("cgroup.procs", parsing.ids),
            tasks=pids.seldom("pids.current", parsing.number),
        )
        limits_in = [f"{roots[controller]}/{path}" for controller in ("cpu", "memory")]
        super().__init__(files, Written(watch, limits_in, LIMIT_FILES, errors), clock_ns)
        self._counts_io = counts_io
        self._usage = cpuacct.kept("cpuacct.usage", parsing.number)
        self._cpu_stat = cpu.kept("cpu.stat", parsing.cpu_stat_v1)
        quota, period, limit = LIMIT_FILES
        self._quota = cpu.seldom(quota, parsing.cfs_quota_us)
        self._period = cpu.seldom(period, parsing.cfs_period_us)
        self._memory_limit = memory.seldom(limit, parsing.limit_in_bytes)

    def limits(self) -> Limits | None:
        at_ns = self._clock_ns()
        return limits_of(at_ns, self._quota.read(), self._period.read(), self._memory_limit.read())

    def close(self) -> None:
        super().close()
        self._close_directories()

    def _cpu_usage_ns(self) -> int | None:
        return self._usage.read()

    def _throttling(self) -> parsing.Throttling | None:
        return self._cpu_stat.read()

    def _io_bytes(self) -> tuple[int, int] | None:
        counted = self._files.io_bytes.read()
        return None if counted == (0, 0) and not self._counts_io() else counted

    def _close_directories(self) -> None:
        for directory in self._directories.values():
            directory.close()


class IoAccounting:
    """Whether the kernel counts I/O per cgroup.

    Not every one does without a throttle rule: 6.18 needs one that was ever set on the disk, 6.1 one in the
    very cgroup. Without, files say 0, as they do for a cgroup that did no I/O. So where the root's, which is
    the sum of all, says 0, nothing is counted.
    """

    RECHECK_NS: Final = 10_000_000_000

    def __init__(self, blkio_root: str, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._path = f"{blkio_root}/{IO_FILE}"
        self._clock_ns = clock_ns
        self._counts = False
        self._next_check_ns = 0

    def counts(self) -> bool:
        now_ns = self._clock_ns()
        if not self._counts and now_ns >= self._next_check_ns:
            self._next_check_ns = now_ns + self.RECHECK_NS
            try:
                with open(self._path, "rb") as file:  # noqa: PTH123
                    self._counts = sum(parsing.io_service_bytes(file.read())) > 0
            except (OSError, ValueError):
                return False
        return self._counts
