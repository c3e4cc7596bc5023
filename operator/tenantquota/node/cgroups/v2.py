"""A container's cgroup on version 2: one directory. Documented in admin-guide/cgroup-v2."""

import time
from collections.abc import Callable
from typing import Final

from tenantquota.domain.usage import Detail, Limits, Sample
from tenantquota.node.cgroups import parsing
from tenantquota.node.cgroups.files import Directory, ReadErrors
from tenantquota.node.cgroups.reader import NO_IO, NO_THROTTLING, InactiveFile, Written, limits_of
from tenantquota.node.cgroups.watch import Watch

LIMIT_FILES: Final = ("cpu.max", "memory.max")


class V2Reader:
    """One container's files.

    Raises:
        VanishedError: the directory isn't there.
        OSError: it can't be opened.
    """

    def __init__(
        self,
        path: str,
        errors: ReadErrors,
        watch: Watch | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._clock_ns = clock_ns
        self._directory = group = Directory(path, errors)
        self._limits_written = Written(watch, [path], LIMIT_FILES, errors)
        self._cpu = group.kept("cpu.stat", parsing.cpu_stat_v2)
        self._cpu_pressure = group.kept("cpu.pressure", parsing.pressure_some_us)
        self._memory_current = group.kept("memory.current", parsing.number)
        self._io = group.kept("io.stat", parsing.io_stat)
        self._tasks = group.kept("pids.current", parsing.number)
        self._inactive_file = InactiveFile(group.seldom("memory.stat", parsing.inactive_file))
        self._memory_peak = group.seldom("memory.peak", parsing.number)
        self._oom_kills = group.seldom("memory.events", parsing.oom_kills)
        self._memory_pressure = group.seldom("memory.pressure", parsing.pressure_some_us)
        self._io_pressure = group.seldom("io.pressure", parsing.pressure_some_us)
        cpu_max, memory_max = LIMIT_FILES
        self._cpu_max = group.seldom(cpu_max, parsing.cpu_max)
        self._memory_max = group.seldom(memory_max, parsing.memory_max)
        self._threads = group.seldom("cgroup.threads", parsing.ids)
        self._processes = group.seldom("cgroup.procs", parsing.ids)

    def sample(self) -> Sample:
        at_ns = self._clock_ns()
        usage_ns, throttling = self._cpu.read() or (None, NO_THROTTLING)
        memory_usage_bytes = self._memory_current.read()
        io_read_bytes, io_written_bytes = self._io.read() or NO_IO
        return Sample(
            at_ns=at_ns,
            cpu_usage_ns=usage_ns,
            nr_periods=throttling.nr_periods,
            nr_throttled=throttling.nr_throttled,
            throttled_ns=throttling.throttled_ns,
            cpu_waiting_us=self._cpu_pressure.read(),
            memory_usage_bytes=memory_usage_bytes,
            inactive_file_bytes=self._inactive_file.read(at_ns, memory_usage_bytes),
            io_read_bytes=io_read_bytes,
            io_written_bytes=io_written_bytes,
            tasks=self._tasks.read(),
        )

    def detail(self) -> Detail:
        return Detail(
            at_ns=self._clock_ns(),
            memory_peak_bytes=self._memory_peak.read(),
            oom_kills=self._oom_kills.read(),
            memory_waiting_us=self._memory_pressure.read(),
            io_waiting_us=self._io_pressure.read(),
        )

    def limits_written(self) -> bool:
        return self._limits_written.since_last_asked()

    def limits(self) -> Limits | None:
        at_ns = self._clock_ns()
        quota, period = self._cpu_max.read() or (None, None)
        return limits_of(at_ns, quota, period, self._memory_max.read())

    def thread_ids(self) -> list[int] | None:
        return self._threads.read()

    def process_ids(self) -> list[int] | None:
        return self._processes.read()

    def close(self) -> None:
        self._limits_written.close()
        self._directory.close()
