"""Yielding, step by step and in a closed loop with a node that shares its CPUs by weight."""

from collections.abc import Callable, Mapping
from math import inf

import pytest

from tenantquota.domain.contention import TAKES_FRACTION, Activity, Over, Second, over_share
from tenantquota.domain.shares import water_level
from tenantquota.domain.weights import PodWeight, weights
from tenantquota.domain.yielding import (
    BURST_MS,
    LIFTED_SECONDS,
    LONGEST_QUIET_SECONDS,
    QUIET_SECONDS,
    State,
    lifted,
    step,
)

MUCH = Over("hog", 1900, 4000, 1000)
LITTLE = Over("hog", 1000, 1200, 1000)
SPARE_MILLI = 700
"""Of a node of two CPUs, of which pods request little."""


class TestStep:
    def test_much_is_acted_upon_at_once(self) -> None:
        state, changes = step(State(), {"hog": MUCH}, 7.0)

        (begun,) = changes.begun
        assert (begun.tenant, begun.since, begun.evidence) == ("hog", 7.0, MUCH)
        assert state.active.keys() == {"hog"}

    def test_little_is_acted_upon_in_the_second_second(self) -> None:
        state, changes = step(State(), {"hog": LITTLE}, 7.0)
        assert changes.begun == ()

        state, changes = step(state, {"hog": LITTLE}, 8.0)
        assert [each.tenant for each in changes.begun] == ["hog"]

    def test_who_wants_much_and_gets_little_takes_from_nobody(self) -> None:
        starved = Over("hog", 300, 4000, 1000)
        state, _ = step(State(), {"hog": starved}, 7.0)
        _, changes = step(state, {"hog": starved}, 8.0)

        assert changes.begun == ()

    def test_a_second_with_some_requests_is_no_taking_however_small_the_share(self) -> None:
        """Of fifty tenants on two CPUs, in which each request waits long."""
        busy, state = Over("normal", 50, 138, 30), State()
        for second in range(0, 60, 2):
            state, changes = step(state, {"normal": busy}, float(second))
            assert changes.begun == ()
            state, _ = step(state, {}, second + 1.0)

    def test_who_takes_a_little_each_second_is_found_once_it_comes_to_much(self) -> None:
        near = Over("hog", 60, 500, 30)
        surplus_ms = 60 - TAKES_FRACTION * 30
        state, begun = State(), []
        for second in range(1, 11):
            state, changes = step(state, {"hog": near}, float(second))
            begun += [second for _ in changes.begun]

        (after,) = begun
        assert (after - 1) * surplus_ms < BURST_MS <= after * surplus_ms

    def test_what_was_taken_is_forgotten_by_half_each_second(self) -> None:
        state, _ = step(State(), {"hog": Over("hog", 114, 500, 30)}, 0.0)  # 90 beyond what is nothing
        state, _ = step(state, {}, 1.0)
        assert state.surplus_ms == {"hog": 45.0}
        for second in range(2, 9):
            state, _ = step(state, {}, float(second))
        assert state.surplus_ms == {}

    def test_a_hog_among_many_is_found_at_once(self) -> None:
        _, changes = step(State(), {"hog": Over("hog", 200, 4000, 30)}, 0.0)
        assert [each.tenant for each in changes.begun] == ["hog"]

    def test_who_yields_goes_on_while_it_wants_much_however_little_it_gets(self) -> None:
        state, _ = step(State(), {"hog": MUCH}, 0.0)
        for second in range(1, 100):
            state, _ = step(state, {"hog": Over("hog", 10, 4000, 1000)}, float(second))

        assert state.active.keys() == {"hog"}

    def test_little_that_was_once_is_forgotten(self) -> None:
        state, _ = step(State(), {"hog": LITTLE}, 7.0)
        state, _ = step(state, {}, 8.0)
        _, changes = step(state, {"hog": LITTLE}, 9.0)

        assert changes.begun == ()

    def test_ends_after_some_quiet(self) -> None:
        state, _ = step(State(), {"hog": MUCH}, 0.0)
        state, _ = step(state, {"hog": MUCH}, 1.0)
        now = 1.0
        ended = []
        while not ended:
            now += 1.0
            state, changes = step(state, {}, now)
            ended = list(changes.ended)

        assert now == 1.0 + QUIET_SECONDS
        assert state.active == {}

    def test_who_starts_again_soon_yields_longer_but_never_too_long(self) -> None:
        state, now, lasted = State(), 0.0, []
        for _ in range(5):
            state, _ = step(state, {"hog": MUCH}, now)
            start = now
            while state.active:
                now += 1.0
                state, _ = step(state, {}, now)
            lasted.append(now - start)
            now += 1.0

        assert lasted == [5.0, 10.0, 12.0, 12.0, 12.0]
        assert lasted[-1] == LONGEST_QUIET_SECONDS

    def test_who_starts_again_much_later_is_as_good_as_new(self) -> None:
        state, _ = step(State(), {"hog": MUCH}, 0.0)
        for second in range(1, 90):
            state, _ = step(state, {}, float(second))
        _, changes = step(state, {"hog": MUCH}, 90.0)

        assert changes.begun[0].quiet_seconds == QUIET_SECONDS


