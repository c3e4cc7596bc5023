"""The last records of one kind. A long row of them is packed: a minute of samples of 250 containers takes
1.2 MB, as Python objects it would be 13."""

import struct
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

Record = TypeVar("Record", bound=tuple[int | None, ...])
Last = TypeVar("Last", bound=tuple[Any, ...])

_NONE = -1  # no value that the kernel gives is negative
_SIZE = 8


class LastTwo(Generic[Last]):
    """Of records of which only that is asked by which they grew since the one before."""

    __slots__ = ("latest", "previous")

    def __init__(self) -> None:
        self.latest: Last | None = None
        self.previous: Last | None = None

    def append(self, record: Last) -> None:
        self.previous, self.latest = self.latest, record

    def clear(self) -> None:
        self.latest = self.previous = None


class Window(Generic[Record]):
    """A ring of named tuples. Every field is an int of at most 63 bits, or None; the first is a time."""

    __slots__ = ("_buffer", "_count", "_format", "_length", "_make", "latest", "previous")

    def __init__(self, record: type[Record], length: int) -> None:
        fields: tuple[str, ...] = record._fields  # type: ignore[attr-defined]
        self._make: Callable[[Iterable[int | None]], Record] = record._make  # type: ignore[attr-defined]
        self._format = struct.Struct(f"={len(fields)}q")
        self._buffer = bytearray(self._format.size * length)
        self._length = length
        self._count = 0
        self.latest: Record | None = None
        self.previous: Record | None = None
        """The one before ``latest``."""

    def __len__(self) -> int:
        return min(self._count, self._length)

    def append(self, record: Record) -> None:
        """Adds a record; the oldest goes when the window is full."""
        offset = self._count % self._length * self._format.size
        try:
            self._format.pack_into(self._buffer, offset, *record)
        except struct.error:
            values = (_NONE if value is None else value for value in record)
            self._format.pack_into(self._buffer, offset, *values)
        self._count += 1
        self.previous, self.latest = self.latest, record

    def clear(self) -> None:
        self._count = 0
        self.latest = self.previous = None

    def since(self, at_ns: int) -> list[Record]:
        """The records read at ``at_ns`` or later, oldest first."""
        found: list[Record] = []
        for age in range(len(self)):
            offset = (self._count - 1 - age) % self._length * self._format.size
            values = self._format.unpack_from(self._buffer, offset)
            if values[0] < at_ns:
                break
            found.append(self._make([None if value == _NONE else value for value in values]))
        found.reverse()
        return found

    def all(self) -> list[Record]:
        """Every record, oldest first."""
        return self.since(0)
