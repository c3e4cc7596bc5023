"""The formats of cgroup files, bytes → int. Documented in the kernel's admin-guide/cgroup-v1 and -v2.

Strict: whatever the kernel would not write, a cut-off file among it, raises Malformed rather than becoming a
number. Only digits are numbers (``int`` alone would take ``+1``, ``1_0`` and ``-1`` too), and every file ends
with a newline, so that one read short is noticed.
"""

from typing import Final, NamedTuple

NO_LIMIT: Final = -1
"""What limits say where there is none; None would say that the file couldn't be read."""

_V1_NO_LIMIT_BYTES: Final = 1 << 62
"""v1 says it as the largest multiple of a page that fits a long, about 2^63."""
_MOST: Final = 2**63 - 1
"""Counters that the kernel keeps in 64 bits don't get that far, and windows hold no more."""
_MOST_DIGITS: Final = 19


class MalformedError(ValueError):
    """Content that no kernel writes to the file."""

    def __init__(self, content: bytes) -> None:
        super().__init__(f"not understood: {content[:80]!r}")


def _digits(word: bytes, content: bytes) -> int:
    if not word.isdigit() or len(word) > _MOST_DIGITS or (number := int(word)) > _MOST:
        raise MalformedError(content)
    return number


def number(content: bytes) -> int:
    """``b"123\\n"`` → 123."""
    if content[-1:] != b"\n":
        raise MalformedError(content)
    return _digits(content[:-1], content)


def keyed(content: bytes) -> dict[bytes, bytes]:
    """``b"a 1\\nb 2\\n"`` → {b"a": b"1", b"b": b"2"}; the numbers are for ``value``."""
    words = content.split()
    if content[-1:] != b"\n" or len(words) % 2:
        raise MalformedError(content)
    return dict(zip(words[::2], words[1::2], strict=True))


def value(pairs: dict[bytes, bytes], key: bytes) -> int | None:
    """The number of a key; None where this kernel doesn't write the key."""
    word = pairs.get(key)
    return None if word is None else _digits(word, key + b" " + word)


def value_of(content: bytes, key: bytes) -> int:
    """The number of one key, without a look at the others: for files of forty lines."""
    start = 0 if content.startswith(key + b" ") else content.find(b"\n" + key + b" ") + 1
    end = content.find(b"\n", start)
    if end < 0 or not content.startswith(key + b" ", start):
        raise MalformedError(content)
    return _digits(content[start + len(key) + 1 : end], content)


class Throttling(NamedTuple):
    """What ``cpu.stat`` says of the CPU quota; None where the kernel doesn't say it."""

    nr_periods: int | None
    nr_throttled: int | None
    throttled_ns: int | None


def cpu_stat_v1(content: bytes) -> Throttling:
    """v1 ``cpu.stat``, whose throttled_time is in nanoseconds."""
    pairs = keyed(content)
    return Throttling(
        value(pairs, b"nr_periods"), value(pairs, b"nr_throttled"), value(pairs, b"throttled_time")
    )


def cpu_stat_v2(content: bytes) -> tuple[int | None, Throttling]:
    """v2 ``cpu.stat``: CPU time used in ns, and throttling; the file has both in microseconds. Without the
    CPU controller it has only the first."""
    pairs = keyed(content)
    usage_ns, throttled_ns = _nanoseconds(pairs, b"usage_usec"), _nanoseconds(pairs, b"throttled_usec")
    return usage_ns, Throttling(value(pairs, b"nr_periods"), value(pairs, b"nr_throttled"), throttled_ns)


def _nanoseconds(pairs: dict[bytes, bytes], key: bytes) -> int | None:
    microseconds = value(pairs, key)
    if microseconds is not None and microseconds > _MOST // 1000:
        raise MalformedError(key + b" " + pairs[key])
    return None if microseconds is None else microseconds * 1000


def oom_kills(content: bytes) -> int | None:
    """v1 ``memory.oom_control`` (since Linux 4.13), v2 ``memory.events``."""
    return value(keyed(content), b"oom_kill")


def limit_hits(content: bytes) -> int:
    """v2 ``memory.events``: how often usage was at the cgroup's own limit or above its ``high``, and at
    those of cgroups below it. ``memory.events.local`` leaves those out."""
    return sum(value_of(content, key) for key in (b"high", b"max", b"oom"))


def pages_scanned(content: bytes) -> int:
    """``/proc/vmstat``: the pages that were looked at to free memory of the node. Those that a cgroup's own
    limit has the kernel look at aren't counted there (mm/vmscan.c)."""
    return value_of(content, b"pgscan_kswapd") + value_of(content, b"pgscan_direct")


def inactive_file(content: bytes) -> int:
    """v2 ``memory.stat``."""
    return value_of(content, b"inactive_file")


def total_inactive_file(content: bytes) -> int:
    """v1 ``memory.stat``, children included."""
    return value_of(content, b"total_inactive_file")


