from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.domain.cpu_budget import (
    AIM,
    FIRST_PATIENCE_SECONDS,
    GIVE_BACK_SECONDS,
    GRAIN_MILLI,
    HOLD_SECONDS,
    LONGEST_PATIENCE_SECONDS,
    MOST_HELD,
    PROBATION_SECONDS,
    STEP_SECONDS,
    Clock,
    Consumer,
    Key,
    Standing,
    decide,
)
from tenantquota.domain.shares import common_level
from tests.unit.domain.loads import Simulation, on_off, steady

LONG_AGO = Clock(fits_seconds=1000, changed_seconds=1000)


def consumer(
    name: str, used: int | None, *, normal: int = 500, floor: int = 60, **fields: object
) -> Consumer:
    return Consumer((name, "agent"), normal, floor, used, **fields)  # type: ignore[arg-type]


def caps(**by_pod: int) -> dict[Key, int]:
    return {(name, "agent"): cap for name, cap in by_pod.items()}


class TestSizingDown:
    def test_the_largest_are_cut_to_a_common_level_and_the_light_keep_their_limits(self) -> None:
        users = [consumer("a", 500), consumer("b", 400), consumer("c", 100), consumer("d", 0)]
        verdict = decide(800, users, None)
        assert verdict.over
        assert verdict.caps == caps(a=330, b=330)  # 330 + 330 + 100 is 95 % of 800
        assert verdict.standing is not None
        assert verdict.standing.evidence == (
            "1 used by 3 containers, of a budget of 800m (mean over 10 s; most by a/agent 500m, b/agent 400m,"
            " c/agent 100m)"
        )

    def test_exactly_the_budget_is_within_it(self) -> None:
        verdict = decide(800, [consumer("a", 400), consumer("b", 400)], None)
        assert (verdict.over, verdict.standing) == (False, None)

    def test_what_is_used_above_the_quotas_limit_is_not_the_budgets_matter(self) -> None:
        """Another limit is on its way; the quota sees to it."""
        assert not decide(800, [consumer("a", 4000), consumer("b", 200)], None).over

    def test_nobody_goes_below_the_floor(self) -> None:
        users = [consumer("a", 400, floor=300), consumer("b", 400)]
        assert decide(410, users, None).caps == caps(a=300, b=80)
        assert decide(100, users, None).caps == caps(a=300, b=60)

    def test_what_can_not_be_capped_is_counted(self) -> None:
        users = [consumer("static", 500, floor=500), consumer("b", 400)]
        assert decide(800, users, None).caps == caps(b=260)

    def test_over_with_nobody_to_cap_is_no_hold(self) -> None:
        verdict = decide(100, [consumer("static", 500, floor=500)], None)
        assert (verdict.over, verdict.standing) == (True, None)

    def test_unknown_usage_caps_nobody(self) -> None:
        verdict = decide(100, [consumer("a", None, backed=False)], None)
        assert (verdict.known, verdict.over, verdict.fits) == (False, False, False)

    def test_a_report_from_before_the_cap_sizes_nobody_down_again(self) -> None:
        users = [consumer("a", 500), consumer("b", 500)]
        first = decide(500, users, None)
        again = decide(500, [replace(c, changed_seconds=1) for c in users], first.standing)
        assert again.standing == first.standing
        assert not again.over

    def test_one_that_changed_lately_waits(self) -> None:
        users = [consumer("a", 500, changed_seconds=STEP_SECONDS - 1), consumer("b", 500)]
        verdict = decide(500, users, None)
        assert verdict.caps == caps(b=230)
        assert verdict.again_seconds == 1

    def test_where_all_changed_lately_it_is_looked_at_again_in_time(self) -> None:
        users = [consumer("a", 500, changed_seconds=2), consumer("b", 500, changed_seconds=1)]
        verdict = decide(500, users, None)
        assert (verdict.standing, verdict.again_seconds) == (None, 3)

    def test_a_newcomer_shares_the_level(self) -> None:
        held = Standing(caps(a=230, b=230))
        users = [consumer("a", 230), consumer("b", 230), consumer("c", 500)]
        assert decide(500, users, held, LONG_AGO).caps == caps(a=150, b=150, c=150)

    def test_a_hold_has_room_for_so_many_and_takes_the_largest(self) -> None:
        users = [consumer(f"p{number}", 100 + number % 2) for number in range(2 * MOST_HELD)]
        held = decide(1000, users, None).caps
        assert len(held) == MOST_HELD
        assert {int(pod[1:]) % 2 for pod, _ in held} == {1}


