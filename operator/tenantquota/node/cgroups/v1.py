"""A container's cgroups on version 1: one directory per controller. Documented in admin-guide/cgroup-v1."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from tenantquota.domain.usage import Detail, Limits, Sample
from tenantquota.node.cgroups import parsing
from tenantquota.node.cgroups.files import Directory, ReadErrors
from tenantquota.node.cgroups.reader import NO_IO, NO_THROTTLING, InactiveFile, Written, limits_of
from tenantquota.node.cgroups.watch import Watch

CONTROLLERS: Final = ("cpu", "cpuacct", "memory", "blkio", "pids")
UNIFIED: Final = "unified"
"""Beside them, in systemd's hybrid set-up, a version 2 hierarchy without controllers: it has the pressure."""
LIMIT_FILES: Final = ("cpu.cfs_quota_us", "cpu.cfs_period_us", "memory.limit_in_bytes")
IO_FILE: Final = "blkio.throttle.io_service_bytes_recursive"


class V1Reader:
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
        self._clock_ns = clock_ns
        self._counts_io = counts_io
        self._directories: dict[str, Directory] = {}
        try:
            for root in roots.values():
                if root not in self._directories:  # cpu and cpuacct are often one
                    self._directories[root] = Directory(f"{root}/{path}", errors)
        except BaseException:
            for directory in self._directories.values():
                directory.close()
            raise
        limits_in = [f"{roots[controller]}/{path}" for controller in ("cpu", "memory")]
        self._limits_written = Written(watch, limits_in, LIMIT_FILES, errors)
        cpu, cpuacct, memory, blkio, pids = (self._directories[roots[name]] for name in CONTROLLERS)
        self._usage = cpuacct.kept("cpuacct.usage", parsing.number)
        self._throttling = cpu.kept("cpu.stat", parsing.cpu_stat_v1)
        self._memory_usage = memory.kept("memory.usage_in_bytes", parsing.number)
        self._io = blkio.kept(IO_FILE, parsing.io_service_bytes)
        self._tasks = pids.kept("pids.current", parsing.number)
        self._inactive_file = InactiveFile(memory.seldom("memory.stat", parsing.total_inactive_file))
        self._memory_peak = memory.seldom("memory.max_usage_in_bytes", parsing.number)
        self._oom_kills = memory.seldom("memory.oom_control", parsing.oom_kills)
        quota, period, limit = LIMIT_FILES
        self._quota = cpu.seldom(quota, parsing.cfs_quota_us)
        self._period = cpu.seldom(period, parsing.cfs_period_us)
        self._memory_limit = memory.seldom(limit, parsing.limit_in_bytes)
        self._threads = pids.seldom("tasks", parsing.ids)
        self._processes = pids.seldom("cgroup.procs", parsing.ids)
        unified = self._directories[roots[UNIFIED]] if UNIFIED in roots else None
        self._cpu_pressure = unified and unified.kept("cpu.pressure", parsing.pressure_some_us)
        self._memory_pressure = unified and unified.seldom("memory.pressure", parsing.pressure_some_us)
        self._io_pressure = unified and unified.seldom("io.pressure", parsing.pressure_some_us)

    def sample(self) -> Sample:
        at_ns = self._clock_ns()
        usage_ns = self._usage.read()
        nr_periods, nr_throttled, throttled_ns = self._throttling.read() or NO_THROTTLING
        memory_usage_bytes = self._memory_usage.read()
        io_read_bytes, io_written_bytes = self._io_bytes()
        return Sample(
            at_ns=at_ns,
            cpu_usage_ns=usage_ns,
            nr_periods=nr_periods,
            nr_throttled=nr_throttled,
            throttled_ns=throttled_ns,
            cpu_waiting_us=self._cpu_pressure.read() if self._cpu_pressure else None,
            memory_usage_bytes=memory_usage_bytes,
            inactive_file_bytes=self._inactive_file.read(at_ns, memory_usage_bytes),
            io_read_bytes=io_read_bytes,
            io_written_bytes=io_written_bytes,
            tasks=self._tasks.read(),
        )

    def _io_bytes(self) -> tuple[int | None, int | None]:
        counted = self._io.read()
        if counted is None or (counted == (0, 0) and not self._counts_io()):
            return NO_IO
        return counted

    def detail(self) -> Detail:
        return Detail(
            at_ns=self._clock_ns(),
            memory_peak_bytes=self._memory_peak.read(),
            oom_kills=self._oom_kills.read(),
            memory_waiting_us=self._memory_pressure.read() if self._memory_pressure else None,
            io_waiting_us=self._io_pressure.read() if self._io_pressure else None,
        )

    def limits_written(self) -> bool:
        return self._limits_written.since_last_asked()

    def limits(self) -> Limits | None:
        at_ns = self._clock_ns()
        return limits_of(at_ns, self._quota.read(), self._period.read(), self._memory_limit.read())

    def thread_ids(self) -> list[int] | None:
        return self._threads.read()

    def process_ids(self) -> list[int] | None:
        return self._processes.read()

    def close(self) -> None:
        self._limits_written.close()
        for directory in self._directories.values():
            directory.close()


class IoAccounting:
    """Whether the kernel counts I/O per cgroup.

    Linux 6.12 and newer do it on version 1 only once a throttle rule was set on a device; until then every
    file says ``Total 0``, as it does for a cgroup that did no I/O. The root's names the devices that count.
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
                    self._counts = b":" in file.read()
            except OSError:
                return False
        return self._counts
