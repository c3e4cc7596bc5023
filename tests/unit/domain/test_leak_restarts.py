"""Who is evicted because of a leak, and when."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.api.leaks import Action, Kind
from tenantquota.api.status import LeakRestart, LeakStatus, TenantQuotaStatus
from tenantquota.domain.audit import evicted
from tenantquota.domain.decisions import Outcome, news
from tenantquota.domain.judgements import leak_free
from tenantquota.domain.leak_restarts import (
    ASKED,
    EVICTED,
    FIRST_RETRY_SECONDS,
    FIRST_WAIT_SECONDS,
    FORGET_SECONDS,
    LONGEST_RETRY_SECONDS,
    LONGEST_WAIT_SECONDS,
    Restarts,
    pause_seconds,
    restarts_of,
    skipped,
    told,
)
from tenantquota.domain.model import Pod, Quota
from tenantquota.domain.plan import Observation, QuotaPlan, plan_namespace
from tenantquota.domain.reports import ReportedLeak
from tenantquota.domain.truth import Witness
from tests.unit.domain.builders import MI, held, quota, report, reported, res

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"
IN_FORCE = res(500, 128, 50, 32)


def agent(name: str = "p", **fields: Any) -> Pod:
    return held(IN_FORCE, declared={"agent": IN_FORCE}, name=name, **({"controlled": True} | fields))


def leak(of: Pod, kind: Kind = Kind.MEMORY_FAST, since: str = NOW) -> tuple[Pod, ReportedLeak]:
    return of, ReportedLeak(of.uid, "agent", kind, since, None, "it grew", 60 * MI)


def of_quota(last: LeakRestart | None = None, action: Action = Action.RESTART, **fields: Any) -> Quota:
    status = TenantQuotaStatus(leaks=LeakStatus(restart=last))
    return quota(leak_action=action, status=status, **fields)


def restarts(
    *leaks: tuple[Pod, ReportedLeak],
    last: LeakRestart | None = None,
    since_seconds: float = 10_000,
    running: set[str] | None = None,
    action: Action = Action.RESTART,
) -> Restarts:
    if running is None:
        running = {pod.uid for pod, _ in leaks}
    return restarts_of(of_quota(last, action), leaks, running, since_seconds)


def tried(of: Restarts, outcome: str, message: str = "") -> LeakRestart:
    assert of.evict is not None
    return of.evict.tried(outcome, message, NOW)


def chosen(of: Restarts) -> str | None:
    return of.evict.pod.name if of.evict else None


class TestWho:
    @pytest.mark.parametrize("kind", [Kind.MEMORY_FAST, Kind.MEMORY_SLOW, Kind.OPEN_FILES, Kind.PROCESSES])
    def test_the_pod_of_a_leak(self, kind: Kind) -> None:
        assert chosen(restarts(leak(agent(), kind))) == "p"

    def test_computing_is_no_ground(self) -> None:
        assert restarts(leak(agent(), Kind.CPU)) == Restarts()

    @pytest.mark.parametrize("action", [Action.REPORT, Action.CONTAIN])
    def test_only_where_the_quota_says_so(self, action: Action) -> None:
        assert restarts(leak(agent()), action=action) == Restarts()

    def test_the_oldest_leak_first(self) -> None:
        assert chosen(restarts(leak(agent("a"), since=LATER), leak(agent("b")))) == "b"

    def test_not_a_pod_that_nothing_makes_anew(self) -> None:
        bare = leak(agent(controlled=False))
        assert restarts(bare).evict is None
        assert restarts(bare).bare == (bare,)
        assert chosen(restarts(bare, leak(agent("b")))) == "b"

    def test_not_a_static_pod_whose_owner_is_its_node(self) -> None:
        assert restarts(leak(agent(static=True))).evict is None

    def test_another_pod_first_where_one_was_refused(self) -> None:
        a, b = leak(agent("a")), leak(agent("b"), since=LATER)
        refused = tried(restarts(a), Outcome.REFUSED)
        assert chosen(restarts(a, b, last=refused)) == "b"
        assert chosen(restarts(a, last=refused)) == "a"


class TestWhen:
    def test_the_next_one_waits(self) -> None:
        last = tried(restarts(leak(agent("a"))), Outcome.APPLIED)
        of = restarts(leak(agent("b")), last=last, since_seconds=FIRST_WAIT_SECONDS - 5)
        assert (of.evict, of.again_seconds) == (None, 5)
        of = restarts(leak(agent("b")), last=last, since_seconds=FIRST_WAIT_SECONDS)
        assert chosen(of) == "b"

    def test_each_waits_twice_as_long_as_the_one_before(self) -> None:
        last, waits = None, []
        for _ in range(6):
            since = pause_seconds(last)
            last = tried(restarts(leak(agent()), last=last, since_seconds=since), Outcome.APPLIED)
            waits.append(last.wait_seconds)
        assert waits == [120, 240, 480, 960, LONGEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS]

    def test_after_a_quiet_hour_it_begins_anew(self) -> None:
        first = tried(restarts(leak(agent())), Outcome.APPLIED)
        again = restarts(leak(agent()), last=first, since_seconds=FORGET_SECONDS)
        assert tried(again, Outcome.APPLIED).wait_seconds == FIRST_WAIT_SECONDS

    def test_a_refused_one_is_tried_again_ever_more_rarely(self) -> None:
        last, pauses = None, []
        for _ in range(7):
            since = pause_seconds(last)
            last = tried(restarts(leak(agent()), last=last, since_seconds=since), Outcome.REFUSED)
            pauses.append(pause_seconds(last))
        assert pauses == [FIRST_RETRY_SECONDS, 20, 40, 80, 160, LONGEST_RETRY_SECONDS, LONGEST_RETRY_SECONDS]

    def test_a_refusal_does_not_count_as_an_eviction(self) -> None:
        first = tried(restarts(leak(agent())), Outcome.APPLIED)
        refused = tried(restarts(leak(agent()), last=first, since_seconds=200), Outcome.REFUSED)
        assert refused.wait_seconds == FIRST_WAIT_SECONDS
        assert (
            tried(restarts(leak(agent()), last=refused, since_seconds=20), Outcome.APPLIED).wait_seconds
            == 240
        )

    def test_whether_it_was_asked_before_a_kill_is_not_known_so_it_waits(self) -> None:
        last = tried(restarts(leak(agent())), ASKED)
        assert restarts(leak(agent()), last=last, since_seconds=FIRST_WAIT_SECONDS - 1).evict is None
        assert chosen(restarts(leak(agent()), last=last, since_seconds=FIRST_WAIT_SECONDS)) == "p"

    def test_without_a_leak_nothing_is_awaited(self) -> None:
        last = tried(restarts(leak(agent())), Outcome.APPLIED)
        assert restarts(last=last, since_seconds=1).again_seconds is None


class TestReadBack:
    @pytest.mark.parametrize("outcome", [ASKED, Outcome.APPLIED])
    def test_the_pod_runs_no_more(self, outcome: str) -> None:
        last = tried(restarts(leak(agent())), outcome)
        of = restarts(last=last, since_seconds=1)
        assert of.ended
        assert of.last is not None
        assert of.last.outcome == EVICTED
        again = restarts(last=of.last, since_seconds=2)
        assert (again.ended, again.last) == (False, of.last)

    def test_the_pod_still_runs(self) -> None:
        last = tried(restarts(leak(agent())), Outcome.APPLIED)
        of = restarts(leak(agent()), last=last, since_seconds=1)
        assert (of.ended, of.last) == (False, last)

    def test_what_was_only_observed_or_refused_has_no_end(self) -> None:
        for outcome in (Outcome.OBSERVED, Outcome.REFUSED):
            last = tried(restarts(leak(agent())), outcome)
            assert not restarts(last=last, since_seconds=1).ended


class TestTold:
    def test_the_record_has_the_evidence_and_closes_by_its_id(self) -> None:
        last = tried(restarts(leak(agent())), Outcome.APPLIED)
        record = evicted(of_quota(), last, agent(), report(), NOW)
        assert (record["rule"], record["outcome"], record["mode"]) == ("LeakRestarted", "Applied", "Enforce")
        assert record["window"]["leak"] == {
            "kind": "memory_fast",
            "since": NOW,
            "ratePerMinute": 60 * MI,
            "evidence": "it grew",
        }
        assert record["window"]["node"] == "n1"
        end = restarts(last=last).last
        assert end is not None
        closing = evicted(of_quota(), end, None, None, LATER)
        assert closing["outcome"] == EVICTED
        assert closing["correlationId"] == record["correlationId"] == told(of_quota(), last).correlation_id

    def test_a_bare_pod_is_told_once(self) -> None:
        pod, found = leak(agent(controlled=False))
        first = told(of_quota(), skipped(pod, found, NOW))
        grown = replace(found, evidence="it grew more")
        assert first.outcome == Outcome.SKIPPED
        assert "no controller would make it anew" in first.message
        assert news([told(of_quota(), skipped(pod, grown, LATER))], [first]) == ()

    def test_the_condition_says_why_nothing_is_done(self) -> None:
        def plan(of: Pod, last: LeakRestart | None = None) -> QuotaPlan:
            account = report((of, reported()))
            account = replace(account, report=replace(account.report, leaks=(leak(of)[1],)))
            mine = of_quota(last)
            witnesses = {of.uid: Witness(account, acknowledged_seconds=60)}
            return plan_namespace(Observation("acme", (mine,), pods=(of,), witnesses=witnesses)).quotas[0]

        assert "no controller would make it anew" in leak_free(plan(agent(controlled=False))).message
        refused = tried(restarts(leak(agent())), Outcome.REFUSED, "the disruption budget")
        assert "refused and tried again: the disruption budget" in leak_free(plan(agent(), refused)).message
        assert plan(agent()).restarts.evict is not None


@given(
    seconds=st.lists(st.floats(0.5, 4000), max_size=60),
    outcomes=st.lists(
        st.sampled_from([Outcome.APPLIED, Outcome.REFUSED, Outcome.FAILED, Outcome.OBSERVED, ASKED]),
        min_size=60,
        max_size=60,
    ),
)
def test_evictions_are_never_closer_than_the_first_wait(seconds: list[float], outcomes: list[str]) -> None:
    """However often it is looked, and whatever comes of it."""
    now, last, last_at, done = 0.0, None, 0.0, []
    for pause, outcome in zip(seconds, outcomes, strict=False):
        now += pause
        of = restarts(leak(agent()), last=last, since_seconds=now - last_at if last else 10_000)
        if of.evict is None:
            assert of.again_seconds is not None
            assert 0 < of.again_seconds <= LONGEST_WAIT_SECONDS
            continue
        last, last_at = tried(of, outcome), now
        assert FIRST_RETRY_SECONDS <= pause_seconds(last) <= LONGEST_WAIT_SECONDS
        if outcome not in {Outcome.REFUSED, Outcome.FAILED}:
            done.append(now)
    assert all(later - before >= FIRST_WAIT_SECONDS for before, later in pairwise(done))
