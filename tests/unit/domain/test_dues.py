"""Who has more than its due of a node's disks or memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.domain.dues import (
    OPERATION_BYTES,
    OVER_FACTOR,
    TAKES_BYTES,
    IoUse,
    MemoryUse,
    OverShare,
    alone,
    over_request,
    over_share,
)

MI = 2**20
GI = 2**30
DISK = "8:0"
STREAM = IoUse("hog", 100, DISK, 100 * MI, 200)
SMALL = IoUse("small", 100, DISK, 40 * 4096, 40)
BOTH_STALL = {"hog", "small"}


def over(*uses: IoUse, stalled: set[str] = BOTH_STALL, others_bytes: float = 0.0) -> list[OverShare]:
    """Of one disk."""
    total = others_bytes + sum(each.cost_bytes for each in uses)
    return over_share(uses, {DISK: total}, stalled)


def names(found: list[OverShare]) -> list[str]:
    return [each.tenant for each in found]


class TestOverShare:
    def test_who_does_most_while_the_other_stalls(self) -> None:
        (found,) = over(STREAM, SMALL)

        assert (found.tenant, found.device) == ("hog", DISK)
        assert found.share == pytest.approx(0.5)
        assert found.fraction == pytest.approx(0.986, abs=0.001)

    def test_small_operations_weigh_as_much_as_bytes(self) -> None:
        """A disk that does 3000 operations a second is as busy with small ones."""
        hog = IoUse("hog", 100, DISK, 2900 * 4096, 2900)

        assert names(over(hog, SMALL)) == ["hog"]

    def test_a_few_large_ones_aside_a_victims_many_are_no_crime(self) -> None:
        """Most operations are the victim's, and most of the disk's time isn't."""
        hog, victim = IoUse("hog", 100, DISK, 30 * MI, 30), IoUse("small", 100, DISK, 100 * 4096, 100)

        assert names(over(victim, hog)) == ["hog"]

    def test_a_hog_that_does_not_stall_itself(self) -> None:
        """It writes to the page cache, or has many requests under way."""
        assert names(over(STREAM, SMALL, stalled={"small"})) == ["hog"]

    def test_nobody_while_nobody_stalls(self) -> None:
        assert over(STREAM, SMALL, stalled=set()) == []

    def test_nobody_who_is_alone(self) -> None:
        assert over(STREAM) == []

    def test_nobody_of_two_that_do_as_much(self) -> None:
        other = STREAM._replace(tenant="small", size_bytes=80 * MI)

        assert over(STREAM, other) == []

    def test_a_tenant_is_measured_by_its_weight(self) -> None:
        seven = IoUse("hog", 300, DISK, 70 * MI, 100)
        three = IoUse("small", 100, DISK, 30 * MI, 40)
        assert over(seven, three) == []
        assert names(over(seven._replace(weight=100), three)) == ["hog"]

    def test_nobody_is_blamed_for_what_the_system_does(self) -> None:
        hog, victim = IoUse("hog", 100, DISK, 15 * MI, 0), IoUse("small", 100, DISK, 5 * MI, 0)

        assert over(hog, victim, others_bytes=80 * MI) == []

    def test_two_hogs_the_larger_first(self) -> None:
        a, b = IoUse("a", 100, DISK, 45 * MI, 0), IoUse("b", 100, DISK, 46 * MI, 0)
        victim = IoUse("small", 100, DISK, 9 * MI, 0)

        assert names(over(a, b, victim, stalled={"a", "b", "small"})) == ["b", "a"]

    def test_too_little_to_keep_anyone_from_a_disk(self) -> None:
        hog, victim = IoUse("hog", 100, DISK, TAKES_BYTES - 1, 0), IoUse("small", 100, DISK, 4096, 0)

        assert over(hog, victim) == []

    def test_tenants_that_hardly_do_any_make_nobodys_share_small(self) -> None:
        idlers = [IoUse(f"idle-{number}", 100, DISK, 4096, 1) for number in range(50)]
        a, b = IoUse("a", 100, DISK, 55 * MI, 0), IoUse("b", 100, DISK, 45 * MI, 0)

        assert over(a, b, *idlers, stalled={"a", "b"}) == []

    def test_each_disk_has_its_own_shares(self) -> None:
        """Each has one to itself."""
        own = SMALL._replace(device="8:16", size_bytes=2 * MI)
        costs = {DISK: STREAM.cost_bytes, "8:16": own.cost_bytes}

        assert over_share([STREAM, own], costs, BOTH_STALL) == []

    def test_nothing_done(self) -> None:
        assert over() == []
        assert over(IoUse("a", 100, DISK, 0.0, 0.0), stalled={"a"}) == []

    @given(
        st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 200 * MI), st.booleans()), max_size=6),
        st.floats(0, 200 * MI),
    )
    def test_whoever_is_over_does_more_than_an_equal_part_by_weight(
        self, tenants: list[tuple[int, float, bool]], others_bytes: float
    ) -> None:
        uses = [IoUse(str(n), weight, DISK, size, 0) for n, (weight, size, _) in enumerate(tenants)]
        stalled = {str(n) for n, (_, _, stalls) in enumerate(tenants) if stalls}
        weights = sum(each.weight for each in uses) + 100
        for found in over(*uses, stalled=stalled, others_bytes=others_bytes):
            weight = uses[int(found.tenant)].weight
            assert found.fraction > OVER_FACTOR * found.share * 0.999
            assert found.share >= weight / weights * 0.999


class TestAlone:
    def test_while_others_do_next_to_nothing(self) -> None:
        own = SMALL.cost_bytes

        assert alone([SMALL], {DISK: own + TAKES_BYTES - 1}) == {"small"}
        assert alone([SMALL], {DISK: own + TAKES_BYTES + 1}) == set()
        assert alone([STREAM], {DISK: STREAM.cost_bytes * 1.09}) == {"hog"}

    def test_on_every_disk_that_it_uses(self) -> None:
        second = SMALL._replace(device="8:16")
        costs = {DISK: SMALL.cost_bytes, "8:16": 100.0 * MI}

        assert alone([SMALL, second], costs) == set()

    def test_of_two_on_one_disk_the_one_that_hardly_feels_the_other(self) -> None:
        assert alone([STREAM, SMALL], {}) == {"hog"}


class TestOverRequest:
    def test_in_the_order_of_eviction(self) -> None:
        found = over_request(
            [
                MemoryUse("within", 100, 900 * MI, GI),
                MemoryUse("some", 100, 700 * MI, 256 * MI),
                MemoryUse("most", 100, 800 * MI, 0),
            ],
            2 * GI,
        )

        assert [each.tenant for each in found] == ["most", "some"]

    def test_of_two_alike_the_lighter_one_first(self) -> None:
        a, b = MemoryUse("a", 200, GI, 0), MemoryUse("b", 100, GI, 0)

        assert [each.tenant for each in over_request([a, b], 2 * GI)] == ["b", "a"]

    def test_a_little_over_would_help_nobody(self) -> None:
        assert over_request([MemoryUse("a", 100, 120 * MI, 100 * MI)], 2 * GI) == []

    def test_at_the_request_is_within_it(self) -> None:
        assert over_request([MemoryUse("a", 100, GI, GI)], 2 * GI) == []


def test_an_operation_costs_what_the_kernels_model_says_on_average() -> None:
    read, write = 488636629 / 8518 - 4096, 427891549 / 21940 - 4096

    assert (read + write) / 2 == pytest.approx(OPERATION_BYTES, rel=0.1)
