"""The schedule, on a clock of our own."""

import itertools
from collections.abc import Callable

import pytest

from tenantquota.node.ticks import Ticks


class Clock:
    """Time passes by waiting, and by what the ticks take."""

    def __init__(self, until: float, oversleeps: Callable[[int], float] = lambda _: 0.0) -> None:
        self.now = 1000.0
        self.waits = 0
        self._end = self.now + until
        self._oversleeps = oversleeps

    def read(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        assert seconds >= 0
        self.now += seconds + self._oversleeps(self.waits)
        self.waits += 1
        return self.now >= self._end


def test_one_tick_a_second() -> None:
    clock = Clock(until=4.5)
    ticks = Ticks(1.0, clock.wait, clock.read)
    assert [(number, clock.now) for number in ticks] == [(n, 1000.0 + n) for n in range(5)]
    assert (ticks.begun, ticks.late, ticks.missed, ticks.period_error_seconds()) == (5, 0, 0, 0.0)


def test_a_late_tick_is_counted_and_does_not_move_the_next() -> None:
    clock = Clock(until=4.5, oversleeps=lambda wait: 0.3 if wait == 2 else 0.0)
    ticks = Ticks(1.0, clock.wait, clock.read)
    assert [clock.now for _ in ticks] == pytest.approx([1000.0, 1001.0, 1002.3, 1003.0, 1004.0])
    assert (ticks.begun, ticks.late, ticks.missed) == (5, 1, 0)
    assert ticks.period_error_seconds() == pytest.approx(0.3)
    assert ticks.period_error_seconds(0.25) == pytest.approx(0.0)
    assert ticks.error_counts == [2, 0, 0, 0, 0, 0, 0, 0, 2, 0], (
        "two periods of 1 s, one of 1.3 and one of 0.7"
    )
    assert ticks.error_sum_seconds == pytest.approx(0.6)


def test_ticks_that_pass_while_one_runs_are_missed_not_made_up_for() -> None:
    clock = Clock(until=6.5)
    ticks = Ticks(1.0, clock.wait, clock.read)
    begun = []
    for number in ticks:
        begun.append((number, clock.now))
        clock.now += 2.6 if number == 1 else 0.0
    assert begun == [(0, 1000.0), (1, 1001.0), (3, 1003.6), (4, 1004.0), (5, 1005.0), (6, 1006.0)]
    assert (ticks.begun, ticks.late, ticks.missed) == (6, 1, 1)


def test_a_machine_that_slept_for_an_hour() -> None:
    clock = Clock(until=3602.5, oversleeps=lambda wait: 3600.2 if wait == 1 else 0.0)
    ticks = Ticks(1.0, clock.wait, clock.read)
    assert list(ticks) == [0, 3601, 3602]
    assert (ticks.late, ticks.missed) == (1, 3600)


def test_small_delays_are_no_news() -> None:
    clock = Clock(until=9.5, oversleeps=lambda _: 0.049)
    ticks = Ticks(1.0, clock.wait, clock.read)
    assert len(list(ticks)) == 10
    assert (ticks.late, ticks.missed) == (0, 0)


def test_stops_at_once_when_told_to() -> None:
    ticks = Ticks(1.0, lambda _: True, itertools.count().__next__)
    assert list(ticks) == []
    assert ticks.period_error_seconds() is None
