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
    TOO_MUCH_PART,
    Loss,
    losses,
)


def lost(*each: float, used_ms: float = 60.0) -> Loss:
    """What a victim loses after these seconds."""
    found: dict[str, Loss] = {}
    for ms in each:
        activity = Activity("small", 100, used_ms, ms, 1000, throttled=False)
        harms = [Harm("small", 40.0, 8.0, (), ms)] if ms else []
        found = losses(found, Second(2000, 0, (activity,)), harms)
    return found["small"]


class TestLosses:
    @given(st.lists(st.floats(0, 1000), min_size=1, max_size=LOSS_SECONDS))
    def test_the_first_seconds_count_alike(self, each: list[float]) -> None:
        loss = lost(*each)

        assert (loss.seconds, loss.used_ms) == (len(each), pytest.approx(60))
        assert loss.lost_ms == pytest.approx(sum(each) / len(each))

    def test_a_second_is_forgotten_later(self) -> None:
        loss = lost(1000, *[0] * 100)

        assert loss.seconds == LOSS_SECONDS
        assert loss.lost_ms < 1

    @pytest.mark.parametrize(("part", "least_ms"), [(FELT_PART, FELT_MS), (TOO_MUCH_PART, TOO_MUCH_MS)])
    def test_it_counts_from_a_part_of_what_it_uses_unless_it_is_a_trifle(
        self, part: float, least_ms: float
    ) -> None:
        def counts(lost_ms: float, used_ms: float) -> bool:
            loss = Loss(LOSS_SECONDS, lost_ms, used_ms)
            return loss.felt if part == FELT_PART else loss.too_much

        assert counts(least_ms, 1)
        assert not counts(least_ms - 0.1, 1)
        assert counts(part * 200, 200)
        assert not counts(part * 200 - 0.1, 200)

    def test_who_is_gone_is_forgotten(self) -> None:
        assert losses({"gone": Loss(3, 50.0, 60.0)}, Second(2000, 0, ()), []) == {}