def pressure_some_us(content: bytes) -> int:
    """``total`` of the line ``some`` of a pressure file (Documentation/accounting/psi.rst)."""
    line, newline, _ = content.partition(b"\n")
    head, found, total = line.partition(b" total=")
    if not newline or not found or not head.startswith(b"some "):
        raise MalformedError(content)
    return _digits(total, content)


def cpu_max(content: bytes) -> tuple[int, int]:
    """v2 ``cpu.max``: quota, or NO_LIMIT, and period in µs."""
    words = content.split()
    if content[-1:] != b"\n" or len(words) != 2:
        raise MalformedError(content)
    return NO_LIMIT if words[0] == b"max" else _digits(words[0], content), _period_us(words[1], content)


def cfs_period_us(content: bytes) -> int:
    """v1 ``cpu.cfs_period_us``."""
    return _period_us(content[:-1], content)


def _period_us(word: bytes, content: bytes) -> int:
    period_us = _digits(word, content)
    if not period_us or content[-1:] != b"\n":
        raise MalformedError(content)
    return period_us


def cfs_quota_us(content: bytes) -> int:
    """v1 ``cpu.cfs_quota_us``, or NO_LIMIT."""
    return NO_LIMIT if content == b"-1\n" else number(content)


def limit_in_bytes(content: bytes) -> int:
    """v1 ``memory.limit_in_bytes``, or NO_LIMIT."""
    limit = number(content)
    return NO_LIMIT if limit >= _V1_NO_LIMIT_BYTES else limit


def memory_max(content: bytes) -> int:
    """v2 ``memory.max``, or NO_LIMIT."""
    return NO_LIMIT if content == b"max\n" else number(content)


def io_service_bytes(content: bytes) -> tuple[int, int]:
    """v1 ``blkio.throttle.io_service_bytes_recursive``: bytes read and written, over all devices.

    Lines are ``8:0 Read 4096``; Sync, Async and Total count the same bytes again.
    """
    read = written = 0
    if content[-1:] != b"\n":
        raise MalformedError(content)
    for line in content.splitlines():
        kind, _, word = line.rpartition(b" ")
        amount = _digits(word, content)
        if kind.endswith(b" Read"):
            read += amount
        elif kind.endswith(b" Write"):
            written += amount
    return _sums(read, written, content)


def io_stat(content: bytes) -> tuple[int, int]:
    """v2 ``io.stat``: bytes read and written, over all devices.

    Lines are ``8:0 rbytes=4096 wbytes=0 …``; a device without statistics has no more than its number, and a
    cgroup that never did I/O has an empty file.
    """
    read = written = 0
    if content and content[-1:] != b"\n":
        raise MalformedError(content)
    for word in content.split():
        if word.startswith(b"rbytes="):
            read += _digits(word[7:], content)
        elif word.startswith(b"wbytes="):
            written += _digits(word[7:], content)
    return _sums(read, written, content)


def io_done(content: bytes) -> dict[str, tuple[int, int]]:
    """v2 ``io.stat``: by device (``8:0``), operations and bytes of reads and writes together."""
    done: dict[str, tuple[int, int]] = {}
    if content and content[-1:] != b"\n":
        raise MalformedError(content)
    device, operations, size = "", 0, 0
    for word in content.split():
        key, separator, amount = word.partition(b"=")
        if not separator:
            device, operations, size = word.decode("ascii", "replace"), 0, 0
        elif key in {b"rios", b"wios"}:
            operations += _digits(amount, content)
            done[device] = operations, size
        elif key in {b"rbytes", b"wbytes"}:
            size += _digits(amount, content)
            done[device] = operations, size
    if "" in done:
        raise MalformedError(content)
    return done


def _sums(read: int, written: int, content: bytes) -> tuple[int, int]:
    if read > _MOST or written > _MOST:
        raise MalformedError(content)
    return read, written


def ids(content: bytes) -> list[int]:
    """``cgroup.procs``, ``cgroup.threads`` and v1 ``tasks``: one id a line. 0 stands for one of a PID
    namespace that we can't see into, and is left out."""
    if content and content[-1:] != b"\n":
        raise MalformedError(content)
    return [number for word in content.split() if (number := _digits(word, content))]


def schedstat(content: bytes) -> tuple[int, int]:
    """``/proc/TID/schedstat`` (Documentation/scheduler/sched-stats.rst): run delay in ns and timeslices."""
    words = content.split()
    if content[-1:] != b"\n" or len(words) != 3:
        raise MalformedError(content)
    return _digits(words[1], content), _digits(words[2], content)


def idle_ticks(content: bytes) -> int:
    """``/proc/stat``: the idle time of all CPUs together, and that in which a disk was waited for.

    Raises:
        ValueError: it is not that file.
    """
    fields = content.partition(b"\n")[0].split()
    if len(fields) < 6 or fields[0] != b"cpu":
        raise ValueError("no line 'cpu'")
    return int(fields[4]) + int(fields[5])
