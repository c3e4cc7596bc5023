"""What the kernel says of one container, and what follows from it by arithmetic.

Three kinds of value, kept apart: *counters* only grow while the cgroup lives (``RunDelay`` holds those of its
threads, ``Sample``, ``Detail`` and the stalls those of the kernel's files), *levels* are true at one moment
(``memory_usage_bytes``), and what is *derived* from two of them is a function or a ``Rates``. Every record
says when it was read, in nanoseconds of CLOCK_MONOTONIC. None means that the kernel has no such file or that
what it said could not be read this time; the latter is counted by whoever reads.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

NANOSECONDS: Final = 1_000_000_000


class Sample(NamedTuple):
    """What is known of a container each second.

    ``at_ns`` and the CPU time are always of this second. The rest may be carried on from an earlier one while
    the container used less than 1 ms of CPU since: for up to 10 s, or 30 s where it used none. Nobody takes
    more than a few MiB of memory or does more than some hundred reads and writes in that.
    """

    at_ns: int
    cpu_usage_ns: int | None
    """v1 ``cpuacct.usage``, v2 ``cpu.stat`` usage_usec."""
    nr_periods: int | None
    """Periods of the CPU quota in which it wanted to run; 0 without a quota."""
    nr_throttled: int | None
    """Periods in which it used up its quota."""
    throttled_ns: int | None
    """v1 throttled_time, v2 throttled_usec; summed over CPUs."""
    cpu_waiting_us: int | None
    """``cpu.pressure`` some: time in which a thread of it was runnable and waited, throttling included. Not
    read in seconds in which the threads of the whole node waited less than 10 ms, and so no more than that
    behind."""
    memory_usage_bytes: int | None
    """Level, page cache included. v1 ``memory.usage_in_bytes``, v2 ``memory.current``."""
    inactive_file_bytes: int | None
    """Level: page cache that is given back first. ``memory.stat``, v1 total_inactive_file; as of 10 s or
    1 MiB of usage ago, at most."""
    io_read_bytes: int | None
    io_written_bytes: int | None
    """Summed over devices. v1 sees only what was written past the page cache (O_DIRECT, sync)."""


class Detail(NamedTuple):
    """What is read of a container twice a minute, or every 90 s while no CPU is used."""

    at_ns: int
    memory_peak_bytes: int | None
    """The most that ``memory_usage_bytes`` ever was; None before Linux 5.19 on v2."""
    oom_kills: int | None
    memory_waiting_us: int | None
    """``memory.pressure`` some."""
    io_waiting_us: int | None
    """``io.pressure`` some."""


class IoStall(NamedTuple):
    """How long a container waited for disks and what it did on them; counters, version 2 only. Read with each
    ``Detail``, and each second in which the node's threads stalled for I/O and the container did anything."""

    at_ns: int
    waiting_us: int
    """``io.pressure`` some."""
    done: Mapping[str, tuple[int, int]]
    """By device: operations and bytes, of reads and writes together (``io.stat``)."""


class MemoryStall(NamedTuple):
    """How long a container waited for memory to be freed; as ``IoStall``."""

    at_ns: int
    waiting_us: int
    """``memory.pressure`` some."""
    limit_hits: int
    """How often its own limit or its pod's was in the way (``memory.events`` high, max and oom)."""


class Processes(NamedTuple):
    """Levels, read every 10 s, or 30 s while no CPU is used."""

    at_ns: int
    threads: int | None
    processes: int | None
    open_files: int | None
    """Descriptors of all of them together."""
    zombies: int | None = None
    """Tasks that have ended and that nobody has waited for: the pids controller counts them, and the lists of
    processes and threads don't name them."""


class Limits(NamedTuple):
    """The limits in force, as the container's cgroup files hold them."""

    at_ns: int
    cpu_quota_us: int | None
    """CPU time in each period; None: no limit."""
    cpu_period_us: int
    memory_limit_bytes: int | None
    """None: no limit."""

    @property
    def cpu_milli(self) -> int | None:
        """The CPU limit in milli-CPU, rounded to the nearest; None: no limit."""
        if self.cpu_quota_us is None:
            return None
        return (self.cpu_quota_us * 1000 + self.cpu_period_us // 2) // self.cpu_period_us


class RunDelay(NamedTuple):
    """How long the container's threads waited for a CPU, and how often they got one, since it was first seen.

    From ``schedstat`` of each thread; a thread that ends takes what it did since the last look with it.
    """

    at_ns: int
    run_delay_ns: int
    timeslices: int


class Rates(NamedTuple):
    """What happened between two samples. None where a counter is missing or went back."""

    seconds: float
    cpu_milli: float | None
    throttled_fraction: float | None
    """Of the periods in which it wanted to run; 0 where it wanted in none."""
    throttled_ms_per_second: float | None
    cpu_waiting_fraction: float | None
    """Share of the time in which a thread of it waited for a CPU (PSI some)."""
    io_read_bytes_per_second: float | None
    io_written_bytes_per_second: float | None


def increase(before: int | None, after: int | None) -> int | None:
    """What a counter grew by; None where either is missing, or it went back and its past is unknown."""
    if before is None or after is None or after < before:
        return None
    return after - before


def went_back(before: Sample, after: Sample) -> bool:
    """The CPU time is less than it was: the two samples are not of one life of a cgroup. Sums over devices
    may fall when a device goes, which ends nothing."""
    then, now = before.cpu_usage_ns, after.cpu_usage_ns
    return then is not None and now is not None and now < then


def rates(before: Sample, after: Sample) -> Rates | None:
    """What happened between two samples of one container; None unless ``after`` is later."""
    elapsed_ns = after.at_ns - before.at_ns
    if elapsed_ns <= 0:
        return None
    used = increase(before.cpu_usage_ns, after.cpu_usage_ns)
    periods = increase(before.nr_periods, after.nr_periods)
    throttled = increase(before.nr_throttled, after.nr_throttled)
    throttled_ns = increase(before.throttled_ns, after.throttled_ns)
    waiting_us = increase(before.cpu_waiting_us, after.cpu_waiting_us)
    seconds = elapsed_ns / NANOSECONDS
    return Rates(
        seconds=seconds,
        cpu_milli=None if used is None else used * 1000 / elapsed_ns,
        throttled_fraction=None if periods is None or throttled is None else throttled / max(1, periods),
        throttled_ms_per_second=None if throttled_ns is None else throttled_ns * 1000 / elapsed_ns,
        cpu_waiting_fraction=None if waiting_us is None else waiting_us * 1000 / elapsed_ns,
        io_read_bytes_per_second=_per_second(increase(before.io_read_bytes, after.io_read_bytes), seconds),
        io_written_bytes_per_second=_per_second(
            increase(before.io_written_bytes, after.io_written_bytes), seconds
        ),
    )


def _per_second(amount: int | None, seconds: float) -> float | None:
    return None if amount is None else amount / seconds


def working_set_bytes(sample: Sample) -> int | None:
    """Memory that can't be given back at once, as the kubelet computes it; not below 0, since v1 counts usage
    in batches per CPU."""
    if sample.memory_usage_bytes is None or sample.inactive_file_bytes is None:
        return None
    return max(0, sample.memory_usage_bytes - sample.inactive_file_bytes)


def wait_per_dispatch_us(before: RunDelay, after: RunDelay) -> float | None:
    """How long a thread waited, on average, each time before it ran; None where none ran."""
    delay_ns = increase(before.run_delay_ns, after.run_delay_ns)
    slices = increase(before.timeslices, after.timeslices)
    return None if delay_ns is None or not slices else delay_ns / slices / 1000
