"""A leak that is contained: how far its limit is lowered, when it is given back, and what is said of it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.api.leaks import Action, Kind
from tenantquota.api.status import LeakStatus, TenantQuotaStatus
from tenantquota.domain.budgets import OwnedResourceQuota
from tenantquota.domain.conditions import status_of
from tenantquota.domain.cpu_budget import Clock
from tenantquota.domain.judgements import leak_free
from tenantquota.domain.leak_holds import MIB, ROOM_BYTES, STEP_SECONDS, limit_above, next_cap
from tenantquota.domain.model import Budget, Pod, QosClass
from tenantquota.domain.plan import Observation, QuotaPlan, plan_namespace
from tenantquota.domain.reports import ReportedLeak
from tenantquota.domain.resizes import Rule
from tenantquota.domain.setbacks import Setback, SetbackKind
from tenantquota.domain.truth import Witness
from tests.unit.domain.builders import MI, held, pod, quota, report, reported, res

NOW = "2026-01-01T00:00:00Z"
SINCE = "2025-12-31T23:59:00Z"
IN_FORCE = res(500, 512, 50, 32)
NORMAL = 512


def leak(
    of: Pod, kind: Kind = Kind.MEMORY_FAST, rate_mib: int = 60, evidence: str = "it grew"
) -> ReportedLeak:
    return ReportedLeak(of.uid, "agent", kind, SINCE, None, evidence, rate_mib * MI)


def agent(limit: int = NORMAL, **fields: Any) -> Pod:
    return held(replace(IN_FORCE, memory_limit_bytes=limit * MI), declared={"agent": IN_FORCE}, **fields)


def observation(
    of: Pod,
    *leaks: ReportedLeak,
    used: int = 100,
    before: TenantQuotaStatus | None = None,
    action: Action = Action.CONTAIN,
    setback: Setback | None = None,
    resized_seconds: float | None = None,
    age_seconds: float = 0.0,
    normal: int = NORMAL,
    observe: bool = False,
    admitted_mib: int | None = None,
) -> Observation:
    """
    Args:
        admitted_mib: with a budget of 1 GiB, by what the API server admits.
    """
    limit = (of.containers[0].spec.memory_limit_bytes or 0) // MI
    account = report((of, reported(memory_limit=limit, memory=used)), age_seconds=age_seconds)
    account = replace(account, report=replace(account.report, leaks=leaks))
    mine = quota(
        memory=normal,
        leak_action=action,
        status=before or TenantQuotaStatus(),
        observe=observe,
        budget=Budget(memory_bytes=None if admitted_mib is None else 1024 * MI),
    )
    hard = {"limits.memory": (admitted_mib or 0) * MI}
    owned = OwnedResourceQuota("tenantquota-q", mine.uid, hard, hard)
    return Observation(
        "acme",
        (mine,),
        pods=(of,),
        resource_quotas=(owned,) if admitted_mib is not None else (),
        setbacks={of.uid: setback} if setback else {},
        witnesses={of.uid: Witness(account, acknowledged_seconds=60)},
        clocks={mine.uid: Clock(of_pods={} if resized_seconds is None else {of.name: resized_seconds})},
    )


def plan(of: Pod, *leaks: ReportedLeak, **fields: Any) -> QuotaPlan:
    return plan_namespace(observation(of, *leaks, **fields)).quotas[0]


def memory_asked(of: QuotaPlan) -> int | None:
    """In MiB; None where no resize is sent."""
    (step,) = of.pods
    if not step.change:
        return None
    return (step.change["agent"].memory_limit_bytes or 0) // MI


def status_after(of: QuotaPlan) -> TenantQuotaStatus:
    return status_of(of, [], [], NOW)


CONTAINED = status_after(plan(agent(), leak(agent())))


class TestBegins:
    def test_the_limit_is_lowered_to_usage_and_room(self) -> None:
        of = plan(agent(), leak(agent()))
        assert memory_asked(of) == 132
        (step,) = of.acts
        assert step.rule is Rule.LEAK_CONTAINED
        assert step.message == f"it grew, since {SINCE}"
        assert step.change is not None
        assert step.change["agent"] == res(500, 132, 50, 32)

    def test_the_room_is_a_quarter_of_much(self) -> None:
        assert memory_asked(plan(agent(), leak(agent()), used=200)) == 250

    def test_what_leaks_fast_gets_room_for_as_long_as_a_resize_takes(self) -> None:
        assert memory_asked(plan(agent(), leak(agent(), rate_mib=400))) == 200

    def test_what_it_took_since_the_report_counts_as_used(self) -> None:
        assert memory_asked(plan(agent(), leak(agent()), age_seconds=10)) == 142

    def test_slow_leaks_too(self) -> None:
        assert memory_asked(plan(agent(), leak(agent(), Kind.MEMORY_SLOW, 2))) == 132

    @pytest.mark.parametrize("kind", [Kind.CPU, Kind.OPEN_FILES, Kind.PROCESSES])
    def test_what_takes_no_memory_is_only_told(self, kind: Kind) -> None:
        of = plan(agent(), leak(agent(), kind))
        assert memory_asked(of) is None
        assert not leak_free(of).good

    @pytest.mark.parametrize("action", [Action.REPORT, Action.RESTART])
    def test_only_where_the_quota_says_so(self, action: Action) -> None:
        assert memory_asked(plan(agent(), leak(agent()), action=action)) is None

    def test_a_wall_that_is_near_already_is_left_where_it_is(self) -> None:
        assert memory_asked(plan(agent(), leak(agent()), used=400)) is None

    def test_the_request_was_set_aside_and_stays(self) -> None:
        declared = res(500, 512, 50, 256)
        of = held(declared, declared={"agent": declared})
        account = report((of, reported(memory=100)), age_seconds=0)
        account = replace(account, report=replace(account.report, leaks=(leak(of),)))
        mine = quota(memory=512, memory_request=None, leak_action=Action.CONTAIN)
        seen = Observation("acme", (mine,), pods=(of,), witnesses={of.uid: Witness(account)})
        assert memory_asked(plan_namespace(seen).quotas[0]) == 256

    def test_the_request_of_a_guaranteed_pod_goes_down_with_the_limit(self) -> None:
        same = res(500, 512, 500, 512)
        of = held(same, declared={"agent": same}, qos=QosClass.GUARANTEED)
        (step,) = plan(of, leak(of)).pods
        assert step.change is not None
        assert step.change["agent"] == res(500, 132, 500, 132)

    def test_pods_that_cannot_be_resized_are_left_alone(self) -> None:
        for of in (agent(static=True), agent(pod_level_resources=True), agent(qos=QosClass.BEST_EFFORT)):
            assert plan(of, leak(of)).containment.held == ()

    def test_a_pod_that_was_just_resized_waits(self) -> None:
        of = plan(agent(), leak(agent()), resized_seconds=STEP_SECONDS - 1)
        assert memory_asked(of) is None


class TestGoesOn:
    def test_a_leak_that_grows_is_not_followed_up(self) -> None:
        of = plan(agent(132), leak(agent(132)), used=131, before=CONTAINED)
        assert memory_asked(of) is None
        assert status_after(of).leaks == CONTAINED.leaks

    def test_usage_is_followed_down_where_it_is_worth_it(self) -> None:
        assert memory_asked(plan(agent(132), leak(agent(132)), used=90, before=CONTAINED)) is None
        assert memory_asked(plan(agent(132), leak(agent(132)), used=80, before=CONTAINED)) == 112

    def test_a_killed_controller_goes_on_from_the_status(self) -> None:
        """Its successor finds the status written and the pod not resized yet."""
        of = plan(agent(), leak(agent()), used=110, before=CONTAINED)
        assert memory_asked(of) == 132
        assert of.acts[0].rule is Rule.LEAK_CONTAINED

    def test_the_evidence_stays_that_of_the_decision(self) -> None:
        of = plan(agent(132), leak(agent(132), evidence="it grew more"), used=110, before=CONTAINED)
        assert status_after(of).leaks == CONTAINED.leaks

    def test_a_limit_that_the_kubelet_refuses_is_put_above_what_it_counts(self) -> None:
        setback = Setback(SetbackKind.MEMORY, "below current usage", 1.0, {}, usage_bytes=200 * MI)
        of = plan(agent(132), leak(agent(132)), before=CONTAINED, setback=setback, resized_seconds=1.0)
        assert memory_asked(of) == 250
        assert of.acts[0].rule is Rule.LEAK_CONTAINED
        again = plan(agent(250), leak(agent(250)), before=status_after(of), setback=setback)
        assert memory_asked(again) is None

    def test_where_so_much_is_in_use_the_whole_limit_comes_back(self) -> None:
        setback = Setback(SetbackKind.MEMORY, "below current usage", 1.0, {}, usage_bytes=450 * MI)
        of = plan(agent(132), leak(agent(132)), before=CONTAINED, setback=setback)
        assert memory_asked(of) == NORMAL

    def test_a_quota_that_is_lowered_below_the_cap_takes_its_place(self) -> None:
        of = plan(agent(132), leak(agent(132)), used=100, before=CONTAINED, normal=120)
        assert memory_asked(of) == 120
        assert of.acts[0].rule is Rule.LIMITS_FOLLOW_QUOTA


class TestEnds:
    def test_the_limit_is_given_back_when_the_leak_is_over(self) -> None:
        of = plan(agent(132), before=CONTAINED)
        assert memory_asked(of) == NORMAL
        assert of.acts[0].rule is Rule.LEAK_RELEASED

    def test_why_is_known_until_the_pod_asks_for_it(self) -> None:
        released = status_after(plan(agent(132), before=CONTAINED))
        assert released.leaks is not None
        assert released.leaks.contained[0].ended
        of = plan(agent(132), before=released)
        assert of.acts[0].rule is Rule.LEAK_RELEASED
        assert status_after(plan(agent(), before=released)).leaks is None

    def test_not_within_seconds_of_the_last_change(self) -> None:
        assert memory_asked(plan(agent(132), before=CONTAINED, resized_seconds=1.0)) is None

    def test_on_a_report_that_is_stale_nothing_is_held(self) -> None:
        assert memory_asked(plan(agent(132), leak(agent(132)), before=CONTAINED, age_seconds=100)) == NORMAL

    def test_a_quota_that_no_longer_contains_gives_back(self) -> None:
        of = plan(agent(132), leak(agent(132)), before=CONTAINED, action=Action.REPORT)
        assert memory_asked(of) == NORMAL

    def test_a_pod_that_was_made_anew_has_the_whole_limit(self) -> None:
        anew = replace(agent(), uid="uid-anew")
        of = plan(anew, before=CONTAINED)
        assert memory_asked(of) is None
        assert status_after(of).leaks is None

    def test_what_the_status_says_and_nobody_can_read_is_dropped(self) -> None:
        assert CONTAINED.leaks is not None
        (entry,) = CONTAINED.leaks.contained
        broken = LeakStatus(contained=(entry.model_copy(update={"new_limit": "much"}),))
        of = plan(agent(), before=CONTAINED.model_copy(update={"leaks": broken}))
        assert status_after(of).leaks is None


class TestBudget:
    """What is held back of a budget of memory is kept from other pods."""

    def written(self, of: Pod, *leaks: ReportedLeak, **fields: Any) -> tuple[int | None, int | None]:
        """The memory limit that is asked for, and what the ResourceQuota is to hold, in MiB."""
        seen = observation(of, *leaks, **fields)
        found = plan_namespace(seen)
        hard = next((each.hard["limits.memory"] // MI for each in found.budgets), None)
        return memory_asked(found.quotas[0]), hard

    def test_the_resource_quota_shrinks_with_the_limit(self) -> None:
        assert self.written(agent(), leak(agent()), admitted_mib=1024) == (132, 1024 - 380)
        contained = self.written(agent(132), leak(agent(132)), before=CONTAINED, admitted_mib=1024 - 380)
        assert contained == (None, None)

    def test_the_limit_comes_back_once_there_is_room(self) -> None:
        ended = self.written(agent(132), before=CONTAINED, admitted_mib=1024 - 380)
        assert ended == (None, 1024)
        assert self.written(agent(132), before=CONTAINED, admitted_mib=1024) == (NORMAL, None)


class TestTold:
    def test_the_status_has_the_evidence(self) -> None:
        assert CONTAINED.leaks is not None
        (entry,) = CONTAINED.leaks.contained
        assert (entry.pod, entry.container, entry.kind) == ("p", "agent", Kind.MEMORY_FAST)
        assert (entry.old_limit, entry.new_limit) == ("512Mi", "132Mi")
        assert (entry.since, entry.rate_per_minute, entry.evidence) == (SINCE, 60 * MI, "it grew")

    def test_the_condition_says_what_was_done(self) -> None:
        finding = leak_free(plan(agent(), leak(agent())))
        assert "its memory limit is lowered to 132Mi" in finding.message
        would = leak_free(plan(agent(), leak(agent()), observe=True))
        assert "its memory limit would be lowered to 132Mi" in would.message

    def test_who_is_held_is_looked_at_again(self) -> None:
        assert plan(agent(), leak(agent())).again_seconds == (10.0,)
        assert plan(agent(), leak(agent()), resized_seconds=2.0).again_seconds == (3.0,)
        assert plan(agent(132), before=CONTAINED, resized_seconds=2.0).again_seconds == (3.0,)
        assert plan(agent()).again_seconds == ()

    def test_a_pod_without_an_agent_on_its_node_is_not_contained(self) -> None:
        of = pod(agent().containers[0])
        mine = quota(leak_action=Action.CONTAIN)
        assert plan_namespace(Observation("acme", (mine,), pods=(of,))).quotas[0].containment.held == ()


sizes = st.integers(0, 2**36)


@given(used=sizes, rate=st.integers(0, 2**34))
def test_a_cap_is_above_usage_in_whole_mib(used: int, rate: int) -> None:
    limit = limit_above(used, rate)
    assert limit % MIB == 0
    assert limit >= used + ROOM_BYTES
    assert limit >= used * 1.25


@given(
    used=sizes,
    limit=sizes,
    normal=sizes,
    before=st.none() | sizes,
    refused=st.integers(0, 2**36),
    since=st.floats(0, 100),
)
def test_a_cap_is_below_the_quota_and_rises_only_on_a_refusal(
    used: int, limit: int, normal: int, before: int | None, refused: int, since: float
) -> None:
    wanted = limit_above(max(used, refused), 0)
    cap = next_cap(
        wanted,
        before if before is not None else limit,
        before_bytes=before,
        normal_bytes=normal,
        refused_bytes=refused,
        since_change_seconds=since,
    )
    if cap is None:
        return
    assert cap < normal
    assert cap in {wanted, before}
    if before is not None and refused < before:
        assert cap <= before
        assert cap == before or since >= STEP_SECONDS
    if before is None:
        assert cap > used


@given(usage=st.lists(st.tuples(st.floats(0.5, 20), st.integers(1, 600)), max_size=30))
def test_a_limit_changes_once_in_a_while_and_only_downwards(usage: list[tuple[float, int]]) -> None:
    """A container that leaks and uses what it likes up to its limit."""
    cap, limit, since = None, NORMAL * MI, 100.0
    changes = []
    for seconds, mib in usage:
        since += seconds
        used = min(mib * MI, limit)
        new = next_cap(
            limit_above(used, 0),
            limit,
            before_bytes=cap,
            normal_bytes=NORMAL * MI,
            since_change_seconds=since,
        )
        if new != cap:
            assert new is not None
            assert used < new < limit
            changes.append(since)
            cap, limit, since = new, new, 0.0
    assert all(gap >= STEP_SECONDS for gap in changes)
