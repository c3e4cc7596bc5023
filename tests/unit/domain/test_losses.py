"""What a victim loses, over ten seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.domain.contention import Activity, Harm, Second
from tenantquota.domain.losses import (
    FELT_MS,
    FELT_PART,
    LOSS_SECONDS,
    TOO_MUCH_MS,
    Loss,
    losses,
    too_much,
)


def lost(*each: float, used_ms: float = 60.0) -> Loss:
    """What a victim loses after these seconds."""
    found: dict[str, Loss] = {}
    for ms in each:
        activity = Activity("small", 100, used_ms, ms, 1000, throttled=False)
        harms = [Harm("small", 40.0, 8.0, (), ms)] if ms else []
        found = losses(found, Second(2000, 0, (activity,)), harms)
    return found["small"]


def loss(lost_ms: float, *, used_ms: float) -> Loss:
    return Loss(LOSS_SECONDS, lost_ms, used_ms)


class TestLosses:
    @given(st.lists(st.floats(0, 1000), min_size=1, max_size=LOSS_SECONDS))
    def test_the_first_seconds_count_alike(self, each: list[float]) -> None:
        found = lost(*each)

        assert (found.seconds, found.used_ms) == (len(each), pytest.approx(60))
        assert found.lost_ms == pytest.approx(sum(each) / len(each))

    def test_a_second_is_forgotten_later(self) -> None:
        found = lost(1000, *[0] * 100)

        assert found.seconds == LOSS_SECONDS
        assert found.lost_ms < 1

    def test_it_is_felt_from_a_part_of_what_it_uses_unless_it_is_a_trifle(self) -> None:
        assert loss(FELT_MS, used_ms=1).felt
        assert not loss(FELT_MS - 0.1, used_ms=1).felt
        assert loss(FELT_PART * 200, used_ms=200).felt
        assert not loss(FELT_PART * 200 - 0.1, used_ms=200).felt

    def test_who_is_gone_is_forgotten(self) -> None:
        assert losses({"gone": Loss(3, 50.0, 60.0)}, Second(2000, 0, ()), []) == {}


class TestTooMuch:
    def test_many_small_ones_count_together(self) -> None:
        assert too_much([loss(TOO_MUCH_MS / 4, used_ms=9)] * 4)
        assert not too_much([loss(TOO_MUCH_MS / 4, used_ms=9)] * 3)

    def test_a_loss_that_is_small_for_what_is_used_does_not_count(self) -> None:
        small = loss(FELT_PART * 400 - 0.1, used_ms=400)

        assert not too_much([small] * 10)
        assert too_much([small, loss(TOO_MUCH_MS, used_ms=0)])

    def test_nobody_loses_nothing(self) -> None:
        assert not too_much([])