class TestGivingBack:
    held = Standing(caps(a=200, b=200))

    def test_not_before_it_has_fitted_for_long_enough(self) -> None:
        users = [consumer("a", 20), consumer("b", 20)]
        soon = decide(400, users, self.held, replace(LONG_AGO, fits_seconds=FIRST_PATIENCE_SECONDS - 1))
        assert soon.caps == self.held.caps
        assert soon.again_seconds == 1

    def test_in_steps(self) -> None:
        users = [consumer("a", 20), consumer("b", 20)]
        first = decide(400, users, self.held, LONG_AGO)
        assert first.caps == caps(a=400, b=400)
        assert first.standing is not None
        assert first.standing.recovering
        second = decide(400, users, first.standing, LONG_AGO)
        assert second.caps == {}
        assert second.standing is not None, "on trial"
        third = decide(400, users, second.standing, replace(LONG_AGO, changed_seconds=PROBATION_SECONDS))
        assert third.standing is None

    def test_not_while_the_cap_is_used_up(self) -> None:
        users = [consumer("a", 195), consumer("b", 190)]
        assert decide(400, users, self.held, LONG_AGO).standing == self.held

    def test_no_further_than_would_fit_if_every_load_grew_with_its_cap(self) -> None:
        users = [consumer("a", 100), consumer("b", 100), consumer("c", 60)]
        raised = decide(400, users, self.held, LONG_AGO).caps
        assert raised == caps(a=320, b=320)  # 160 + 160 + 60 is 95 % of 400

    def test_not_after_a_change_that_the_reports_can_not_tell_of_yet(self) -> None:
        users = [consumer("a", 20, changed_seconds=GIVE_BACK_SECONDS - 1), consumer("b", 20)]
        assert decide(400, users, self.held, LONG_AGO).caps == caps(a=200, b=400)

    def test_nothing_while_a_node_is_silent(self) -> None:
        users = [consumer("a", 20), consumer("b", None, backed=False)]
        verdict = decide(400, users, self.held, LONG_AGO)
        assert verdict.caps == self.held.caps
        assert not verdict.renew

    def test_a_cap_that_no_fresh_report_backs_ends_when_the_hold_expires(self) -> None:
        users = [consumer("a", 150), consumer("b", None, backed=False)]
        clock = replace(LONG_AGO, left_seconds=0.0)
        verdict = decide(400, users, self.held, clock)
        assert verdict.caps == caps(a=200)
        assert verdict.renew

    def test_a_hold_is_renewed_when_little_of_it_is_left(self) -> None:
        users = [consumer("a", 200), consumer("b", 190)]
        assert not decide(400, users, self.held, LONG_AGO).renew
        assert decide(400, users, self.held, replace(LONG_AGO, left_seconds=HOLD_SECONDS / 3)).renew

    def test_a_pod_that_is_gone_is_forgotten(self) -> None:
        verdict = decide(400, [consumer("a", 200)], self.held, Clock())
        assert verdict.caps == caps(a=200)
        assert verdict.standing is not None
        assert not verdict.standing.recovering

    def test_a_quota_that_is_lowered_below_the_cap_ends_it(self) -> None:
        users = [consumer("a", 200, normal=150), consumer("b", 200)]
        assert decide(400, users, self.held, Clock()).caps == caps(b=200)

    def test_too_early_doubles_the_patience(self) -> None:
        on_trial = Standing({}, recovering=True)
        users = [consumer("a", 400), consumer("b", 400)]
        verdict = decide(400, users, on_trial, LONG_AGO)
        assert verdict.standing is not None
        assert verdict.standing.patience_seconds == 2 * FIRST_PATIENCE_SECONDS
        patient = replace(on_trial, patience_seconds=LONGEST_PATIENCE_SECONDS)
        verdict = decide(400, users, patient, LONG_AGO)
        assert verdict.standing is not None
        assert verdict.standing.patience_seconds == LONGEST_PATIENCE_SECONDS


@st.composite
def tenants(draw: st.DrawFn) -> list[Consumer]:
    number = draw(st.integers(1, 12))
    users = []
    for index in range(number):
        normal = draw(st.integers(10, 2000))
        users.append(
            Consumer(
                (f"p{index}", "agent"),
                normal,
                min(normal, draw(st.integers(1, 20)) * GRAIN_MILLI),
                draw(st.none() | st.integers(0, 2500)),
                changed_seconds=draw(st.sampled_from([0.0, 4.9, 5.0, 11.9, 12.0, 1000.0])),
            )
        )
    return users


budgets = st.integers(10, 8000)


