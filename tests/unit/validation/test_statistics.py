"""Intervals that hold what they say, and a noise floor that knows noise."""

import numpy as np
import pytest

from e2e.validation import statistics
from e2e.validation.statistics import TooFewError


def groups(
    seed: int, count: int, *, shift: float = 1.0, size: int = 150, spread: float = 0.0
) -> list[list[float]]:
    """Windows of log-normal latencies around 20 ms; ``spread`` is what windows differ by among themselves."""
    generator = np.random.default_rng(seed)
    return [
        list(20 * shift * np.exp(generator.normal(0, spread)) * np.exp(generator.normal(0, 0.3, size)))
        for _ in range(count)
    ]


def test_the_interval_of_a_ratio_holds_the_truth_about_as_often_as_it_says() -> None:
    statistics_of = [
        statistics.ratio(
            groups(seed, 8, shift=1.3, spread=0.05), groups(1000 + seed, 8, spread=0.05), 50, seed
        )
        for seed in range(40)
    ]
    held = sum(each.low <= 1.3 <= each.high for each in statistics_of)
    assert held >= 34, f"{held} of 40"
    assert all(each.low <= each.value <= each.high for each in statistics_of)


def test_windows_that_differ_make_the_interval_wider() -> None:
    """Else requests of one window would pass for independent ones."""
    alike = statistics.ratio(groups(1, 6), groups(2, 6), 99)
    unlike = statistics.ratio(groups(1, 6, spread=0.3), groups(2, 6, spread=0.3), 99)
    assert unlike.half_width / unlike.value > 1.5 * alike.half_width / alike.value


def test_the_same_seed_gives_the_same_interval() -> None:
    some = groups(1, 4)
    assert statistics.estimate(some, 99, seed=3) == statistics.estimate(some, 99, seed=3)
    assert statistics.estimate(some, 99, seed=3) != statistics.estimate(some, 99, seed=4)


def test_the_noise_floor_is_low_where_windows_are_alike_and_high_where_not() -> None:
    low = statistics.noise_floor(groups(1, 8, size=1000), 50)
    high = statistics.noise_floor(groups(1, 8, size=1000, spread=0.4), 50)
    assert 1.0 <= low.most < 1.05
    assert high.most > 1.2


def test_two_halves_are_odd_against_even() -> None:
    quiet = [[10.0] * 5, [20.0] * 5, [10.0] * 5, [20.0] * 5]
    assert statistics.noise_floor(quiet, 50).halves == 0.5
    assert statistics.noise_floor(quiet, 50).most == pytest.approx(2.0)


def test_too_little_is_told() -> None:
    with pytest.raises(TooFewError, match="1 windows"):
        statistics.estimate([[1.0, 2.0]], 50)
    with pytest.raises(TooFewError, match="no request was answered"):
        statistics.ratio([[1.0], []], [[1.0], [1.0]], 50)
    with pytest.raises(TooFewError, match="2 windows can't be paired with 3"):
        statistics.ratio([[1.0]] * 2, [[1.0]] * 3, 50, paired=True)
    with pytest.raises(TooFewError, match="3 quiet windows"):
        statistics.noise_floor([[1.0]] * 3, 50)
    with pytest.raises(TooFewError):
        statistics.percentile([], 50)


def test_the_trend_is_that_of_most_windows() -> None:
    assert statistics.trend_per_minute([0, 60, 120, 180], [10, 11, 12, 13]) == pytest.approx(1.0)
    assert statistics.trend_per_minute([0, 60, 120, 180, 240], [10, 11, 99, 13, 14]) == pytest.approx(1.0)
    assert statistics.trend_per_minute([0], [10]) == 0.0


def test_every_window_is_in_either_half_alike() -> None:
    """Of many ways to halve, those that are looked at must not all have the first windows on one side."""
    count = 17

    halves = statistics._halvings(count, seed=1)

    for window in range(count):
        assert 0.3 < sum(window in half for half in halves) / len(halves) < 0.65


@pytest.mark.parametrize(
    ("degrees", "tabled"), [(2, 4.303), (3, 3.182), (5, 2.571), (10, 2.228), (60, 2.000)]
)
def test_students_t_is_the_tables(degrees: int, tabled: float) -> None:
    assert statistics.student(degrees) == pytest.approx(tabled, rel=0.01)


def test_the_fewer_the_windows_the_wider_the_interval_of_the_same_draws() -> None:
    drawn = np.random.default_rng(1).normal(10, 1, 100_000)

    of_four, of_many = (statistics._interval(10, drawn, windows) for windows in (4, 1000))

    assert of_many.half_width == pytest.approx(1.96, rel=0.02)
    assert of_four.half_width == pytest.approx(3.182 * (4 / 3) ** 0.5, rel=0.05)