def activity(tenant: str, used_ms: float, waiting_ms: float) -> Activity:
    return Activity(tenant, 100, used_ms, waiting_ms, 100, throttled=False)


class TestLifted:
    @pytest.fixture
    def yields(self) -> State:
        return step(State(), {"hog": MUCH}, 7.0)[0]

    def test_who_waits_while_somebody_yields(self, yields: State) -> None:
        seen = [activity("hog", 1900, 2100), activity("waits", 50, 30), activity("runs", 50, 0.1)]

        assert lifted({}, seen, yields, 7.0) == {"waits": 7.0}
        assert lifted({}, seen, State(), 7.0) == {}

    def test_who_hardly_waits_any_more_stays_so_while_it_works(self, yields: State) -> None:
        found = {"small": 7.0}
        for second in range(8, 60):
            found = lifted(found, [activity("small", 50, 0.1)], yields, float(second))

        assert found == {"small": 59.0}

    def test_not_for_long_once_it_sleeps(self, yields: State) -> None:
        assert lifted({"small": 7.0}, [], yields, 7.0 + LIFTED_SECONDS - 1) == {"small": 7.0}
        assert lifted({"small": 7.0}, [], yields, 7.0 + LIFTED_SECONDS) == {}

    def test_none_once_nobody_yields(self) -> None:
        assert lifted({"small": 7.0}, [activity("small", 50, 30)], State(), 8.0) == {}

    def test_who_is_found_over_its_share_is_lifted_no_more(self, yields: State) -> None:
        assert lifted({"hog": 6.0}, [activity("hog", 1900, 2100)], yields, 7.0) == {}

    def test_who_may_turn_out_to_be_over_its_share_is_not_lifted(self, yields: State) -> None:
        state, _ = step(yields, {"hog": MUCH, "other": LITTLE._replace(tenant="other")}, 8.0)

        assert lifted({}, [activity("other", 1000, 200)], state, 8.0) == {}


