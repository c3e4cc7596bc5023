"""The formats of cgroup files, as bytes → int. Documented in the kernel's admin-guide/cgroup-v1 and cgroup-v2.

Strict: whatever the kernel would not write, a cut-off file among it, raises Malformed rather than becoming a
number. Only digits are numbers (``int`` alone would take ``+1``, ``1_0`` and ``-1`` too), and every file ends
with a newline, so that one read short is noticed.
"""

from typing import Final

UNLIMITED_BYTES: Final = 1 << 62
"""v1 says "no limit" as the largest multiple of a page that fits a long, about 2^63."""


class MalformedError(ValueError):
    """Content that no kernel writes to the file."""

    def __init__(self, content: bytes) -> None:
        super().__init__(f"not understood: {content[:80]!r}")


def number(content: bytes) -> int:
    """``b"123\\n"`` → 123."""
    if content[-1:] != b"\n" or not content[:-1].isdigit():
        raise MalformedError(content)
    return int(content)


def keyed(content: bytes) -> dict[bytes, bytes]:
    """``b"a 1\\nb 2\\n"`` → {b"a": b"1", b"b": b"2"}; the numbers are for ``value``."""
    words = content.split()
    if content[-1:] != b"\n" or len(words) % 2:
        raise MalformedError(content)
    return dict(zip(words[::2], words[1::2], strict=True))


def value(pairs: dict[bytes, bytes], key: bytes) -> int | None:
    """The number of a key; None where this kernel doesn't write the key."""
    digits = pairs.get(key)
    if digits is None:
        return None
    if not digits.isdigit():
        raise MalformedError(key + b" " + digits)
    return int(digits)


def value_of(content: bytes, key: bytes) -> int:
    """The number of one key, without a look at the others: for files of forty lines."""
    start = content.find(b"\n" + key + b" ")
    end = content.find(b"\n", start + 1)
    digits = content[start + len(key) + 2 : end]
    if start < 0 or end < 0 or not digits.isdigit():
        raise MalformedError(content if start < 0 else content[start + 1 :])
    return int(digits)


def pressure_some_us(content: bytes) -> int:
    """``total`` of the line ``some`` of a pressure file (Documentation/accounting/psi.rst)."""
    line, newline, _ = content.partition(b"\n")
    head, found, total = line.partition(b" total=")
    if not newline or not found or not head.startswith(b"some ") or not total.isdigit():
        raise MalformedError(content)
    return int(total)


def cpu_max(content: bytes) -> tuple[int | None, int]:
    """v2 ``cpu.max``: quota (None: no limit) and period in µs."""
    words = content.split()
    if content[-1:] != b"\n" or len(words) != 2 or not words[1].isdigit() or int(words[1]) == 0:
        raise MalformedError(content)
    if words[0] == b"max":
        return None, int(words[1])
    if not words[0].isdigit():
        raise MalformedError(content)
    return int(words[0]), int(words[1])


def cfs_quota_us(content: bytes) -> int | None:
    """v1 ``cpu.cfs_quota_us``; None: no limit, which it says as -1."""
    return None if content == b"-1\n" else number(content)


def limit_in_bytes(content: bytes) -> int | None:
    """v1 ``memory.limit_in_bytes``; None: no limit."""
    limit = number(content)
    return None if limit >= UNLIMITED_BYTES else limit


def memory_max(content: bytes) -> int | None:
    """v2 ``memory.max``; None: no limit."""
    return None if content == b"max\n" else number(content)


def io_service_bytes(content: bytes) -> tuple[int, int]:
    """v1 ``blkio.throttle.io_service_bytes_recursive``: bytes read and written, over all devices.

    Lines are ``8:0 Read 4096``; Sync, Async and Total count the same bytes again.
    """
    read = written = 0
    if content[-1:] != b"\n":
        raise MalformedError(content)
    for line in content.splitlines():
        words = line.split()
        if not words[-1:] or not words[-1].isdigit():
            raise MalformedError(content)
        if len(words) == 3 and words[1] == b"Read":
            read += int(words[2])
        elif len(words) == 3 and words[1] == b"Write":
            written += int(words[2])
    return read, written


def io_stat(content: bytes) -> tuple[int, int]:
    """v2 ``io.stat``: bytes read and written, over all devices.

    Lines are ``8:0 rbytes=4096 wbytes=0 …``; a device without statistics has no more than its number, and a
    cgroup that never did I/O has an empty file.
    """
    read = written = 0
    if content and content[-1:] != b"\n":
        raise MalformedError(content)
    for word in content.split():
        key, equals, digits = word.partition(b"=")
        if not equals:
            continue
        if key in (b"rbytes", b"wbytes"):
            if not digits.isdigit():
                raise MalformedError(content)
            if key == b"rbytes":
                read += int(digits)
            else:
                written += int(digits)
    return read, written


def ids(content: bytes) -> list[int]:
    """``cgroup.procs``, ``cgroup.threads`` and v1 ``tasks``: one id a line."""
    lines = content.split()
    if content and content[-1:] != b"\n":
        raise MalformedError(content)
    if not all(line.isdigit() for line in lines):
        raise MalformedError(content)
    return [int(line) for line in lines]


def schedstat(content: bytes) -> tuple[int, int]:
    """``/proc/TID/schedstat`` (Documentation/scheduler/sched-stats.rst): run delay in ns and timeslices."""
    words = content.split()
    if content[-1:] != b"\n" or len(words) != 3 or not all(word.isdigit() for word in words):
        raise MalformedError(content)
    return int(words[1]), int(words[2])