class TestProperties:
    @given(st.lists(st.tuples(st.integers(0, 2000), st.integers(10, 200)), max_size=12), budgets)
    def test_the_level_is_the_highest_that_fits(self, users: list[tuple[int, int]], room: int) -> None:
        def total(level: int) -> int:
            return sum(min(use, max(level, floor)) for use, floor in users)

        level = common_level(users, room)
        assert level == 0 or total(level) <= room
        assert total(level + 1) > room or level == max((use for use, _ in users), default=0)

    @given(tenants(), budgets)
    def test_sizing_down(self, users: list[Consumer], budget: int) -> None:
        users = [replace(c, changed_seconds=1000.0) for c in users]
        verdict = decide(budget, users, None)
        after = {c.key: min(c.used_milli or 0, verdict.caps.get(c.key, c.normal_milli)) for c in users}
        at_floor = all(after[c.key] <= c.floor_milli for c in users)
        assert sum(after.values()) <= budget or at_floor
        if verdict.standing is not None:
            for each in users:
                cap = verdict.caps.get(each.key)
                assert cap is None or each.floor_milli <= cap < each.normal_milli
                used = min(each.used_milli or 0, each.normal_milli)
                if cap is None and each.floor_milli < used:
                    assert used <= max(verdict.caps.values()), "who is spared uses no more than who isn't"

    @given(tenants(), budgets)
    def test_decided_again_on_the_same_it_is_the_same(self, users: list[Consumer], budget: int) -> None:
        users = [replace(c, changed_seconds=1000.0) for c in users]
        first = decide(budget, users, None)
        again = decide(budget, users, first.standing)
        assert again.caps == first.caps

    @given(tenants(), budgets, st.data())
    def test_any_hold_goes_on_within_bounds(
        self, users: list[Consumer], budget: int, data: st.DataObject
    ) -> None:
        held = {
            c.key: data.draw(st.integers(c.floor_milli, c.normal_milli))
            for c in users
            if data.draw(st.booleans())
        }
        clock = Clock(fits_seconds=data.draw(st.sampled_from([0.0, 1000.0])), changed_seconds=1000)
        standing = Standing(held)
        after = decide(budget, users, standing, clock).caps
        for each in users:
            now, was = (of.get(each.key, each.normal_milli) for of in (after, held))
            assert each.floor_milli <= now <= each.normal_milli
            if now != was:
                assert each.changed_seconds >= (STEP_SECONDS if now < was else GIVE_BACK_SECONDS)
            if now < was:
                assert (each.used_milli or 0) > now, "only what is used is cut"

    @given(tenants(), budgets)
    def test_a_step_up_never_overshoots_loads_that_grow_with_their_caps(
        self, users: list[Consumer], budget: int
    ) -> None:
        users = [replace(c, changed_seconds=1000.0) for c in users]
        held = {c.key: c.floor_milli for c in users if c.floor_milli < c.normal_milli}
        before = decide(budget, users, Standing(held), Clock())
        if before.over or before.caps != held:
            return
        after = decide(budget, users, Standing(held), LONG_AGO).caps
        predicted = 0.0
        for each in users:
            was = held.get(each.key, each.normal_milli)
            now = after.get(each.key, each.normal_milli)
            predicted += min(each.used_milli or 0, was) * now / was
        assert predicted <= max(AIM * budget, before.used_milli) + 1e-6


FOUR = [(name, "agent") for name in "abcd"]
NORMAL = 500


class TestClosedLoop:
    """Over time, on a load that the caps throttle."""

    def test_a_tenant_over_its_budget_is_held_within_20_seconds_and_stays_so(self) -> None:
        run = Simulation(1000, NORMAL, dict.fromkeys(FOUR, steady(2000))).run(600)
        assert run.changes[0][0] <= 20
        assert all(run.mean(second) <= 1000 for second in range(31, 600))
        assert run.mean(600) >= 850, "it has what it may have"
        assert len(run.changes) == len(FOUR)

    def test_light_users_feel_nothing(self) -> None:
        demands = {FOUR[0]: steady(2000), FOUR[1]: steady(2000), FOUR[2]: steady(90), FOUR[3]: steady(30)}
        run = Simulation(700, NORMAL, demands).run(300)
        assert {key for _, key, _ in run.changes} == {FOUR[0], FOUR[1]}

    def test_the_burst_of_an_agent_is_let_through(self) -> None:
        """Three seconds of everything are 30 % of a window."""
        demands = dict.fromkeys(FOUR, lambda second: NORMAL if 30 <= second % 60 < 33 else 20)
        assert Simulation(1000, NORMAL, demands).run(600).changes == []

    def test_it_is_given_back_within_a_minute(self) -> None:
        run = Simulation(1000, NORMAL, dict.fromkeys(FOUR, steady(2000, until=120, then=50))).run(300)
        whole = [second for second, _, limit in run.changes if limit == NORMAL]
        assert len(whole) == len(FOUR)
        assert 120 < min(whole) <= max(whole) <= 180
        assert run.standing is None, "and the hold is over"

    @pytest.mark.parametrize("phase", [0, 3, 7])
    @pytest.mark.parametrize("together", [True, False], ids=["together", "in turn"])
    @pytest.mark.parametrize("period", [5, 10, 20, 60])
    def test_on_off_loads_don_t_make_it_swing(self, period: int, together: bool, phase: int) -> None:
        demands = {
            key: on_off(2000, period, phase_seconds=phase + (0 if together else index * period // 4))
            for index, key in enumerate(FOUR)
        }
        run = Simulation(600, NORMAL, demands).run(900)
        assert min(run.gaps(), default=999) >= STEP_SECONDS
        late = [key for second, key, _ in run.changes if second > 450]
        ups_and_downs = max(Counter(late).values(), default=0)
        assert ups_and_downs <= 2 * 450 / LONGEST_PATIENCE_SECONDS + 1, "one up and one down, now and then"

    def test_a_controller_that_dies_changes_nothing(self) -> None:
        run = Simulation(1000, NORMAL, dict.fromkeys(FOUR, steady(2000))).run(60)
        held, changes = run.standing, len(run.changes)
        run.restart()
        run.run(60)
        assert (run.standing, len(run.changes)) == (held, changes)