class Node:
    """Two CPUs that serve pods by their weights, as the kernel does over a second."""

    CAPACITY = 2000.0

    def __init__(self, demands: Mapping[str, Callable[[float], float]], pods_of: Mapping[str, int]) -> None:
        self.demands = demands
        self.pods = [
            PodWeight(f"{tenant}-{number}", tenant, 51, busy=True)
            for tenant, count in pods_of.items()
            for number in range(count)
        ]
        self.state = State()
        self.lifted: dict[str, float] = {}
        self.now = 0.0
        self.used: dict[str, list[float]] = {tenant: [] for tenant in demands}
        self.changes: list[tuple[float, str]] = []

    def second(self) -> None:
        yielding = dict.fromkeys(self.state.active, 100)
        given_ = weights(self.pods, yielding, self.lifted, SPARE_MILLI, version=1)
        weight = {
            tenant: sum(given_.get(pod.uid, pod.kubelets) for pod in self.pods if pod.tenant == tenant)
            for tenant in self.demands
        }
        wants = {tenant: demand(self.now) for tenant, demand in self.demands.items()}
        level = water_level(self.CAPACITY, {tenant: (wants[tenant], weight[tenant]) for tenant in wants})
        used = {
            tenant: min(wants[tenant], level * weight[tenant] if level < inf else wants[tenant])
            for tenant in wants
        }
        seen = tuple(
            Activity(tenant, 100, used[tenant], wants[tenant] - used[tenant], 100, throttled=False)
            for tenant in wants
        )
        self.now += 1.0
        over = over_share(Second(self.CAPACITY, self.CAPACITY - sum(used.values()), seen))
        self.state, changes = step(self.state, over, self.now)
        self.lifted = lifted(self.lifted, seen, self.state, self.now)
        self.changes += [(self.now, f"{each.tenant} begins") for each in changes.begun]
        self.changes += [(self.now, f"{each.tenant} ends") for each in changes.ended]
        for tenant, amount in used.items():
            self.used[tenant].append(amount)

    def run(self, seconds: int) -> None:
        for _ in range(seconds):
            self.second()


def on_off(period: float) -> Callable[[float], float]:
    return lambda now: 8000.0 if now % period < period / 2 else 0.0


class TestClosedLoop:
    def test_a_victim_gets_all_that_it_wants_from_the_second_second_on(self) -> None:
        node = Node({"hog": lambda _: 8000.0, "small": lambda _: 300.0}, {"hog": 10, "small": 1})
        node.run(60)

        assert node.used["small"][0] < 200
        assert node.used["small"][1:] == [300.0] * 59
        assert node.used["hog"][-1] == 1700
        assert node.changes == [(1.0, "hog begins")]

    def test_it_is_over_within_fifteen_seconds_after_the_noise(self) -> None:
        node = Node(
            {"hog": lambda now: 8000.0 if now < 20 else 5.0, "small": lambda _: 300.0}, {"hog": 1, "small": 1}
        )
        node.run(60)

        assert node.changes[0] == (1.0, "hog begins")
        assert node.changes[1:] == [(20.0 + QUIET_SECONDS, "hog ends")]

    @pytest.mark.parametrize("period", [5, 10, 20])
    def test_an_on_off_load_does_not_swing(self, period: int) -> None:
        """Once it is known, the victim feels nothing of it any more."""
        node = Node({"hog": on_off(period), "small": lambda _: 300.0}, {"hog": 10, "small": 1})
        node.run(300)

        assert all(used == 300 for used in node.used["small"][60:])
        assert len(node.changes) <= 5

    def test_a_slow_on_off_load_is_felt_for_a_second_each_time(self) -> None:
        node = Node({"hog": on_off(60), "small": lambda _: 300.0}, {"hog": 10, "small": 1})
        node.run(300)

        assert sum(used < 300 for used in node.used["small"]) <= 5

    def test_ten_pods_get_no_more_than_one(self) -> None:
        node = Node({"many": lambda _: 8000.0, "one": lambda _: 2000.0}, {"many": 10, "one": 1})
        node.run(30)

        assert node.used["many"][-1] == pytest.approx(1000, rel=0.05)
        assert node.used["one"][-1] == pytest.approx(1000, rel=0.05)

    def test_nobody_yields_on_a_node_with_cpu_to_spare(self) -> None:
        node = Node({"hog": lambda _: 1500.0, "small": lambda _: 100.0}, {"hog": 1, "small": 1})
        node.run(30)

        assert node.changes == []
