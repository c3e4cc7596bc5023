"""Whether a series grows."""

import random

import pytest

from e2e.harness.trend import trend

LEVEL, NOISE = 40.0, 0.4


def series(rounds: int, growth: float, seed: int) -> list[float]:
    """MiB of a process whose collector lets it jump now and then."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [
        LEVEL + growth * number + chance.gauss(0, NOISE) + (6 if chance.random() < 0.1 else 0)
        for number in range(rounds)
    ]


def test_an_even_series() -> None:
    found = trend([10.0, 12.0, 14.0, 16.0, 18.0])
    assert (found.slope, found.least, found.most, found.level) == (2, 2, 2, 14)
    assert found.percent_of_level(found.slope, 7) == 100


def test_one_value_that_is_far_off_changes_nothing() -> None:
    assert trend([10.0, 10.0, 10.0, 90.0, 10.0, 10.0, 10.0]).slope == 0


@pytest.mark.parametrize("rounds", [10, 100])
def test_noise_is_no_growth(rounds: int) -> None:
    """As the case decides: the lower end of the interval."""
    for seed in range(20):
        found = trend(series(rounds, 0, seed))
        assert found.least <= found.slope <= found.most
        assert found.percent_of_level(found.least, 100) < 5


def test_a_leak_of_50_kib_a_round_is_found_in_100_rounds() -> None:
    for seed in range(20):
        found = trend(series(100, 50 / 1024, seed))
        assert found.percent_of_level(found.least, 100) > 5


def test_too_few_values_tell_nothing() -> None:
    with pytest.raises(ValueError, match="3 values"):
        trend([1.0, 2.0, 3.0])
