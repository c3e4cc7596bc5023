"""The CPU budget of a tenant, from reports to plans and the status."""

from dataclasses import replace
from typing import Any

import pytest

from tenantquota.api.status import Condition, Phase, TenantQuotaStatus
from tenantquota.domain.conditions import status_of, transitions
from tenantquota.domain.cpu_budget import Clock
from tenantquota.domain.holds import CPU_BUDGET, standing_of
from tenantquota.domain.judgements import enforced, within_budget
from tenantquota.domain.model import Budget, Pod, QosClass
from tenantquota.domain.plan import Observation, QuotaPlan, plan_namespace
from tenantquota.domain.reports import Reported
from tenantquota.domain.resizes import Rule
from tenantquota.domain.truth import Witness
from tests.unit.domain.builders import held, quota, report, reported, res

IN_FORCE = res(500, 128, 50, 32)
BUDGET = Budget(cpu_milli=600)
NOW, EXPIRES, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z"
LONG_AGO = Clock(fits_seconds=1000, changed_seconds=1000)


def agents(*names: str, limit: int = 500, **fields: Any) -> tuple[Pod, ...]:
    return tuple(
        held(res(limit, 128, 50, 32), declared={"agent": IN_FORCE}, name=name, **fields) for name in names
    )


def plan(
    *used: tuple[Pod, Reported],
    status: TenantQuotaStatus | None = None,
    observe: bool = False,
    clock: Clock = LONG_AGO,
    age_seconds: float = 1.0,
    budget: Budget = BUDGET,
) -> QuotaPlan:
    of = quota(budget=budget, observe=observe, **({"status": status} if status else {}))
    account = report(*used, age_seconds=age_seconds)
    seen = Observation(
        "acme",
        (of,),
        pods=tuple(pod for pod, _ in used),
        witnesses={pod.uid: Witness(account, acknowledged_seconds=60) for pod, _ in used},
        clocks={of.uid: clock},
    )
    return plan_namespace(seen).quotas[0]


def status_after(of: QuotaPlan, now: str = NOW, expires: str = EXPIRES) -> TenantQuotaStatus:
    return status_of(of, [], [], now, expires)


def over(**fields: Any) -> QuotaPlan:
    a, b, c = agents("a", "b", "c")
    return plan((a, reported(cpu=500)), (b, reported(cpu=400)), (c, reported(cpu=50)), **fields)


HELD = status_after(over())


class TestOver:
    def test_the_largest_users_are_resized_and_told_why(self) -> None:
        acts = {each.pod.name: each for each in over().acts}
        assert acts.keys() == {"a", "b"}
        for each in acts.values():
            assert each.change is not None
            assert each.change["agent"] == res(260, 128, 50, 32)
            assert each.rule is Rule.CPU_SIZED_DOWN
            assert "950m used by 3 containers, of a budget of 600m" in each.message

    def test_the_status_tells_the_hold(self) -> None:
        assert HELD.phase is Phase.THROTTLED
        hold = HELD.hold
        assert hold is not None
        assert (hold.since, hold.expires, hold.reason) == (NOW, EXPIRES, CPU_BUDGET)
        assert (hold.old_limit, hold.new_limit) == ("500m", "260m")
        assert [(c.pod, c.container, c.old_limit, c.new_limit) for c in hold.containers] == [
            ("a", "agent", "500m", "260m"),
            ("b", "agent", "500m", "260m"),
        ]

    def test_the_condition_tells_it(self) -> None:
        finding = within_budget(over())
        assert (finding.status, finding.reason) == ("False", "CpuOverBudget")
        assert "a/agent 500m, b/agent 400m" in finding.message
        assert "of 2 containers are lowered, down to 260m" in finding.message

    def test_people_hear_of_both_ends(self) -> None:
        def told(before: TenantQuotaStatus, after: TenantQuotaStatus) -> list[tuple[str, str]]:
            found: tuple[Condition, ...] = transitions(before, after)
            return [(each.type, each.reason) for each in found if each.type == "WithinBudget"]

        a, b = agents("a", "b", limit=260)
        recovering = status_after(
            plan((a, reported(260, cpu=10)), (b, reported(260, cpu=10)), status=HELD), LATER
        )
        assert told(TenantQuotaStatus(), HELD) == [("WithinBudget", "CpuOverBudget")]
        assert told(HELD, recovering) == [("WithinBudget", "Held")]

    def test_nobody_hears_that_the_first_report_is_awaited(self) -> None:
        (a,) = agents("a")
        waiting = status_after(plan((a, reported(cpu=None))))
        well = status_after(plan((a, reported(cpu=10)), status=waiting))
        assert transitions(TenantQuotaStatus(), waiting) == ()
        assert transitions(waiting, well) == ()

    def test_observe_decides_the_same_and_says_so(self) -> None:
        enforcing, observing = over(), over(observe=True)
        assert observing.cpu == enforcing.cpu
        assert [each.change for each in observing.acts] == [each.change for each in enforcing.acts]
        finding = within_budget(observing)
        assert finding.reason == "CpuOverBudget"
        assert "would be lowered" in finding.message

    def test_observing_it_stands_though_the_load_goes_on(self) -> None:
        observing = over(observe=True)
        again = over(observe=True, status=status_after(observing), clock=Clock())
        assert again.cpu is not None
        assert again.cpu.standing == standing_of(status_after(observing))

    def test_a_guaranteed_pods_request_goes_down_with_its_limit(self) -> None:
        spec = res(500, 128, 500, 128)
        pods = [
            held(spec, name=name, qos=QosClass.GUARANTEED, declared={"agent": spec}) for name in ("a", "b")
        ]
        found = plan(*((pod, reported(cpu=500)) for pod in pods))
        assert found.acts[0].change == {"agent": res(280, 128, 280, 128)}

    def test_a_request_is_kept(self) -> None:
        spec = res(500, 128, 400, 32)
        requesting = held(spec, name="a", declared={"agent": spec})
        (other,) = agents("b")
        big = quota(cpu_request=None, budget=BUDGET)
        account = report((requesting, reported(cpu=500)), (other, reported(cpu=500)))
        seen = Observation(
            "acme",
            (big,),
            pods=(requesting, other),
            witnesses={each.uid: Witness(account, acknowledged_seconds=60) for each in (requesting, other)},
        )
        found = plan_namespace(seen).quotas[0]
        assert found.cpu is not None
        assert found.cpu.caps == {("a", "agent"): 410, ("b", "agent"): 160}


