"""Who stalls for I/O or memory, and who is to blame, if anybody is."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.api.stalls import Resource
from tenantquota.domain.stalls import (
    HARM_MS,
    OPERATION_BYTES,
    QUIET_SECONDS,
    TAKES_BYTES,
    Harm,
    IoUse,
    MemoryUse,
    OverRequest,
    OverShare,
    QuietLevel,
    Stall,
    harms,
    is_alone,
    learned,
    over_request,
    over_share,
    told,
)

MI = 2**20
GI = 2**30
STREAM = IoUse("hog", 100, 100 * MI, 200)
SMALL = IoUse("small", 100, 40 * 4096, 40)
BOTH_STALL = {"hog": 900.0, "small": 700.0}


class TestOverShare:
    def test_who_does_most_while_the_other_stalls(self) -> None:
        (over,) = over_share([STREAM, SMALL], 0.0, BOTH_STALL)

        assert over.tenant == "hog"
        assert over.share == pytest.approx(0.5)
        assert over.fraction == pytest.approx(0.986, abs=0.001)

    def test_small_operations_weigh_as_much_as_bytes(self) -> None:
        """A disk that does 3000 operations a second is as busy with small ones."""
        hog = IoUse("hog", 100, 2900 * 4096, 2900)

        assert [each.tenant for each in over_share([hog, SMALL], 0.0, BOTH_STALL)] == ["hog"]

    def test_a_few_large_ones_aside_a_victims_many_are_no_crime(self) -> None:
        """Most operations are the victim's, and most of the disk's time isn't."""
        hog, victim = IoUse("hog", 100, 30 * MI, 30), IoUse("small", 100, 100 * 4096, 100)

        assert [each.tenant for each in over_share([victim, hog], 0.0, BOTH_STALL)] == ["hog"]

    def test_a_hog_that_does_not_stall_itself(self) -> None:
        """It writes to the page cache, or has many requests under way."""
        assert [each.tenant for each in over_share([STREAM, SMALL], 0.0, {"small": 700.0})] == ["hog"]

    def test_nobody_while_nobody_stalls(self) -> None:
        assert over_share([STREAM, SMALL], 0.0, {}) == []
        assert over_share([STREAM, SMALL], 0.0, {"small": HARM_MS - 1}) == []

    def test_nobody_who_is_alone(self) -> None:
        assert over_share([STREAM], 0.0, {"hog": 900.0}) == []

    def test_nobody_of_two_that_do_as_much(self) -> None:
        other = STREAM._replace(tenant="small", size_bytes=80 * MI)

        assert over_share([STREAM, other], 0.0, BOTH_STALL) == []

    def test_a_tenant_is_measured_by_its_weight(self) -> None:
        seven, three = IoUse("hog", 300, 70 * MI, 100), IoUse("small", 100, 30 * MI, 40)
        assert over_share([seven, three], 0.0, BOTH_STALL) == []

        (over,) = over_share([seven._replace(weight=100), three], 0.0, BOTH_STALL)
        assert over.tenant == "hog"

    def test_nobody_is_blamed_for_what_the_system_does(self) -> None:
        hog, victim = IoUse("hog", 100, 15 * MI, 0), IoUse("small", 100, 5 * MI, 0)

        assert over_share([hog, victim], 80 * MI, BOTH_STALL) == []

    def test_two_hogs_the_larger_first(self) -> None:
        a, b = IoUse("a", 100, 45 * MI, 0), IoUse("b", 100, 46 * MI, 0)
        victim = IoUse("small", 100, 9 * MI, 0)
        over = over_share([a, b, victim], 0.0, {"a": 900.0, "b": 900.0, "small": 900.0})

        assert [each.tenant for each in over] == ["b", "a"]

    def test_too_little_to_keep_anyone_from_a_disk(self) -> None:
        hog, victim = IoUse("hog", 100, TAKES_BYTES - 1, 0), IoUse("small", 100, 4096, 0)

        assert over_share([hog, victim], 0.0, BOTH_STALL) == []

    def test_tenants_that_hardly_do_any_make_nobodys_share_small(self) -> None:
        idlers = [IoUse(f"idle-{number}", 100, 4096, 1) for number in range(50)]
        a, b = IoUse("a", 100, 55 * MI, 0), IoUse("b", 100, 45 * MI, 0)

        assert over_share([a, b, *idlers], 0.0, {"a": 900.0, "b": 900.0}) == []

    def test_nothing_done(self) -> None:
        assert over_share([], 0.0, {}) == []
        assert over_share([IoUse("a", 100, 0.0, 0.0)], 0.0, {"a": 1000.0}) == []

    uses = st.lists(
        st.tuples(st.integers(1, 10_000), st.floats(0, 2**34), st.floats(0, 10**6), st.floats(0, 1000)),
        min_size=1,
        max_size=8,
    )

    @given(uses, st.floats(0, 2**34))
    def test_who_is_blamed_has_more_than_its_weight_says_of_those_that_stall(
        self, drawn: list[tuple[int, float, float, float]], others_bytes: float
    ) -> None:
        all_ = [IoUse(str(number), each[0], *each[1:3]) for number, each in enumerate(drawn)]
        stalled = {str(number): each[3] for number, each in enumerate(drawn)}
        for over in over_share(all_, others_bytes, stalled):
            use = all_[int(over.tenant)]
            waiting = sum(each.weight for each in all_ if stalled[each.tenant] >= HARM_MS or each is use)
            everybody = sum(each.weight for each in all_) + 100
            assert use.weight / everybody * 0.999 <= over.share <= use.weight / waiting * 1.001
            assert over.fraction > over.share
        blamed = [each.tenant for each in over_share(all_, others_bytes, stalled)]
        assert len(blamed) < len(all_) or others_bytes > 0


