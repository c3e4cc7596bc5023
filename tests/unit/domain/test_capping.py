"""CPU limits for those who yield while others go on waiting: when, how low, and given back how."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.domain.capping import (
    AFTER_SECONDS,
    FIRST_PATIENCE_SECONDS,
    GRAIN_MILLI,
    LONGEST_PATIENCE_SECONDS,
    REQUESTED_LEAST_MILLI,
    STEP_FACTOR,
    STEP_SECONDS,
    Cap,
    Consumer,
    Press,
    allowance_milli,
    limits_within,
    step,
)
from tenantquota.domain.contention import Activity, Over, Second
from tenantquota.domain.yielding import Yield

ALLOWANCE = 500
WANTED = 1800


def consumer(key: str = "a", used: float = WANTED, floor: int = 50, *, throttled: bool = False) -> Consumer:
    return Consumer(key, used, floor, throttled)


class Tenant:
    """One that yields, second by second; what it uses is what its limits leave it."""

    def __init__(self, *wants: Consumer) -> None:
        self.now = 100.0
        self.wants = wants or (consumer(),)
        self.yields = True
        self.allowance: int | None = ALLOWANCE
        self.caps: dict[str, Cap] = {}
        self.changes: list[float] = []

    @property
    def cap(self) -> Cap | None:
        return self.caps.get("hog")

    @property
    def limits(self) -> dict[str, int]:
        return dict(self.cap.limits) if self.cap else {}

    def second(self, *, pressed: bool, own: Iterable[Consumer] | None = None) -> None:
        of = Yield("hog", 100.0, self.now, 5.0, Over("hog", WANTED, 4000, 1000))
        before = self.limits
        self.caps = step(
            self.caps,
            {"hog": of} if self.yields else {},
            {"hog": Press("hog made small wait", self.allowance)} if pressed else {},
            {"hog": own if own is not None else self._held()},
            self.now,
        )
        if self.limits != before:
            self.changes.append(self.now)
        self.now += 1

    def seconds(self, count: float, *, pressed: bool) -> None:
        for _ in range(round(count)):
            self.second(pressed=pressed)

    def _held(self) -> list[Consumer]:
        limits = self.limits
        return [
            each._replace(used_milli=limits[each.key], throttled=True) if each.key in limits else each
            for each in self.wants
        ]


def capped() -> Tenant:
    tenant = Tenant()
    tenant.seconds(AFTER_SECONDS + 1, pressed=True)
    assert tenant.limits == {"a": ALLOWANCE}
    return tenant


class TestBegin:
    def test_weights_have_their_time_first(self) -> None:
        tenant = Tenant()
        tenant.seconds(AFTER_SECONDS, pressed=True)
        assert tenant.limits == {}
        tenant.second(pressed=True)
        assert tenant.limits == {"a": ALLOWANCE}

    def test_nobody_is_capped_for_whom_nobody_waits(self) -> None:
        tenant = Tenant()
        tenant.seconds(100, pressed=False)
        assert tenant.caps == {}

    def test_who_fits_into_the_allowance_has_nothing_to_give(self) -> None:
        tenant = Tenant(consumer(used=ALLOWANCE - 10))
        tenant.seconds(100, pressed=True)
        assert tenant.caps == {}

    def test_only_who_yields_is_capped_and_only_as_long(self) -> None:
        tenant = capped()
        tenant.yields = False
        tenant.second(pressed=True)
        assert tenant.caps == {}

    def test_says_what_it_is_for(self) -> None:
        cap = capped().cap
        assert cap is not None
        assert (cap.message, cap.wanted_milli, cap.allowance_milli) == (
            "hog made small wait",
            WANTED,
            ALLOWANCE,
        )


class TestStay:
    def test_goes_no_lower_however_long_others_wait(self) -> None:
        tenant = capped()
        tenant.allowance = ALLOWANCE // 2
        tenant.seconds(300, pressed=True)
        assert tenant.limits == {"a": ALLOWANCE}

    def test_who_evades_in_another_container_is_capped_there_too(self) -> None:
        tenant = capped()
        tenant.wants = (consumer(), consumer("b"))
        tenant.seconds(STEP_SECONDS, pressed=True)
        assert tenant.limits == {"a": ALLOWANCE // 2, "b": ALLOWANCE // 2}


class TestGiveBack:
    def test_in_steps_when_nobody_waits(self) -> None:
        tenant = capped()
        tenant.seconds(FIRST_PATIENCE_SECONDS, pressed=False)
        assert tenant.limits == {"a": round(ALLOWANCE * STEP_FACTOR)}

    def test_to_nothing_left(self) -> None:
        tenant = capped()
        tenant.seconds(10 * FIRST_PATIENCE_SECONDS, pressed=False)
        assert tenant.limits == {}
        assert tenant.cap is not None
        assert not tenant.cap.active

    def test_too_early_is_taken_back_and_tried_again_later(self) -> None:
        tenant = capped()
        tenant.seconds(FIRST_PATIENCE_SECONDS, pressed=False)
        tenant.seconds(STEP_SECONDS, pressed=True)
        assert tenant.limits == {"a": ALLOWANCE}
        assert tenant.cap is not None
        assert tenant.cap.patience_seconds == 2 * FIRST_PATIENCE_SECONDS

    def test_patience_has_an_end(self) -> None:
        tenant = capped()
        for _ in range(10):
            tenant.seconds(LONGEST_PATIENCE_SECONDS, pressed=False)
            tenant.seconds(STEP_SECONDS, pressed=True)
        assert tenant.cap is not None
        assert tenant.cap.patience_seconds == LONGEST_PATIENCE_SECONDS

    def test_a_container_that_is_gone_takes_its_cap_with_it(self) -> None:
        tenant = capped()
        for _ in range(round(FIRST_PATIENCE_SECONDS)):
            tenant.second(pressed=False, own=[])
        assert tenant.limits == {}


class TestToRequests:
    """Beside a latency-sensitive tenant: what its pods request, and 100m at the least."""

    @pytest.fixture
    def tenant(self) -> Tenant:
        tenant = Tenant(consumer(floor=150))
        tenant.allowance = None
        return tenant

    def test_after_weights_had_their_time(self, tenant: Tenant) -> None:
        tenant.seconds(AFTER_SECONDS, pressed=True)
        assert tenant.limits == {}
        tenant.second(pressed=True)
        assert tenant.limits == {"a": 150}

    def test_no_less_than_an_agent_needs_to_answer_probes(self, tenant: Tenant) -> None:
        tenant.wants = (consumer(floor=10),)
        tenant.seconds(AFTER_SECONDS + 1, pressed=True)
        assert tenant.limits == {"a": REQUESTED_LEAST_MILLI}

    def test_all_containers_together(self, tenant: Tenant) -> None:
        tenant.wants = (
            consumer("a", 900, floor=60),
            consumer("b", 900, floor=60),
            consumer("c", 5, floor=60),
        )
        tenant.seconds(AFTER_SECONDS + 1, pressed=True)
        assert tenant.limits == {"a": 80, "b": 80}

    def test_stays_though_it_is_not_throttled_in_every_second(self, tenant: Tenant) -> None:
        tenant.seconds(AFTER_SECONDS + 1, pressed=True)
        for _ in range(60):
            tenant.second(pressed=True, own=[consumer(used=100, floor=150)])
        assert tenant.limits == {"a": 150}

    def test_is_given_back_whole_once_the_sensitive_one_rests(self, tenant: Tenant) -> None:
        tenant.seconds(AFTER_SECONDS + 1, pressed=True)
        tenant.seconds(FIRST_PATIENCE_SECONDS - 1, pressed=False)
        assert tenant.limits == {"a": 150}
        tenant.second(pressed=False)
        assert tenant.limits == {}

    def test_and_later_when_it_comes_back(self, tenant: Tenant) -> None:
        tenant.seconds(AFTER_SECONDS + 1, pressed=True)
        tenant.seconds(FIRST_PATIENCE_SECONDS, pressed=False)
        tenant.seconds(STEP_SECONDS, pressed=True)
        assert tenant.limits == {"a": 150}
        tenant.seconds(2 * FIRST_PATIENCE_SECONDS - 1, pressed=False)
        assert tenant.limits == {"a": 150}

    def test_lowers_a_limit_that_was_for_harm(self) -> None:
        tenant = capped()
        tenant.allowance = None
        tenant.seconds(STEP_SECONDS, pressed=True)
        assert tenant.limits == {"a": REQUESTED_LEAST_MILLI}

    def test_harm_alone_lowers_it_no_further_and_raises_nothing(self, tenant: Tenant) -> None:
        tenant.seconds(AFTER_SECONDS + 1, pressed=True)
        tenant.allowance = ALLOWANCE
        tenant.seconds(60, pressed=True)
        assert tenant.limits == {"a": 150}


@given(st.lists(st.tuples(st.integers(1, 70), st.booleans()), max_size=30))
def test_limits_change_every_five_seconds_at_most(stretches: list[tuple[int, bool]]) -> None:
    tenant = Tenant()
    for count, pressed in stretches:
        tenant.seconds(count, pressed=pressed)
    assert all(
        later - earlier >= STEP_SECONDS
        for earlier, later in zip(tenant.changes, tenant.changes[1:], strict=False)
    )
    assert all(limit >= ALLOWANCE for limit in tenant.limits.values())


@pytest.mark.parametrize("period", [5, 10, 20, 60])
def test_of_on_off_load_is_less_and_less_given_back(period: int) -> None:
    """Ten minutes; each time that the noise comes back, the next step is waited for longer."""
    tenant = Tenant()
    for _ in range(600 // period):
        tenant.seconds(period / 2, pressed=True)
        tenant.seconds(period / 2, pressed=False)
    first, last = ([at for at in tenant.changes if low <= at < low + 200] for low in (100, 500))
    assert len(last) <= max(2, len(first))
    assert len(tenant.changes) <= 20


def second(*tenants: tuple[str, int, float], others_ms: float = 0.0) -> Second:
    activities = tuple(Activity(name, weight, used, 0.0, 100.0, False) for name, weight, used in tenants)
    return Second(2000.0, 0.0, activities, others_ms)


class TestAllowance:
    def test_is_what_the_weight_is_worth_among_those_at_work(self) -> None:
        of = second(("hog", 100, 1800.0), ("small", 100, 100.0), ("idle", 100, 1.0))
        assert allowance_milli(of, "hog", 1850.0) == 1000

    def test_is_half_of_a_share_that_is_more_than_that(self) -> None:
        many = [(f"small-{number}", 100, 20.0) for number in range(19)]
        assert allowance_milli(second(("hog", 100, 1500.0), *many), "hog", 1600.0) == 800

    def test_leaves_the_system_what_it_uses(self) -> None:
        of = second(("hog", 300, 1500.0), ("small", 100, 100.0), others_ms=400.0)
        assert allowance_milli(of, "hog", 0.0) == 1200


class TestLimits:
    def test_the_largest_are_cut_and_the_light_left_alone(self) -> None:
        own = [consumer("a", 900), consumer("b", 700), consumer("c", 100)]
        assert limits_within(own, 900) == {"a": 400, "b": 400}

    def test_none_where_all_fit(self) -> None:
        assert limits_within([consumer("a", 400), consumer("b", 100)], 500) == {}

    def test_what_is_throttled_could_use_it_all(self) -> None:
        assert limits_within([consumer("a", 300, throttled=True), consumer("b", 100)], 500) == {"a": 400}

    def test_nothing_under_what_its_pod_requests(self) -> None:
        assert limits_within([consumer("a", 900, floor=400), consumer("b", 900)], 500) == {"a": 400, "b": 100}

    @given(
        st.lists(st.tuples(st.floats(0, 4000), st.integers(0, 500), st.booleans()), max_size=8),
        st.integers(50, 4000),
    )
    def test_all_fit_but_for_their_floors(self, of: list[tuple[float, int, bool]], allowance: int) -> None:
        own = [
            Consumer(str(number), used, floor // GRAIN_MILLI * GRAIN_MILLI, throttled)
            for number, (used, floor, throttled) in enumerate(of)
        ]
        limits = limits_within(own, allowance)
        floors = {each.key: each.floor_milli for each in own}
        assert all(milli % GRAIN_MILLI == 0 and milli >= floors[key] for key, milli in limits.items())
        if any(milli > max(GRAIN_MILLI, floors[key]) for key, milli in limits.items()):
            left = sum(limits.get(each.key, round(each.used_milli)) for each in own)
            assert left <= allowance, "else nothing can be cut further"
