"""A growing floor: the lows of equal stretches of time rise, in most of them, and are not given back.

What a program holds on to is what is left at its lowest moment, so each stretch counts by its low. Work grows
in steps and then stays where it is; a leak grows all the time. So what tells them apart is less by how much
something grew than in how many of the stretches it did.
"""

from array import array
from itertools import pairwise
from typing import Final, NamedTuple

GAP_STRETCHES: Final = 5
GAP_SECONDS: Final = 15.0
"""Without a sample for longer than both, nothing is known of what came between: the evidence begins anew."""
JITTER_SECONDS: Final = 0.25
"""A sample may be late by so much. Else every second stretch of two samples would wait for a third."""
FORGIVEN_PART: Final = 0.5
"""One fall may be a subprocess that ended; a second one of more than this part of it is a collector's
sawtooth."""
FORGIVEN_DOWN_TO: Final = 0.5
"""A fall that leaves less than this of what there was is a program that began anew."""
GAVE_BACK_PART: Final = 0.25
"""Nor is a fall forgiven that ends, give or take this part of it, where the window began: what grew in it was
given back."""
LEFT_PART: Final = 0.5
"""Of the growth that was measured, and of the least, what must be left between the two halves of a window. Of
the measured one too: else what a program takes as it begins makes a leak of the sawtooth that follows."""
JUMP_SECONDS: Final = 45.0
"""A jump is at least what the least leak takes in this time."""


class Scale(NamedTuple):
    """How a floor is looked at."""

    stretch_seconds: float
    stretches: int
    """Of a window."""
    regular: float
    """In which part of them it must have grown."""
    jump_stretches: int = 0
    """For so long after a jump, growth is taken for what the jump began; 0: jumps don't matter."""
    jump_part: float = 4.0
    """A jump is a stretch that grew by so many times what the others did, and see JUMP_SECONDS."""
    sampled: bool = False
    """A sample is a stretch; see SampledFloor."""


class Growth(NamedTuple):
    """What a floor did over a window."""

    since_seconds: float
    until_seconds: float
    """When the stretch of ``low_now`` began, which is some time ago."""
    low_before: float
    low_now: float
    highest: float
    """Of the lows of the window."""
    per_second: float
    """The median of the stretches: neither a jump nor a fall moves it."""
    grown: int
    stretches: int