KNOWN = QuietLevel(2000.0, QUIET_SECONDS)
"""2 ms for an operation."""
OVER = OverShare("hog", 100.0 * MI, 200, 0.96, 0.5)


def small(stalled_ms: float, *, operations: float = 40, own: bool = False) -> Stall:
    return Stall("small", 1.0, stalled_ms, operations, own)


class TestIoHarm:
    def test_a_victim_stalls_longer_for_each_operation_than_when_all_is_quiet(self) -> None:
        (harm,) = harms(Resource.IO, [small(412.0)], [OVER], {"small": KNOWN})

        assert (harm.victim, harm.stalled_ms, harm.quiet_ms) == ("small", 412, 80)
        assert told(harm, OVER, "n1") == (
            "hog made small stall 412 ms/s for I/O, 5.2 times its quiet level of 80.0 ms/s, on n1, doing"
            " 100.0 MiB/s in 200 operations/s, 96% of all with a share of 50%"
        )

    @pytest.mark.parametrize(
        ("stall", "why"),
        [
            (small(159), "not twice what so many operations take"),
            (small(800, operations=400), "it does ten times as much itself"),
            (small(15, operations=2), "it costs 11 ms a second"),
            (small(412, own=True), "its own limit"),
        ],
    )
    def test_what_is_no_harm(self, stall: Stall, why: str) -> None:
        assert harms(Resource.IO, [stall], [OVER], {"small": KNOWN}) == [], why

    def test_a_victim_that_gets_nothing_at_all(self) -> None:
        (harm,) = harms(Resource.IO, [small(1000, operations=0)], [OVER], {"small": KNOWN})

        assert harm.factor == 500

    def test_without_a_quiet_level_none_can_be_shown(self) -> None:
        unknown = QuietLevel(2000.0, QUIET_SECONDS - 1)

        assert harms(Resource.IO, [small(900)], [OVER], {"small": unknown}) == []
        assert harms(Resource.IO, [small(900)], [OVER], {}) == []

    def test_nobody_is_blamed_when_nobody_has_more_than_its_due(self) -> None:
        assert harms(Resource.IO, [small(900)], [], {"small": KNOWN}) == []

    def test_a_busy_victim_is_none(self) -> None:
        """It stalls because of what it does itself."""
        over = [OVER, OverShare("small", 90.0 * MI, 100, 0.6, 0.5)]

        assert harms(Resource.IO, [small(900)], over, {"small": KNOWN}) == []

    def test_every_culprit_is_told_with_its_own_figures(self) -> None:
        second = OverShare("b", 50.0 * MI, 100, 0.4, 0.3)
        (harm,) = harms(Resource.IO, [small(412.0)], [OVER, second], {"small": KNOWN})

        assert told(harm, second, "n1").startswith("b (and 1 more) made small stall")
        assert told(harm, second, "n1").endswith("40% of all with a share of 30%")


