"""What the detectors of leaks and runaways find, and from where on."""

from typing import Final, NamedTuple

from tenantquota.api.leaks import Kind, Stage

__all__ = ["DEFAULTS", "MIB", "NO_LIMITS", "Finding", "Kind", "Limits", "Stage", "Thresholds", "evidence"]

MIB: Final = 2**20


class Thresholds(NamedTuple):
    """From which rates on growth is a leak, and when CPU runs away."""

    memory_fast_bytes_per_minute: float = 50 * MIB
    memory_slow_bytes_per_minute: float = 2 * MIB
    open_files_per_minute: float = 100.0
    processes_per_minute: float = 20.0
    cpu_percent: float = 80.0
    """Of one core; where the container's CPU limit is below one, of that."""
    cpu_seconds: float = 300.0


DEFAULTS: Final = Thresholds()


class Limits(NamedTuple):
    """The container's limits; None: none, or not known."""

    memory_bytes: int | None = None
    cpu_percent: float | None = None
    """Of one core: 50 for a limit of 500m."""


NO_LIMITS: Final = Limits()


class Finding(NamedTuple):
    """A leak or a runaway. Times are of the samples' clock."""

    kind: Kind
    stage: Stage
    since_seconds: float
    """When the evidence begins."""
    at_seconds: float
    """When it came to this stage."""
    rate_per_minute: float
    """Bytes, files, processes; of CPU, core-seconds."""
    before: float
    """What there was at ``since_seconds``, and what there is now; of CPU, the threshold and the mean, in
    percent of a core."""
    now: float
    grown: int
    """In so many of the ``stretches`` since then, one after another and equally long, it grew (or was over
    the threshold)."""
    stretches: int
    limit_in_seconds: float | None = None
    """When the limit is hit, from the last sample on, if it goes on so; None where there is none."""


def evidence(finding: Finding) -> str:
    """In words that a person can check."""
    seconds = round(finding.at_seconds - finding.since_seconds)
    if finding.kind is Kind.CPU:
        return f"CPU was at {finding.now:.0f} % of a core for {seconds} s, over {finding.before:.0f} %"
    what, before, now = _NAMES[finding.kind], finding.before, finding.now
    stretches = f"it grew in {finding.grown} of {finding.stretches} equal stretches of time"
    if finding.kind in (Kind.MEMORY_FAST, Kind.MEMORY_SLOW):
        rate = f"{finding.rate_per_minute / MIB:.1f} MiB a minute"
        return (
            f"{what} at its lowest went from {before / MIB:.0f} to {now / MIB:.0f} MiB, {rate}; {stretches}"
        )
    return f"{what} went from {before:.0f} to {now:.0f}, {finding.rate_per_minute:.0f} a minute; {stretches}"


_NAMES: Final = {
    Kind.MEMORY_FAST: "memory",
    Kind.MEMORY_SLOW: "memory",
    Kind.OPEN_FILES: "open files",
    Kind.PROCESSES: "processes",
}
