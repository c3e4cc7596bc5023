"""The Prometheus text format, version 0.0.4.

By hand, against the rule to prefer a library: ``prometheus_client`` takes 34 ms for the 5000 series of 250
containers where this takes 3: at a scrape every 15 s, a fifth of all that the agent uses. Tests read the
result with the library's own parser and with ``promtool``.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Value = int | float | None


def labels(of: Mapping[str, str]) -> str:
    """``{name="value",…}``, made once for the many series of one container; empty for none."""
    if not of:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in of.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


class Exposition:
    """Collects metric families, in the order they are added."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def counter(self, name: str, text: str, series: Iterable[tuple[str, Value]]) -> None:
        """A family whose name ends in ``_total``. A value of None is no series."""
        self._family(name, "counter", text, series)

    def gauge(self, name: str, text: str, series: Iterable[tuple[str, Value]]) -> None:
        self._family(name, "gauge", text, series)

    def histogram(
        self, name: str, text: str, bounds: Sequence[float], counts: Sequence[int], total: float
    ) -> None:
        """One series without labels.

        Args:
            bounds: of the buckets, growing.
            counts: of what lies between two bounds; one more than there are bounds.
            total: the sum of what was observed.
        """
        buckets = zip([*map(str, bounds), "+Inf"], accumulate(counts), strict=True)
        lines = [f'{name}_bucket{{le="{bound}"}} {count}\n' for bound, count in buckets]
        self._parts += [f"# HELP {name} {text}\n# TYPE {name} histogram\n", *lines]
        self._parts.append(f"{name}_sum {total}\n{name}_count {sum(counts)}\n")

    def encode(self) -> bytes:
        return "".join(self._parts).encode()

    def _family(self, name: str, kind: str, text: str, series: Iterable[tuple[str, Value]]) -> None:
        lines = [f"{name}{of} {value}\n" for of, value in series if value is not None]
        if lines:
            self._parts.append(f"# HELP {name} {text}\n# TYPE {name} {kind}\n")
            self._parts += lines
