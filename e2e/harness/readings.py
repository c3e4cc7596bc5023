"""What cgroup files say of a container's limits and use, on both versions; pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

CPU_PERIOD_MICROSECONDS: Final = 100_000
"""The kubelet's (``--cpu-cfs-quota-period``)."""
NO_LIMIT_BYTES: Final = 1 << 62
"""cgroup v1 writes "no limit" as the largest multiple of a page that fits, about 2^63."""

FILES: Final = (
    "cpu.max",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.stat",
    "cpuacct.usage",
    "memory.max",
    "memory.limit_in_bytes",
    "memory.current",
    "memory.usage_in_bytes",
    "memory.stat",
    "memory.events",
    "memory.oom_control",
    "io.stat",
    "blkio.throttle.io_service_bytes_recursive",
    "pids.current",
)


class CgroupError(Exception):
    """The node's cgroup files don't hold what was looked for."""


@dataclass(frozen=True)
class Reading:
    """The cgroup of one container at one moment.

    Attributes:
        at_seconds: the node's clock.
        cpu_limit_millicores: None where there is no limit; so for memory.
        cpu_used_seconds: since the container started.
        periods: how many periods of 100 ms it wanted CPU in.
        throttled_periods: in how many of them it ran into its limit.
        memory_used_bytes: page cache included.
        working_set_bytes: without the page cache that is given back first.
        anonymous_bytes: what the program itself asked for; no page cache.
        oom_kills: how many of its processes were killed for want of memory.
        io_read_bytes: from block devices, since the container started; so for written. cgroup v1 counts only
            what was written past the page cache.
        threads: of all its processes.
    """

    at_seconds: float
    cpu_limit_millicores: int | None
    memory_limit_bytes: int | None
    cpu_used_seconds: float
    periods: int
    throttled_periods: int
    memory_used_bytes: int
    working_set_bytes: int
    anonymous_bytes: int
    oom_kills: int
    io_read_bytes: int
    io_written_bytes: int
    threads: int


@dataclass(frozen=True)
class CpuUse:
    """What a container used between two readings."""

    seconds: float
    millicores: float
    periods: int
    throttled_periods: int


def cpu_use(before: Reading, after: Reading) -> CpuUse:
    """The use between two readings of one container."""
    seconds = after.at_seconds - before.at_seconds
    return CpuUse(
        seconds=seconds,
        millicores=(after.cpu_used_seconds - before.cpu_used_seconds) / seconds * 1000,
        periods=after.periods - before.periods,
        throttled_periods=after.throttled_periods - before.throttled_periods,
    )


def parse_contents(lines: str) -> dict[str, dict[str, str]]:
    """What ``grep -H '' PATH...`` prints, as container id → file name → content."""
    contents: dict[str, dict[str, str]] = {}
    for line in lines.splitlines():
        path, _, text = line.partition(":")
        directory, _, file = path.rpartition("/")
        files = contents.setdefault(container_id(directory), {})
        files[file] = f"{files[file]}\n{text}" if file in files else text
    return contents


def parse_reading(at_seconds: float, files: Mapping[str, str]) -> Reading:
    """
    Raises:
        KeyError: names the file that is missing.
    """
    stat = _pairs(files["cpu.stat"])
    if "cpu.max" in files or "memory.max" in files:
        quota, period = files["cpu.max"].split()
        memory_used, memory = int(files["memory.current"]), _pairs(files["memory.stat"])
        io = _io_pairs(files.get("io.stat", ""))
        events = _pairs(files["memory.events"])
        return Reading(
            at_seconds=at_seconds,
            cpu_limit_millicores=None if quota == "max" else int(quota) * 1000 // int(period),
            memory_limit_bytes=None if files["memory.max"] == "max" else int(files["memory.max"]),
            cpu_used_seconds=stat["usage_usec"] / 1e6,
            periods=stat["nr_periods"],
            throttled_periods=stat["nr_throttled"],
            memory_used_bytes=memory_used,
            working_set_bytes=memory_used - memory["inactive_file"],
            anonymous_bytes=memory["anon"],
            oom_kills=events["oom_kill"],
            io_read_bytes=sum(device["rbytes"] for device in io),
            io_written_bytes=sum(device["wbytes"] for device in io),
            threads=int(files["pids.current"]),
        )
    memory_used, memory = int(files["memory.usage_in_bytes"]), _pairs(files["memory.stat"])
    operations = [
        line.split()[-2:] for line in files["blkio.throttle.io_service_bytes_recursive"].splitlines()
    ]
    quota_us, limit = int(files["cpu.cfs_quota_us"]), int(files["memory.limit_in_bytes"])
    return Reading(
        at_seconds=at_seconds,
        cpu_limit_millicores=None if quota_us < 0 else quota_us * 1000 // int(files["cpu.cfs_period_us"]),
        memory_limit_bytes=None if limit > NO_LIMIT_BYTES else limit,
        cpu_used_seconds=int(files["cpuacct.usage"]) / 1e9,
        periods=stat["nr_periods"],
        throttled_periods=stat["nr_throttled"],
        memory_used_bytes=memory_used,
        working_set_bytes=memory_used - memory["total_inactive_file"],
        anonymous_bytes=memory["total_rss"],
        oom_kills=_pairs(files["memory.oom_control"])["oom_kill"],
        io_read_bytes=sum(int(size) for operation, size in operations if operation == "Read"),
        io_written_bytes=sum(int(size) for operation, size in operations if operation == "Write"),
        threads=int(files["pids.current"]),
    )


def _pairs(content: str) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split() for line in content.splitlines())}


def _io_pairs(content: str) -> list[dict[str, int]]:
    """``io.stat``: a line for each device, ``MAJOR:MINOR rbytes=N wbytes=N ...``."""
    return [
        {key: int(value) for key, _, value in (pair.partition("=") for pair in line.split()[1:])}
        for line in content.splitlines()
        if "=" in line
    ]


def container_id(path: str) -> str:
    """Whose directory it is.

    Raises:
        CgroupError: it is no container's.
    """
    found = re.search(r"([0-9a-f]{64})(?:\.scope)?$", path)
    if found is None:
        raise CgroupError(f"{path} names no container")
    return found.group(1)
