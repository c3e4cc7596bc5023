"""A container's cgroup on version 2: one directory. Documented in admin-guide/cgroup-v2."""

import time
from collections.abc import Callable
from typing import Final

from tenantquota.domain.usage import IoStall, Limits, MemoryStall, Sample
from tenantquota.node.cgroups import parsing
from tenantquota.node.cgroups.files import Directory, ReadErrors
from tenantquota.node.cgroups.reader import Files, Reader, Written, limits_of
from tenantquota.node.cgroups.watch import Watch

LIMIT_FILES: Final = ("cpu.max", "memory.max")
POD_EVENTS: Final = "../memory.events"
"""Counts what happens at the pod's limit and at those of its containers."""


class V2Reader(Reader):
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
        self._directory = group = Directory(path, errors)
        files = Files(
            cpu_pressure=group.kept("cpu.pressure", parsing.pressure_some_us),
            memory_usage=group.kept("memory.current", parsing.number),
            inactive_file=group.seldom("memory.stat", parsing.inactive_file),
            memory_peak=group.seldom("memory.peak", parsing.number),
            oom_kills=group.seldom("memory.events", parsing.oom_kills),
            memory_pressure=group.seldom("memory.pressure", parsing.pressure_some_us),
            io_pressure=group.seldom("io.pressure", parsing.pressure_some_us),
            io_bytes=group.kept("io.stat", parsing.io_stat),
            thread_ids=group.seldom("cgroup.threads", parsing.ids),
            process_ids=group.seldom("cgroup.procs", parsing.ids),
            tasks=group.seldom("pids.current", parsing.number),
        )
        super().__init__(files, Written(watch, [path], LIMIT_FILES, errors), clock_ns)
        self._cpu_stat = group.kept("cpu.stat", parsing.cpu_stat_v2)
        self._last_throttling: parsing.Throttling | None = None
        self._io_done = group.seldom("io.stat", parsing.io_done)
        self._limit_hits = group.seldom(POD_EVENTS, parsing.limit_hits)
        cpu_max, memory_max = LIMIT_FILES
        self._cpu_max = group.seldom(cpu_max, parsing.cpu_max)
        self._memory_max = group.seldom(memory_max, parsing.memory_max)

    def limits(self) -> Limits | None:
        at_ns = self._clock_ns()
        quota, period = self._cpu_max.read() or (None, None)
        return limits_of(at_ns, quota, period, self._memory_max.read())

    def io_stall(self) -> IoStall | None:
        at_ns, waiting_us = self._clock_ns(), self._files.io_pressure.read()
        done = None if waiting_us is None else self._io_done.read()
        return None if waiting_us is None or done is None else IoStall(at_ns, waiting_us, done)

    def memory_stall(self) -> MemoryStall | None:
        at_ns, waiting_us = self._clock_ns(), self._files.memory_pressure.read()
        hits = None if waiting_us is None else self._limit_hits.read()
        return None if waiting_us is None or hits is None else MemoryStall(at_ns, waiting_us, hits)

    def close(self) -> None:
        super().close()
        self._directory.close()

    def _cpu_usage_ns(self) -> int | None:
        usage_ns, self._last_throttling = self._cpu_stat.read() or (None, None)
        return usage_ns

    def _throttling(self) -> parsing.Throttling | None:
        return self._last_throttling

    def _carried(self, last: Sample) -> parsing.Throttling:
        return self._last_throttling or super()._carried(last)