class Floor:
    """The lows of the last stretches of one series.

    Args:
        least_per_second: what a stretch must have grown by to count.
    """

    __slots__ = (
        "_at",
        "_count",
        "_grown",
        "_kept",
        "_last",
        "_least",
        "_low",
        "_lows",
        "_scale",
        "_width",
        "began",
    )

    def __init__(self, scale: Scale, least_per_second: float) -> None:
        self._scale = scale
        self._width = scale.stretch_seconds - JITTER_SECONDS
        self._least = least_per_second
        self._kept = max(scale.stretches, scale.jump_stretches) + 1
        self._lows = array("f", bytes(4 * self._kept))  # exact enough: one part in 16 million
        self._at = array("d", bytes(8 * self._kept))
        self.clear()

    def clear(self) -> None:
        self._count = 0
        self._grown = 0
        """One bit a stretch, the newest lowest: whether it grew."""
        self.began: float | None = None
        """When the stretch that is not full yet began."""
        self._last = self._low = 0.0

    def add(self, seconds: float, value: float) -> bool:
        """Takes a sample, later than the one before; whether that ends a stretch."""
        began = self.began
        if began is None:
            self.began, self._low, self._last = seconds, value, seconds
            return False
        if seconds - began < self._width:
            if value < self._low:  # noqa: PLR1730 - half the time of a call of min, each second
                self._low = value
            self._last = seconds
            return False
        if seconds - self._last > max(GAP_SECONDS, GAP_STRETCHES * self._width):
            self.clear()
        else:
            self._close(began, self._low)
        self.began, self._low, self._last = seconds, value, seconds
        return True

    def _close(self, began: float, low: float) -> None:
        count, kept = self._count, self._kept
        if count:
            before = (count - 1) % kept
            grown = low - self._lows[before] >= self._least * (began - self._at[before])
            self._grown = (self._grown << 1 | grown) & ((1 << kept) - 1)
        self._lows[count % kept] = low
        self._at[count % kept] = began
        self._count = count + 1

    @property
    def newest(self) -> tuple[float, float] | None:
        """When the last full stretch began, and its low."""
        if not self._count:
            return None
        place = (self._count - 1) % self._kept
        return self._at[place], self._lows[place]

    def grows(self, stretches: int) -> bool:
        """Whether so many stretches are known and the regular part of them grew."""
        return (
            self._count > stretches
            and (self._grown & ((1 << stretches) - 1)).bit_count() >= self._scale.regular * stretches
        )

    def growth(self, stretches: int | None = None) -> Growth | None:
        """Over the last so many stretches, by default a window of them; None unless it was regular, has not
        been given back, and is not what a jump began."""
        stretches = stretches or self._scale.stretches
        if not self.grows(stretches):
            return None
        at, lows = self._newest(stretches)
        rates = sorted(
            (after - low) / (b - a) for (low, after), (a, b) in zip(pairwise(lows), pairwise(at), strict=True)
        )
        per_second = rates[len(rates) // 2]
        if risen(lows) < LEFT_PART * max(self._least, per_second) * (at[-1] - at[0]) / 2:
            return None
        grown = (self._grown & ((1 << stretches) - 1)).bit_count()
        if self._scale.jump_stretches and self._jumped(per_second):
            return None
        return Growth(at[0], at[-1], lows[0], lows[-1], max(lows), per_second, grown, stretches)

    def _newest(self, stretches: int) -> tuple[list[float], list[float]]:
        """When the last stretches, and the one before them, began; and their lows. Oldest first."""
        first = max(0, self._count - stretches - 1)
        places = [index % self._kept for index in range(first, self._count)]
        return [self._at[place] for place in places], [self._lows[place] for place in places]

    def _jumped(self, per_second: float) -> bool:
        """The growth came after a jump, out of a floor that had not grown, and the jump still stands."""
        at, lows = self._newest(self._scale.jump_stretches)
        lowest_after, least = lows[-1], self._least * JUMP_SECONDS
        for place in range(len(lows) - 2, -1, -1):
            before, after = lows[place], lows[place + 1]
            lowest_after = min(lowest_after, after)
            jump, others = after - before, per_second * (at[place + 1] - at[place])
            if (
                jump > max(least, self._scale.jump_part * others)
                and lowest_after > before + jump / 2
                and before >= FORGIVEN_DOWN_TO * after
                and not self._grew_before(place, len(lows))
            ):
                return True
        return False

    def _grew_before(self, place: int, length: int) -> bool:
        """Most of the stretches of the ten seconds before one of the last ``length`` lows grew."""
        stretches = round(10 / self._scale.stretch_seconds)
        bits = self._grown >> (length - 1 - place) & ((1 << stretches) - 1)
        return bits.bit_count() >= self._scale.regular * stretches


class SampledFloor(Floor):
    """Of what is looked at so seldom that a sample is a stretch: it is known at once, not only with the next.
    Of more frequent samples each stretch takes its first."""

    __slots__ = ()

    def add(self, seconds: float, value: float) -> bool:
        began = self.began
        if began is not None:
            if seconds - began < self._width:
                return False
            if seconds - began > max(GAP_SECONDS, GAP_STRETCHES * self._width):
                self.clear()
        self.began = seconds
        self._close(seconds, value)
        return True


def floor_of(scale: Scale, least_per_second: float) -> Floor:
    """The one for that scale."""
    return (SampledFloor if scale.sampled else Floor)(scale, least_per_second)


def risen(lows: list[float]) -> float:
    """By how much the lowest of the second half of a window is above the lowest of its first, one fall
    forgiven."""
    rises = [after - before for before, after in pairwise(lows)]
    fall = min(rises)
    after = rises.index(fall) + 1
    if _is_forgiven(fall, lows[0], lows[after - 1], lows[after], rises):
        lows = lows[:after] + [low - fall for low in lows[after:]]
    half = len(lows) // 2
    return min(lows[half:]) - min(lows[:half])


def _is_forgiven(fall: float, first: float, before: float, after: float, rises: list[float]) -> bool:
    alone = fall < 0 and sum(rise < FORGIVEN_PART * fall for rise in rises) == 1
    gave_back = abs(after - first) < GAVE_BACK_PART * -fall
    return alone and not gave_back and after >= FORGIVEN_DOWN_TO * before
