import pytest

from tenantquota.domain.contention import (
    QUIET_LOOKS,
    Activity,
    Over,
    QuietLevel,
    Second,
    harms,
    learned,
    over_share,
    told,
)


def busy(tenant: str, used_ms: float, waiting_ms: float = 0.0, *, weight: int = 100) -> Activity:
    return Activity(tenant, weight, used_ms, waiting_ms, dispatches=100, throttled=False)


def full(*tenants: Activity, others_ms: float = 0.0) -> Second:
    """Two CPUs, nothing idle."""
    return Second(2000, 0, tenants, others_ms)


class TestOverShare:
    def test_who_wants_more_than_its_half_while_the_other_wants_some(self) -> None:
        over = over_share(full(busy("hog", 1900, 2000), busy("small", 100, 30)))

        assert over == {"hog": Over("hog", 1900, 3900, 1870)}

    def test_nobody_on_a_node_that_is_not_full(self) -> None:
        second = Second(2000, 300, (busy("hog", 1600, 3000), busy("small", 100)))

        assert over_share(second) == {}

    def test_nobody_who_is_alone(self) -> None:
        assert over_share(full(busy("hog", 1995, 8000), busy("asleep", 1))) == {}

    def test_both_of_two_that_want_everything(self) -> None:
        assert over_share(full(busy("a", 1500, 1500), busy("b", 500, 800))).keys() == {"a", "b"}

    def test_a_tenant_is_measured_by_its_weight(self) -> None:
        """Three quarters of two CPUs are its due."""
        over = over_share(full(busy("a", 1400, 100, weight=300), busy("b", 500, 1500)))

        assert over.keys() == {"b"}
        assert over["b"].share_ms == pytest.approx(500)

    def test_what_its_pods_request_is_a_tenants_due_whatever_others_want(self) -> None:
        others = [busy(f"t{number}", 90, 900) for number in range(18)]
        runaway = busy("runaway", 195, 1000)
        assert over_share(full(runaway, *others))["runaway"].takes

        over = over_share(full(runaway._replace(requested_ms=199), *others))["runaway"]

        assert over.share_ms == 199
        assert not over.takes

    def test_who_uses_more_than_its_pods_request_takes_what_is_beyond(self) -> None:
        over = over_share(full(busy("hog", 1500, 3000)._replace(requested_ms=1400), busy("b", 400, 1000)))

        assert over["hog"].takes
        assert over["hog"].surplus_ms == 100

    def test_what_the_system_uses_is_nobodys_share(self) -> None:
        over = over_share(full(busy("a", 700, 700), busy("b", 300, 10), others_ms=1000))

        assert over.keys() == {"a"}
        assert over["a"].share_ms == pytest.approx(690)

    def test_a_tenant_at_its_own_quota_is_not_blamed_for_what_the_system_takes(self) -> None:
        held = Activity("a", 100, 200, 0, 100, throttled=True)

        assert over_share(full(held, busy("b", 60, 40), others_ms=1740)) == {}

    def test_what_the_system_takes_beyond_half_of_the_node_makes_nobodys_share_smaller(self) -> None:
        """Two tenants of three have less than their due of 333, because of what is no tenant's."""
        over = over_share(
            full(busy("hog", 300, 3700), busy("idler", 100, 900), busy("victim", 120, 670), others_ms=1480)
        )

        assert {tenant for tenant, each in over.items() if each.takes} == {"hog"}
        assert over["victim"].share_ms == pytest.approx(1000 / 3)

    def test_a_tenant_at_its_own_quota_wants_no_more(self) -> None:
        """The waits of a throttled container are left out, and it is over its share by use alone."""
        at_quota = Activity("a", 100, 900, 0, 0, throttled=True)

        assert over_share(full(at_quota, busy("b", 1000, 3000))).keys() == {"b"}

    def test_the_system_is_somebody_to_make_room_for(self) -> None:
        assert over_share(full(busy("hog", 1500, 3000), others_ms=500)).keys() == {"hog"}

    def test_a_little_over_is_within_what_figures_scatter_by(self) -> None:
        assert over_share(full(busy("a", 1020, 40), busy("b", 980, 20))) == {}


KNOWN = QuietLevel(10.0, QUIET_LOOKS)
HOG = {"hog": Over("hog", 1900, 3900, 1000)}


def victim(wait_us: float, *, dispatches: float = 1000, throttled: bool = False) -> Activity:
    return Activity("small", 100, 50, wait_us * dispatches / 1000, dispatches, throttled)


class TestHarm:
    def test_a_victim_waits_some_times_as_long_as_when_all_is_quiet(self) -> None:
        (harm,) = harms([victim(30)], HOG, {"small": KNOWN})

        assert (harm.victim, harm.wait_us, harm.quiet_us) == ("small", 30, 10)
        assert harm.factor == 3
        assert told(harm, "hog", "n1") == (
            "hog made small wait 30 µs a dispatch, 3.0 times its quiet level of 10 µs, on n1, wanting 3900"
            " ms/s and using 1900 of its share of 1000 ms/s"
        )

    @pytest.mark.parametrize(
        ("activity", "why"),
        [
            (victim(19), "not twice its quiet level"),
            (victim(30, dispatches=100), "it costs 2 ms a second"),
            (victim(30, throttled=True), "its own quota throttled it"),
            (victim(30_000, dispatches=4), "too few to make a mean"),
        ],
    )
    def test_what_is_no_harm(self, activity: Activity, why: str) -> None:
        assert harms([activity], HOG, {"small": KNOWN}) == [], why

    def test_without_a_quiet_level_none_can_be_shown(self) -> None:
        assert harms([victim(500)], HOG, {"small": QuietLevel(10.0, QUIET_LOOKS - 1)}) == []
        assert harms([victim(500)], HOG, {}) == []

    def test_nobody_is_blamed_when_nobody_is_over_its_share(self) -> None:
        assert harms([victim(500)], {}, {"small": KNOWN}) == []

    def test_a_busy_victim_is_not_blamed_for_its_own_load(self) -> None:
        """It waits because it is over its own share."""
        over = HOG | {"small": Over("small", 900, 3000, 1000)}

        assert harms([victim(500)], over, {"small": KNOWN}) == []

    def test_a_victim_may_seem_to_want_more_than_its_share(self) -> None:
        """Its one thread waits all the time."""
        over = HOG | {"small": Over("small", 50, 1050, 1000)}

        assert [each.victim for each in harms([victim(500)], over, {"small": KNOWN})] == ["small"]

    def test_the_one_most_over_its_share_is_named_first(self) -> None:
        over = {"a": Over("a", 900, 1100, 500), "b": Over("b", 900, 2000, 500)}
        (harm,) = harms([victim(30)], over, {"small": KNOWN})

        assert [each.tenant for each in harm.culprits] == ["b", "a"]
        assert "b (and 1 more) made small wait" in told(harm, "b", "n1")
        assert told(harm, "a", "n1").startswith("a (and 1 more) made small wait")


class TestQuietLevel:
    def test_follows_quiet_seconds_only(self) -> None:
        level = QuietLevel()
        for _ in range(QUIET_LOOKS):
            level = learned(level, victim(8), full=False)
            level = learned(level, victim(800), full=True)
            level = learned(level, victim(800, throttled=True), full=False)

        assert level == QuietLevel(pytest.approx(8), QUIET_LOOKS)
        assert level.known

    def test_forgets_slowly(self) -> None:
        level = QuietLevel(10.0, 1000)
        for _ in range(30):
            level = learned(level, victim(20), full=False)

        assert 19 < level.wait_us < 20
