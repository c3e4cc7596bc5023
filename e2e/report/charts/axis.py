"""From figures to places on the paper, and the round figures beside an axis."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

ROUND: Final = (1.0, 2.0, 5.0, 10.0)
ROUND_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)


class Scale(NamedTuple):
    """
    Attributes:
        low, high: the axis' ends; both over 0 when it is logarithmic.
        start, end: where they are, in the picture's units.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Where ``value`` is; what lies beyond an end is at that end."""
        inside = min(max(value, self.low), self.high)
        if self.logarithmic:
            part = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            part = (inside - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)


def from_zero(values: list[float], most_ticks: int) -> list[float]:
    """Ticks of a linear axis that has all values and 0 in it; first and last are its ends."""
    low, high = min([0.0, *values]), max([0.0, *values])
    if low == high:
        high = 1.0
    step = _step(high - low, most_ticks)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, last + 1)]


def decades(values: list[float], most_ticks: int) -> list[float]:
    """Ticks of a logarithmic axis that has all values over 0 in it; first and last are its ends."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = min(positive), max(positive)
    for mantissas in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        ticks = _around(low, high, mantissas)
        if len(ticks) <= most_ticks:
            break
    return ticks


def _around(low: float, high: float, mantissas: tuple[float, ...]) -> list[float]:
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    all_of_them = [mantissa * 10.0**exponent for exponent in exponents for mantissa in mantissas]
    below = [tick for tick in all_of_them if tick <= low]
    above = [tick for tick in all_of_them if tick >= high and tick > below[-1]]
    return [tick for tick in all_of_them if below[-1] <= tick <= above[0]]


def within(low: float, high: float, most_ticks: int, *, seconds: bool) -> list[float]:
    """Round figures of an axis that ends where its figures do."""
    step = _step(high - low, most_ticks, ROUND_SECONDS if seconds else ())
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _step(extent: float, most_ticks: int, steps: tuple[float, ...] = ()) -> float:
    least = extent / max(most_ticks - 1, 1)
    for step in steps:
        if step >= least >= steps[0] / 10:
            return step
    magnitude = 10.0 ** math.floor(math.log10(least))
    return next(each * magnitude for each in ROUND if each * magnitude >= least * (1 - 1e-9))


def thinned(points: list[tuple[float, float]], buckets: int) -> list[tuple[float, float]]:
    """As many points as can be seen: least and most of each bucket along x, so that no peak is lost."""
    if len(points) <= 2 * buckets:
        return points
    bounds = [len(points) * number // buckets for number in range(buckets + 1)]
    return [point for start, end in pairwise(bounds) for point in _extremes(points[start:end])]


def _extremes(points: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    least = min(range(len(points)), key=lambda at: points[at][1])
    most = max(range(len(points)), key=lambda at: points[at][1])
    yield from (points[at] for at in sorted({least, most}))
