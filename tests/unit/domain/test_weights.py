"""The weights that are written: who yields, who is lifted, and that lifting stays within its bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.domain.weights import (
    LIFT,
    USE_FACTOR,
    V1_EXACT,
    V1_LEAST,
    PodWeight,
    kubelet_weight,
    request_milli,
    spare_milli,
    weights,
)

MUCH = 100_000
"""Millicores to spare: the bound is none."""
HOG = {"hog": 100}
SMALL = {"small"}


class TestKubeletWeight:
    @pytest.mark.parametrize(
        ("milli", "v1", "v2"),
        [(0, 2, 1), (1, 2, 1), (50, 51, 2), (100, 102, 4), (250, 256, 10), (500, 512, 20), (1000, 1024, 39)],
    )
    def test_as_the_kubelet_computes_it(self, milli: int, v1: int, v2: int) -> None:
        assert kubelet_weight(milli, version=1) == v1
        assert kubelet_weight(milli, version=2) == v2

    @pytest.mark.parametrize(
        ("version", "weight", "milli"), [(1, 200, 196), (1, 1024, 1000), (2, 39, 976), (2, 40, 1001)]
    )
    def test_what_it_takes_a_weight_for(self, version: int, weight: int, milli: int) -> None:
        assert request_milli(weight, version=version) == milli

    @given(st.integers(1, 2), st.integers(2, 200_000))
    def test_is_never_taken_for_more_than_was_asked(self, version: int, milli: int) -> None:
        weight = kubelet_weight(milli, version=version)

        assert request_milli(weight, version=version) <= max(milli, 2)


def pods(tenant: str, count: int, kubelets: int = 51, *, busy: bool = True) -> list[PodWeight]:
    return [PodWeight(f"{tenant}-{number}", tenant, kubelets, busy) for number in range(count)]


class TestRoom:
    """With more room than is needed."""

    def test_while_nobody_yields_all_is_the_kubelets(self) -> None:
        assert weights(pods("a", 3), {}, {"a"}, MUCH, version=1) == {}

    def test_who_does_not_wait_keeps_the_kubelets(self) -> None:
        found = weights([*pods("hog", 1), *pods("small", 2)], {"hog": 100}, (), MUCH, version=1)

        assert found == {"hog-0": V1_LEAST}

    @pytest.mark.parametrize("version", [1, 2])
    def test_who_waits_gets_twenty_times_as_much(self, version: int) -> None:
        found = weights(
            [*pods("hog", 1, 5), *pods("small", 2, 5)], {"hog": 100}, {"small"}, MUCH, version=version
        )

        assert found["small-0"] == found["small-1"] == LIFT * found["hog-0"]

    def test_who_has_so_much_by_the_kubelet_is_left_alone(self) -> None:
        found = weights([*pods("hog", 1, 10), *pods("big", 1, 51)], {"hog": 100}, {"big"}, MUCH, version=1)

        assert found == {"hog-0": V1_LEAST}

    def test_who_sleeps_is_left_alone(self) -> None:
        asleep = PodWeight("small-0", "small", 5, busy=False, awake=False)
        found = weights([*pods("hog", 1), asleep], {"hog": 100}, {"small"}, MUCH, version=1)

        assert found == {"hog-0": V1_LEAST}

    @pytest.mark.parametrize("version", [1, 2])
    def test_many_pods_that_yield_count_together(self, version: int) -> None:
        found = weights([*pods("hog", 30), *pods("small", 1)], {"hog": 100}, {"small"}, MUCH, version=version)

        assert found["small-0"] == LIFT * sum(found[f"hog-{number}"] for number in range(30))

    @pytest.mark.parametrize("version", [1, 2])
    @pytest.mark.parametrize(("weight", "ratio"), [(100, 1.0), (300, 3.0)])
    @pytest.mark.parametrize("request_", [5, 50])
    def test_shares_belong_to_tenants_not_to_pods(
        self, version: int, weight: int, ratio: float, request_: int
    ) -> None:
        kubelets = kubelet_weight(request_, version=version)
        all_pods = [*pods("many", 10, kubelets), *pods("one", 1, kubelets)]
        found = weights(all_pods, {"many": 100, "one": weight}, (), MUCH, version=version)

        many = sum(found[f"many-{number}"] for number in range(10))
        assert found["one-0"] / many == pytest.approx(ratio, rel=0.1)
        assert version == 2 or min(found.values()) >= V1_EXACT

    def test_only_busy_pods_share(self) -> None:
        all_pods = [*pods("many", 1), *pods("one", 1)]
        idle = [PodWeight(f"many-{n}", "many", 51, busy=False) for n in range(1, 10)]
        found = weights([*all_pods, *idle], {"many": 100, "one": 100}, (), MUCH, version=1)

        assert found["many-0"] == found["one-0"] == V1_LEAST


class TestUse:
    """Beyond what frees them of those that yield, pods are lifted by what they use."""

    HOG = PodWeight("hog-0", "hog", 51, busy=True)

    @staticmethod
    def using(milli: int, number: int = 0, kubelets: int = 5) -> PodWeight:
        return PodWeight(f"small-{number}", "small", kubelets, busy=True, used_milli=milli)

    def lifted(self, *small: PodWeight, spare: int = MUCH) -> list[int]:
        found = weights([self.HOG, *small], {"hog": 100}, {"small"}, spare, version=1)
        return [found.get(pod.uid, pod.kubelets) for pod in small]

    def test_as_if_they_requested_twice_as_much(self) -> None:
        assert self.lifted(self.using(256), self.using(1, 1)) == [
            kubelet_weight(USE_FACTOR * 256, version=1),
            LIFT * V1_LEAST,
        ]

    def test_nobody_who_has_more_by_the_kubelet(self) -> None:
        assert self.lifted(self.using(64, kubelets=512)) == [512]

    def test_to_one_level_where_there_is_not_room_for_all(self) -> None:
        little, much, more = self.lifted(self.using(32), self.using(256, 1), self.using(1024, 2), spare=600)
        assert little == kubelet_weight(USE_FACTOR * 32, version=1)
        assert LIFT * V1_LEAST < much == more < kubelet_weight(USE_FACTOR * 256, version=1)

    def test_not_at_the_cost_of_what_frees_others(self) -> None:
        free = self.lifted(*(self.using(512, number) for number in range(10)), spare=10 * 36)
        assert min(free) >= LIFT * V1_LEAST

    @given(
        st.lists(st.tuples(st.integers(0, 2000), st.integers(2, 600)), min_size=1, max_size=8),
        st.integers(0, 3000),
        st.integers(1, 2),
    )
    def test_never_beyond_the_room(self, of: list[tuple[int, int]], spare: int, version: int) -> None:
        """Where two that yield share as one to ten, the larger may have more than the kubelet gave it."""
        small = [self.using(milli, number, kubelets) for number, (milli, kubelets) in enumerate(of)]
        hogs = [PodWeight(f"hog-{tenant}", tenant, 5, busy=True) for tenant in ("one", "ten")]
        found = weights([*hogs, *small], {"one": 100, "ten": 1000}, {"small"}, spare, version=version)
        cost = sum(
            max(0, request_milli(found[each.uid], version=version) - before)
            for each in (*hogs, *small)
            if each.uid in found
            for before in (request_milli(each.kubelets, version=version),)
        )
        assert cost <= spare
        assert all(found[each.uid] > each.kubelets for each in small if each.uid in found)


class TestBound:
    def test_half_of_what_nobody_requests(self) -> None:
        assert spare_milli(2000, 1000, 0) == 500
        assert spare_milli(2000, 2100, 0) == 0

    def test_less_what_the_kubelet_still_shows(self) -> None:
        assert spare_milli(2000, 1000, 400) == 100
        assert spare_milli(2000, 1000, 600) == 0

    def test_who_is_shown_lifted_may_stay_so_on_a_node_that_is_full(self) -> None:
        shown = [each._replace(shown_milli=35) for each in pods("small", 2, 5)]
        found = weights([*pods("hog", 1), *shown], HOG, SMALL, 0, version=1)

        assert found == {"hog-0": V1_LEAST, "small-0": LIFT * V1_LEAST, "small-1": LIFT * V1_LEAST}

    @given(st.lists(st.integers(0, 300), min_size=1, max_size=10), st.integers(0, 500))
    def test_no_more_is_shown_than_there_is_room_for(self, shown: list[int], spare: int) -> None:
        """``spare`` beyond what is shown already, whatever pod it is of."""
        waiting = [
            PodWeight(f"small-{number}", "small", 5, busy=True, used_milli=200, shown_milli=milli)
            for number, milli in enumerate(shown)
        ]
        found = weights([*pods("hog", 1), *waiting], HOG, SMALL, spare, version=1)

        after = sum(
            max(each.shown_milli, request_milli(found.get(each.uid, 5), version=1) - 5) for each in waiting
        )
        assert after <= sum(shown) + spare

    def test_who_yields_does_so_on_a_node_that_is_full(self) -> None:
        found = weights([*pods("hog", 2), *pods("small", 2, 5)], {"hog": 100}, {"small"}, 0, version=1)

        assert found == {"hog-0": V1_LEAST, "hog-1": V1_LEAST}

    def test_all_are_lifted_alike_as_far_as_there_is_room(self) -> None:
        found = weights([*pods("hog", 1), *pods("small", 20, 5)], {"hog": 100}, {"small"}, 300, version=1)

        lifted = {found[f"small-{number}"] for number in range(20)}
        assert len(lifted) == 1
        assert 15 <= lifted.pop() < LIFT * V1_LEAST

    def test_lifting_comes_before_sharing_exactly(self) -> None:
        all_pods = [*pods("many", 10, 5), *pods("one", 1, 5), *pods("small", 2, 5)]
        found = weights(all_pods, {"many": 100, "one": 100}, {"small"}, 450, version=1)

        assert (found["many-0"], found["one-0"]) == (V1_LEAST, 10 * V1_LEAST)
        assert 200 < found["small-0"] == found["small-1"] < LIFT * (10 * V1_LEAST + 10 * V1_LEAST)

    @given(
        st.integers(1, 2),
        st.lists(
            st.tuples(st.integers(1, 30), st.integers(0, 4000), st.integers(0, 10_000), st.booleans()),
            min_size=1,
            max_size=5,
        ),
        st.integers(0, 3000),
    )
    def test_holds_whatever_there_is(
        self, version: int, of: list[tuple[int, int, int, bool]], spare: int
    ) -> None:
        tenants = {f"t{number}": each for number, each in enumerate(of)}
        all_pods = [
            pod
            for tenant, (count, milli, _, busy) in tenants.items()
            for pod in pods(tenant, count, kubelet_weight(milli, version=version), busy=busy)
        ]
        yielding = {tenant: weight for tenant, (_, _, weight, _) in tenants.items() if weight}
        found = weights(all_pods, yielding, tenants.keys() - yielding.keys(), spare, version=version)

        least, most = (2, 262_144) if version == 1 else (1, 10_000)
        assert all(least <= weight <= most for weight in found.values())
        taken = sum(
            max(
                0,
                request_milli(found[pod.uid], version=version) - request_milli(pod.kubelets, version=version),
            )
            for pod in all_pods
            if pod.uid in found
        )
        assert taken <= spare
