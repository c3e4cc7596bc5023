"""Whom others make stall for I/O or memory."""

from typing import Final

import pytest

from tenantquota.api.stalls import Resource
from tenantquota.domain.dues import OverRequest, OverShare
from tenantquota.domain.stalls import QUIET_SECONDS, Harm, QuietLevel, Stall, harms, learned, told

MI = 2**20
DISK: Final = frozenset({"8:0"})


KNOWN = QuietLevel(2000.0, QUIET_SECONDS)
"""2 ms for an operation."""
OVER = OverShare("hog", "8:0", 100.0 * MI, 200, 0.96, 0.5)


def small(stalled_ms: float, *, operations: float = 40, own: bool = False) -> Stall:
    return Stall("small", 1.0, stalled_ms, operations, own, DISK)


class TestIoHarm:
    def test_a_victim_stalls_longer_for_each_operation_than_when_all_is_quiet(self) -> None:
        (harm,) = harms(Resource.IO, [small(412.0)], [OVER], {"small": KNOWN})

        assert (harm.victim, harm.stalled_ms, harm.quiet_ms) == ("small", 412, 80)
        assert told(harm, OVER, "n1") == (
            "hog made small stall 412 ms/s for I/O, 5.2 times its quiet level of 80.0 ms/s, on n1, doing"
            " 100.0 MiB/s in 200 operations/s, 96% of disk 8:0's I/O with a share of 50%"
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
        over = [OVER, OverShare("small", "8:0", 90.0 * MI, 100, 0.6, 0.5)]

        assert harms(Resource.IO, [small(900)], over, {"small": KNOWN}) == []

    def test_who_is_busy_on_another_disk_is_in_nobodys_way(self) -> None:
        elsewhere = OVER._replace(device="8:16")
        assert harms(Resource.IO, [small(900)], [elsewhere], {"small": KNOWN}) == []

        (harm,) = harms(Resource.IO, [small(900)], [elsewhere, OVER], {"small": KNOWN})
        assert harm.culprits == (OVER,)

    def test_a_culprit_on_two_disks_is_one(self) -> None:
        stall = small(900)._replace(devices=frozenset({"8:0", "8:16"}))
        second = OVER._replace(device="8:16")

        (harm,) = harms(Resource.IO, [stall], [OVER, second], {"small": KNOWN})
        assert harm.culprits == (OVER,)

    def test_every_culprit_is_told_with_its_own_figures(self) -> None:
        second = OverShare("b", "8:0", 50.0 * MI, 100, 0.4, 0.3)
        (harm,) = harms(Resource.IO, [small(412.0)], [OVER, second], {"small": KNOWN})

        assert told(harm, second, "n1").startswith("b (and 1 more) made small stall")
        assert told(harm, second, "n1").endswith("40% of disk 8:0's I/O with a share of 30%")


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


def test_a_harm_says_how_many_times() -> None:
    assert Harm(Resource.IO, "a", 100.0, 20.0, ()).factor == 5
    assert Harm(Resource.MEMORY, "a", 100.0, 0.0, ()).factor == 100
