"""A recorded series of one container: CSV with one sample a line.

Every error names the file and the line, and says what to change.
"""

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

REQUIRED: Final = ("seconds", "memory_bytes", "cpu_percent")
OPTIONAL: Final = ("open_files", "processes")


class SeriesError(Exception):
    """A file that holds no series: which, where, why and what to do."""


class Sample(NamedTuple):
    """What was read at one moment; None: not known."""

    seconds: float
    memory_bytes: float | None
    cpu_percent: float | None
    open_files: float | None
    processes: float | None


def samples(file: Path) -> Iterator[Sample]:
    """What the file holds.

    Raises:
        SeriesError: it is no recorded series.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield from _read(file, csv.reader(lines, strict=True))
    except OSError as error:
        raise SeriesError(f"{file}: {error.strerror}: name a CSV file that can be read") from error
    except UnicodeDecodeError as error:
        raise SeriesError(
            f"{file}: byte {error.start} is not UTF-8: save it as CSV in UTF-8, not as a spreadsheet"
        ) from error


def _read(file: Path, rows: Any) -> Iterator[Sample]:
    """``rows`` is a ``csv.reader``, whose type has no public name."""
    try:
        header = [name.strip() for name in next(rows, [])]
        if not any(header):
            raise SeriesError(f"{file}:1: is empty: the first line must name the columns {_names()}")
        places = _places(file, header)
        before, count = -math.inf, 0
        for row in rows:
            if not row:
                continue
            where = f"{file}:{rows.line_num}"
            if len(row) != len(header):
                raise SeriesError(
                    f"{where}: has {len(row)} fields, the first line {len(header)}: give each column a field,"
                    " an empty one where the value is not known"
                )
            values = {name: _number(where, name, row[place]) for name, place in places.items()}
            seconds = values.pop("seconds")
            if seconds is None:
                raise SeriesError(f"{where}: seconds is empty: each line needs its time")
            if seconds < before:
                raise SeriesError(
                    f"{where}: seconds goes back from {before:g} to {seconds:g}: sort the lines by seconds,"
                    " and put each container's into a file of its own"
                )
            before, count = seconds, count + 1
            yield Sample(seconds, *(values.get(name) for name in (*REQUIRED[1:], *OPTIONAL)))
        if not count:
            raise SeriesError(f"{file}:2: has no samples: add lines below the names of the columns")
    except csv.Error as error:
        raise SeriesError(f"{file}:{rows.line_num}: is no CSV: {error}") from error


def _places(file: Path, header: list[str]) -> dict[str, int]:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise SeriesError(
            f"{file}:1: has no column {' and no column '.join(missing)}: the first line must name {_names()};"
            f" it names {', '.join(header)}"
        )
    twice = [name for name in (*REQUIRED, *OPTIONAL) if header.count(name) > 1]
    if twice:
        raise SeriesError(f"{file}:1: names the column {twice[0]} twice: leave one out")
    return {name: header.index(name) for name in (*REQUIRED, *OPTIONAL) if name in header}


def _names() -> str:
    return f"{', '.join(REQUIRED)} and optionally {' and '.join(OPTIONAL)}, with commas between them"


def _number(where: str, name: str, text: str) -> float | None:
    """None for an empty field."""
    text = text.strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise SeriesError(
            f"{where}: {name} is {text!r}: write a plain number of 0 or more, such as 183000000"
        )
    return value
