"""Whether a series grows, beyond its noise."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Trend:
    """By how much a series grows from one value to the next.

    Attributes:
        slope: the median of the slopes between any two values (Theil 1950, Sen 1968): nearly a third of the
            values may be far off, as a garbage collector's are, and it stays.
        least, most: the ends of its interval of 95 % (Sen 1968, by Kendall's variance).
        level: the median of the series.
    """

    slope: float
    least: float
    most: float
    level: float

    def percent_of_level(self, slope: float, steps: int) -> float:
        """What such a slope comes to after so many steps."""
        return slope * steps / self.level * 100


def trend(values: Sequence[float]) -> Trend:
    """The trend of values at equal distances.

    Raises:
        ValueError: for fewer than four values: no interval can be told.
    """
    count = len(values)
    if count < 4:
        raise ValueError(f"{count} values tell no trend")
    slopes = sorted(
        (later - earlier) / (second - first)
        for (first, earlier), (second, later) in itertools.combinations(enumerate(values), 2)
    )
    # the variance of Kendall's S is less with ties, so the interval is never too narrow for them
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    half = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * deviation
    low = math.floor((len(slopes) - half) / 2)
    high = math.ceil((len(slopes) + half) / 2)
    return Trend(
        slope=statistics.median(slopes),
        least=slopes[max(low, 0)],
        most=slopes[min(high, len(slopes) - 1)],
        level=statistics.median(values),
    )
