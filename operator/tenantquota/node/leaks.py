"""The detectors of leaks, one per container that is followed, fed after each tick."""

from collections.abc import Collection
from typing import NamedTuple

from tenantquota.domain.findings import NO_LIMITS, Finding, Limits, Stage, Thresholds
from tenantquota.domain.leaks import Leaks
from tenantquota.domain.usage import NANOSECONDS, Sample, increase, working_set_bytes
from tenantquota.domain.usage import Limits as CgroupLimits
from tenantquota.node.containers import Container


class Found(NamedTuple):
    """A finding and whose it is."""

    container: Container
    finding: Finding
    """Its times are seconds of CLOCK_MONOTONIC."""


class LeakWatch:
    """Keeps the detectors of the containers that are followed, and what they find."""

    def __init__(self) -> None:
        self.found: tuple[Found, ...] = ()
        """What is suspected or confirmed now; replaced as a whole, so that any thread may read it."""
        self._watched: dict[str, _Watched] = {}

    def after_tick(self, containers: Collection[Container]) -> None:
        """To be called with all that are followed."""
        watched: dict[str, _Watched] = {}
        found: list[Found] = []
        for container in containers:
            of = self._watched.get(container.id)
            if of is None or of.thresholds != container.owner.thresholds:
                of = _Watched(container.owner.thresholds)
            of.look(container)
            watched[container.id] = of
            if of.leaks.findings:
                found += (Found(container, finding) for finding in of.leaks.findings.values())
        self._watched = watched
        self.found = tuple(found)

    @property
    def confirmed(self) -> tuple[Found, ...]:
        return tuple(found for found in self.found if found.finding.stage is Stage.CONFIRMED)


class _Watched:
    """One container's detectors, and what they have been told."""

    __slots__ = ("_counted_at_ns", "_limits", "_limits_of", "_sample", "leaks", "thresholds")

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self.leaks = Leaks(thresholds)
        self._sample: Sample | None = None
        self._counted_at_ns = 0
        self._limits = NO_LIMITS
        self._limits_of: CgroupLimits | None = None
        """What ``_limits`` was made of."""

    def look(self, container: Container) -> None:
        before, sample = self._sample, container.samples.latest
        if sample is None or sample is before:
            return
        self._sample = sample
        seconds = sample.at_ns / NANOSECONDS
        cpu_percent, waited_percent = None, 0.0
        if before is not None:
            used_ns = increase(before.cpu_usage_ns, sample.cpu_usage_ns)
            if used_ns is not None:
                cpu_percent = used_ns * 100 / (sample.at_ns - before.at_ns)
                waited_percent = container.kept_from_cpu_ns() * 100 / (sample.at_ns - before.at_ns)
            elif before.cpu_usage_ns is not None and sample.cpu_usage_ns is not None:
                self.leaks.restart(seconds)
        open_files = processes = None
        counted = container.processes.latest
        if counted is not None and counted.at_ns != self._counted_at_ns:
            self._counted_at_ns = counted.at_ns
            open_files, processes = counted.open_files, counted.processes
            if processes is not None:
                processes += counted.zombies or 0
        if container.limits is not self._limits_of:
            self._limits_of = container.limits
            self._limits = _limits(container.limits)
        memory_bytes = working_set_bytes(sample)
        self.leaks.observe(
            seconds, memory_bytes, cpu_percent, open_files, processes, self._limits, waited_percent
        )


def _limits(of: CgroupLimits | None) -> Limits:
    if of is None:
        return NO_LIMITS
    return Limits(of.memory_limit_bytes, None if of.cpu_milli is None else of.cpu_milli / 10)
