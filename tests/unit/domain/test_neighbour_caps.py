"""CPU limits that the nodes' agents ask for, from their reports to resizes and the status."""

from dataclasses import replace
from typing import Any

import pytest

from tenantquota.api.status import Phase, TenantQuotaStatus
from tenantquota.domain.conditions import status_of
from tenantquota.domain.cpu_budget import RENEW_SECONDS, Clock
from tenantquota.domain.holds import CPU_BUDGET
from tenantquota.domain.model import Budget, Pod
from tenantquota.domain.neighbour_caps import HARMS_NEIGHBOURS, LOOK_SECONDS, both
from tenantquota.domain.plan import Observation, QuotaPlan, plan_namespace
from tenantquota.domain.reports import Yielding
from tenantquota.domain.resizes import Rule
from tenantquota.domain.truth import Witness
from tests.unit.domain.builders import held, quota, report, reported, res

QUOTAS = res(500, 128, 50, 32)
NOW, EXPIRES, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"
SINCE = "2025-12-31T23:59:50Z"
WHY = "acme made small wait"
FRESH = Clock(left_seconds=100)


def agent(name: str = "a", limit: int = 500, **fields: Any) -> Pod:
    return held(res(limit, 128, 50, 32), declared={"agent": QUOTAS}, name=name, **fields)


def plan(
    *pods: Pod,
    caps: dict[str, int] | None = None,
    status: TenantQuotaStatus | None = None,
    clock: Clock = FRESH,
    age_seconds: float = 1.0,
    budget: Budget | None = None,
    used: int = 0,
) -> QuotaPlan:
    """
    Args:
        caps: by pod's name.
    """
    of = quota(budget=budget, **({"status": status} if status else {}))
    asked = {(f"uid-{name}", "agent"): milli for name, milli in (caps or {}).items()}
    yielding = {} if caps is None else {"acme": Yielding(SINCE, ("small",), WHY, asked)}
    limits = [(pod, reported(pod.containers[0].spec.cpu_limit_milli, cpu=used)) for pod in pods]
    account = report(*limits, age_seconds=age_seconds, yielding=yielding)
    seen = Observation(
        "acme",
        (of,),
        pods=pods,
        witnesses={pod.uid: Witness(account, acknowledged_seconds=60) for pod in pods},
        clocks={of.uid: clock},
    )
    return plan_namespace(seen).quotas[0]


def status_after(of: QuotaPlan, now: str = NOW, expires: str = EXPIRES) -> TenantQuotaStatus:
    return status_of(of, [], [], now, expires)


CAPPED = status_after(plan(agent("a"), agent("b"), caps={"a": 200}))


class TestBegin:
    def test_the_container_is_resized_and_told_why(self) -> None:
        [act] = plan(agent("a"), agent("b"), caps={"a": 200}).acts
        assert (act.pod.name, act.change) == ("a", {"agent": res(200, 128, 50, 32)})
        assert (act.rule, act.message) == (Rule.CPU_CAPPED, WHY)

    def test_stands_in_the_status(self) -> None:
        hold = CAPPED.hold
        assert hold is not None
        assert (hold.reason, hold.since, hold.expires, hold.evidence) == (
            HARMS_NEIGHBOURS,
            SINCE,
            EXPIRES,
            WHY,
        )
        assert (hold.old_limit, hold.new_limit) == ("500m", "200m")
        [container] = hold.containers
        assert (container.pod, container.container) == ("a", "agent")
        assert (container.old_limit, container.new_limit) == ("500m", "200m")
        assert CAPPED.phase is Phase.THROTTLED

    @pytest.mark.parametrize("milli", [500, 900])
    def test_what_is_no_less_than_the_quota_caps_nothing(self, milli: int) -> None:
        of = plan(agent(), caps={"a": milli})
        assert (of.acts, status_after(of).hold) == ((), None)

    def test_who_only_yields_has_no_hold_of_limits(self) -> None:
        of = plan(agent(), caps={})
        assert (of.acts, status_after(of).hold) == ((), None)

    def test_a_mirror_pod_cant_be_resized(self) -> None:
        of = plan(agent(static=True), caps={"a": 200})
        assert status_after(of).hold is None

    def test_a_pod_of_another_node_with_that_uid_isnt_meant(self) -> None:
        assert plan(agent("b"), caps={"a": 200}).acts == ()


class TestStanding:
    def test_nothing_is_done_or_written_while_it_is_the_same(self) -> None:
        of = plan(agent("a", 200), agent("b"), caps={"a": 200}, status=CAPPED)
        assert of.acts == ()
        assert status_after(of, LATER, LATER).hold == CAPPED.hold

    def test_is_renewed_before_it_expires(self) -> None:
        clock = Clock(left_seconds=RENEW_SECONDS - 1)
        of = plan(agent("a", 200), agent("b"), caps={"a": 200}, status=CAPPED, clock=clock)
        hold = status_after(of, LATER, LATER).hold
        assert hold is not None
        assert hold.expires == LATER

    def test_is_looked_at_though_nothing_is_heard(self) -> None:
        assert LOOK_SECONDS in plan(agent("a", 200), caps={"a": 200}).again_seconds
        assert plan(agent(), caps={}).again_seconds == ()

    def test_a_step_given_back_is_told(self) -> None:
        [act] = plan(agent("a", 200), caps={"a": 300}, status=CAPPED).acts
        assert act.change == {"agent": res(300, 128, 50, 32)}
        assert act.rule is Rule.CPU_UNCAPPED


class TestEnd:
    def test_when_the_report_says_no_more(self) -> None:
        of = plan(agent("a", 200), caps=None, status=CAPPED)
        [act] = of.acts
        assert (act.change, act.rule) == ({"agent": QUOTAS}, Rule.CPU_UNCAPPED)
        after = status_after(of)
        assert (after.hold, after.phase) == (None, Phase.NORMAL)

    def test_when_the_agent_is_gone(self) -> None:
        of = plan(agent("a", 200), caps={"a": 200}, status=CAPPED, age_seconds=1000)
        assert [act.change for act in of.acts] == [{"agent": QUOTAS}]
        assert status_after(of).hold is None

    def test_a_controller_started_anew_goes_on(self) -> None:
        """Reports and status are all that it has."""
        of = plan(agent("a", 200), caps={"a": 200}, status=CAPPED, clock=Clock(left_seconds=60))
        assert of.acts == ()
        assert status_after(of).hold == CAPPED.hold


class TestBesideTheBudget:
    BUDGET = Budget(cpu_milli=600)

    def test_the_lower_of_two_caps_counts(self) -> None:
        assert both({"a": 1, "b": 5}, {"b": 3, "c": 2}) == {"a": 1, "b": 3, "c": 2}

    def test_the_status_tells_of_the_budgets_which_stands_nowhere_else(self) -> None:
        clock = replace(FRESH, fits_seconds=1000, changed_seconds=1000)
        of = plan(agent("a"), agent("b"), caps={"a": 200}, budget=self.BUDGET, used=500, clock=clock)
        hold = status_after(of).hold
        assert hold is not None
        assert hold.reason == CPU_BUDGET
        [a, b] = ((act.change or {})["agent"].cpu_limit_milli or 0 for act in of.acts)
        assert a == 200 < b < 500