class TestHeld:
    def test_the_caps_are_what_the_cgroups_are_held_against(self) -> None:
        a, b = agents("a", "b", limit=260)
        (c,) = agents("c")
        found = plan(
            (a, reported(260, cpu=260)), (b, reported(260, cpu=250)), (c, reported(cpu=50)), status=HELD
        )
        assert found.acts == ()
        assert enforced(found).reason == "LimitsInForce"
        assert status_after(found, LATER).hold == HELD.hold
        assert within_budget(found).reason == "CpuOverBudget"

    def test_a_new_controller_goes_on_from_the_status(self) -> None:
        """The hold was noted, and the controller died before it sent the resizes."""
        a, b, c = agents("a", "b", "c")
        found = plan(
            *((pod, reported(cpu=used)) for pod, used in ((a, 500), (b, 400), (c, 50))),
            status=HELD,
            clock=Clock(),
        )
        assert {each.pod.name: each.rule for each in found.acts} == {
            "a": Rule.CPU_SIZED_DOWN,
            "b": Rule.CPU_SIZED_DOWN,
        }
        assert status_after(found).hold == HELD.hold

    def test_it_is_given_back_by_resize(self) -> None:
        a, b = agents("a", "b", limit=260)
        found = plan((a, reported(260, cpu=10)), (b, reported(260, cpu=10)), status=HELD)
        assert [each.rule for each in found.acts] == [Rule.CPU_GIVEN_BACK] * 2
        assert found.acts[0].change == {"agent": res(500, 128, 50, 32)}
        after = status_after(found, LATER)
        assert after.phase is Phase.RECOVERING
        assert after.hold is not None
        assert (after.hold.containers, after.hold.new_limit) == ((), "500m")

    def test_in_the_end_nothing_is_left(self) -> None:
        a, b = agents("a", "b", limit=260)
        on_trial = status_after(plan((a, reported(260, cpu=10)), (b, reported(260, cpu=10)), status=HELD))
        a, b = agents("a", "b")
        after = status_after(plan((a, reported(cpu=10)), (b, reported(cpu=10)), status=on_trial))
        assert (after.hold, after.phase) == (None, Phase.NORMAL)

    def test_renewing_moves_only_the_expiry(self) -> None:
        a, b = agents("a", "b", limit=260)
        found = plan(
            (a, reported(260, cpu=260)),
            (b, reported(260, cpu=260)),
            status=HELD,
            clock=Clock(left_seconds=5),
        )
        assert HELD.hold is not None
        assert status_after(found, NOW, LATER).hold == HELD.hold.model_copy(update={"expires": LATER})

    def test_without_reports_it_expires(self) -> None:
        a, b = agents("a", "b", limit=260)
        used = ((a, reported(260, cpu=260)), (b, reported(260, cpu=260)))
        silent = plan(*used, status=HELD, age_seconds=1000, clock=replace(LONG_AGO, left_seconds=5))
        assert (silent.acts, status_after(silent, NOW, LATER).hold) == ((), HELD.hold)
        expired = plan(*used, status=HELD, age_seconds=1000, clock=replace(LONG_AGO, left_seconds=-1))
        assert [each.change for each in expired.acts] == [{"agent": IN_FORCE}] * 2

    def test_without_the_budget_it_ends(self) -> None:
        (a,) = agents("a", limit=260)
        found = plan((a, reported(260, cpu=260)), status=HELD, budget=Budget())
        assert found.acts[0].change == {"agent": IN_FORCE}
        after = status_after(found)
        assert (after.hold, after.phase) == (None, Phase.NORMAL)

    def test_a_hold_for_another_reason_is_not_the_budgets(self) -> None:
        assert HELD.hold is not None
        other = HELD.model_copy(update={"hold": HELD.hold.model_copy(update={"reason": "NoisyNeighbour"})})
        assert standing_of(other) is None
        (a,) = agents("a")
        assert status_after(plan((a, reported(cpu=10)), status=other)).hold is None, "nobody backs it"


@pytest.mark.parametrize(
    ("used", "status", "reason"),
    [(10, "True", "Held"), (None, "Unknown", "UsageUnknown"), (500, "False", "CpuOverBudget")],
)
def test_the_condition(used: int | None, status: str, reason: str) -> None:
    a, b = agents("a", "b")
    finding = within_budget(plan((a, reported(cpu=used)), (b, reported(cpu=used))))
    assert (finding.status, finding.reason) == (status, reason)