class TestMemoryHarm:
    QUIET: Final = {"small": QuietLevel(0.0, 30.0)}
    OVER = OverRequest("hog", 900 * MI, 256 * MI)

    def test_of_a_tenant_that_never_stalled(self) -> None:
        (harm,) = harms(Resource.MEMORY, [Stall("small", 1.0, 30.0, 1.0)], [self.OVER], self.QUIET)

        assert told(harm, self.OVER, "n1") == (
            "hog made small stall 30 ms/s for memory, 30.0 times its quiet level of 0.0 ms/s, on n1, holding"
            " 900 MiB with 256 MiB requested, on a node that reclaims memory"
        )

    def test_its_own_limit_is_its_own_doing(self) -> None:
        stall = Stall("small", 1.0, 900.0, 1.0, own=True)

        assert harms(Resource.MEMORY, [stall], [self.OVER], self.QUIET) == []

    def test_who_is_over_its_request_is_no_victim(self) -> None:
        stall = Stall("hog", 1.0, 900.0, 1.0)

        assert harms(Resource.MEMORY, [stall], [self.OVER], {"hog": QuietLevel(0.0, 30.0)}) == []


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


class TestQuietLevel:
    def test_is_of_an_operation(self) -> None:
        level = QuietLevel()
        for _ in range(int(QUIET_SECONDS)):
            level = learned(level, Stall("small", 1.0, 80.0, 40.0))

        assert level == QuietLevel(pytest.approx(2000), QUIET_SECONDS)
        assert level.known
        assert level.stalled_ms(10) == pytest.approx(20)

    def test_a_long_look_is_worth_its_time(self) -> None:
        level = learned(QuietLevel(), Stall("small", 30.0, 4.0, 2.0))

        assert level.known
        assert level.per_work_us == pytest.approx(2000)

    def test_nothing_is_learned_of_who_does_nothing(self) -> None:
        assert learned(QuietLevel(), Stall("small", 30.0, 0.0, 0.0)) == QuietLevel()

    def test_nothing_is_learned_from_its_own_limit(self) -> None:
        assert learned(QuietLevel(), Stall("small", 30.0, 900.0, 1.0, own=True)) == QuietLevel()

    def test_forgets_slowly(self) -> None:
        level = QuietLevel(1000.0, 1000.0)
        for _ in range(30):
            level = learned(level, Stall("small", 1.0, 80.0, 40.0))

        assert 1900 < level.per_work_us < 2000

    def test_is_measured_while_others_do_next_to_nothing(self) -> None:
        own = SMALL.cost_bytes

        assert is_alone(SMALL, own + TAKES_BYTES - 1)
        assert not is_alone(SMALL, own + TAKES_BYTES + 1)
        assert is_alone(STREAM, STREAM.cost_bytes * 1.09)


def test_an_operation_costs_what_the_kernels_model_says_on_average() -> None:
    read, write = 488636629 / 8518 - 4096, 427891549 / 21940 - 4096

    assert (read + write) / 2 == pytest.approx(OPERATION_BYTES, rel=0.1)


def test_a_harm_says_how_many_times() -> None:
    assert Harm(Resource.IO, "a", 100.0, 20.0, ()).factor == 5
    assert Harm(Resource.MEMORY, "a", 100.0, 0.0, ()).factor == 100
