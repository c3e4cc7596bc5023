from dataclasses import replace
from typing import Any

import pytest

from tenantquota.api.leaks import Kind
from tenantquota.api.stalls import Resource
from tenantquota.api.status import ConditionStatus, Decision, Phase, TenantQuotaStatus, Usage
from tenantquota.api.tenantquota import Leaks
from tenantquota.domain.conditions import status_of, transitions
from tenantquota.domain.judgements import enforced, isolated, leak_free, ready, within_budget
from tenantquota.domain.model import Budget, InvalidQuota, Pod, QosClass, Quota
from tenantquota.domain.plan import Observation, QuotaPlan, plan_namespace
from tenantquota.domain.reports import Harming, Reported, ReportedLeak, Yielding
from tenantquota.domain.resizes import plan_release, refusal
from tenantquota.domain.setbacks import setback_of
from tenantquota.domain.truth import Witness
from tests.unit.domain.builders import (
    MI,
    container,
    held,
    pod,
    quota,
    refused,
    report,
    reported,
    res,
)

IN_FORCE = res(500, 128, 50, 32)


def plan_of(of: Quota, *pods: Pod, **seen: object) -> QuotaPlan:
    setbacks = {p.uid: setback for p in pods if (setback := setback_of(p))}
    observation = Observation("acme", (of,), pods=pods, setbacks=setbacks, **seen)  # type: ignore[arg-type]
    return plan_namespace(observation).quotas[0]


def test_all_is_well() -> None:
    plan = plan_of(quota(), held(IN_FORCE))
    assert ready(plan, []).good
    finding = enforced(plan)
    assert (finding.good, finding.reason) == (True, "LimitsInForce")
    assert finding.message == (
        "1 of 1 running containers in 1 pods hold their limits, by the kubelet's account on n1, where no node"
        " agent reports"
    )


@pytest.mark.parametrize(
    ("of", "reason", "says"),
    [
        (pod(container(res()), qos=QosClass.BEST_EFFORT), "BestEffort", "p (declares no resources"),
        (pod(container(res(cpu_request=5))), "Resizing", "1 pods are being resized: p"),
        (
            refused(
                pod(container(IN_FORCE, res(500, 512, 50, 32)), declared={}, tenant="acme"), usage_mib=200
            ),
            "MemoryAboveLimit",
            "follows usage down",
        ),
        (pod(container(res()), static=True), "Static", "manifest file"),
    ],
)
def test_what_is_not_enforced_is_named_with_what_to_do(of: Pod, reason: str, says: str) -> None:
    finding = enforced(plan_of(quota(), of))
    assert (finding.good, finding.reason) == (False, reason)
    assert says in finding.message


def test_many_pods_are_counted_and_a_few_named() -> None:
    pods = [pod(container(res()), qos=QosClass.BEST_EFFORT, name=f"p{n}") for n in range(9)]
    message = enforced(plan_of(quota(), *pods)).message
    assert message.startswith("9 pods have no limits")
    assert message.endswith("and 6 more")


def test_observe_says_what_it_would_do() -> None:
    finding = enforced(
        plan_of(quota(observe=True), pod(container(res(cpu_request=5))), held(IN_FORCE, name="b"))
    )
    assert (finding.status, finding.reason) == ("Unknown", "Observing")
    assert "1 of 2 pods would be resized" in finding.message


def test_a_system_namespace_is_never_touched() -> None:
    plan = plan_of(quota(), pod(container(res(cpu_request=5))), system=True)
    assert plan.pods == ()
    assert ready(plan, []).reason == "SystemNamespace"


def test_an_overlap_names_the_other_quota() -> None:
    other = quota(name="other")
    plan = plan_namespace(Observation("acme", (quota(), other), pods=(held(IN_FORCE),))).quotas[0]
    finding = ready(plan, [])
    assert finding.reason == "SelectorsOverlap"
    assert "selected by other too" in finding.message


@pytest.mark.parametrize(
    ("of", "status", "reason"),
    [
        (quota(), "True", "NoBudget"),
        (quota(budget=Budget(memory_bytes=128 * MI)), "True", "HeldAtAdmission"),
        (quota(budget=Budget(memory_bytes=64 * MI)), "False", "OverBudget"),
        (quota(budget=Budget(cpu_milli=1000)), "Unknown", "UsageUnknown"),
        (quota(budget=Budget(pods=5), observe=True), "Unknown", "Observing"),
    ],
)
def test_budget(of: Quota, status: str, reason: str) -> None:
    finding = within_budget(plan_of(of, held(IN_FORCE)))
    assert (finding.status, finding.reason) == (status, reason)


def test_the_transition_time_moves_only_with_the_status() -> None:
    before = status_of(plan_of(quota(), held(IN_FORCE)), [], [], "2026-01-01T00:00:00Z")
    later = quota(status=before)
    same = status_of(plan_of(later, held(IN_FORCE)), [], [], "2026-01-02T00:00:00Z")
    assert same == before
    worse = status_of(plan_of(later, pod(container(res(cpu_request=5)))), [], [], "2026-01-03T00:00:00Z")
    times = {condition.type: condition.last_transition_time for condition in worse.conditions}
    assert times["Enforced"] == "2026-01-03T00:00:00Z"
    assert times["Ready"] == "2026-01-01T00:00:00Z"


def test_the_last_ten_decisions_are_kept() -> None:
    def decision(number: int) -> Decision:
        return Decision(time="t", rule="r", target=str(number), outcome="Applied", message="m")

    before = TenantQuotaStatus(decisions=tuple(decision(n) for n in range(9)))
    plan = plan_of(quota(status=before), held(IN_FORCE))
    after = status_of(plan, [], [decision(9), decision(10)], "t")
    assert [d.target for d in after.decisions] == [str(n) for n in range(1, 11)]
    assert (after.phase, after.pods, after.tenant) == (Phase.NORMAL, 1, "acme")


def test_people_hear_of_trouble_and_of_its_end_but_not_of_the_ordinary() -> None:
    def status(of: Pod, before: TenantQuotaStatus) -> TenantQuotaStatus:
        return status_of(plan_of(quota(status=before), of), [], [], "t")

    new = TenantQuotaStatus()
    well = status(held(IN_FORCE), new)
    assert transitions(new, well) == ()
    resizing = status(pod(container(res(cpu_request=5))), well)
    assert transitions(well, resizing) == ()
    stuck = status(pod(container(res()), qos=QosClass.BEST_EFFORT), resizing)
    assert [c.reason for c in transitions(resizing, stuck)] == ["BestEffort"]
    assert [c.reason for c in transitions(stuck, well)] == ["LimitsInForce"]


def test_the_quotas_of_a_namespace_with_an_unreadable_one_release_nobody() -> None:
    unreadable = InvalidQuota("acme", "x", "uid-x", 1, "spec.container: missing")
    seen = Observation("acme", pods=(held(IN_FORCE),), invalid=(unreadable,))
    assert plan_namespace(seen).releases == ()
    assert len(plan_namespace(replace(seen, invalid=())).releases) == 1


def test_a_pod_that_is_seen_as_it_was_gets_no_second_step() -> None:
    fresh = held(res(900, 128, 50, 32), declared={})
    seen = Observation("acme", (quota(),), pods=(fresh,), stale=frozenset({fresh.uid}))
    plan = plan_namespace(seen).quotas[0]
    assert (plan.acts, plan.pods[0].state) == ((), "Resizing")


def test_a_pod_whose_own_limits_are_refused_is_not_let_go_of() -> None:
    left = held(IN_FORCE, declared={"agent": res(2000, 1024)})
    refused_now = refusal(plan_release(left, None), "exceeded quota")
    seen = Observation("acme", pods=(left,), setbacks={left.uid: refused_now})
    assert plan_namespace(seen).releases == ()
    later = replace(seen, setbacks={left.uid: replace(refused_now, age_seconds=60)})
    assert len(plan_namespace(later).releases) == 1


class TestReports:
    """What the nodes' agents say of the cgroups."""

    agent = held(IN_FORCE)

    def plan(self, found: Reported | None = None, *, age_seconds: float = 1, **fields: Any) -> QuotaPlan:
        told = [(self.agent, found)] if found is not None else []
        witness = Witness(report(*told, age_seconds=age_seconds), acknowledged_seconds=60)
        return plan_of(quota(**fields), self.agent, witnesses={self.agent.uid: witness})

    def test_the_cgroups_hold_it(self) -> None:
        finding = enforced(self.plan(reported()))
        assert (finding.status, finding.reason) == ("True", "LimitsInForce")
        assert finding.message == "1 of 1 running containers in 1 pods hold their limits"

    def test_a_cgroup_that_differs_is_named_with_both_values(self) -> None:
        finding = enforced(self.plan(reported(900)))
        assert (finding.status, finding.reason) == ("False", "CgroupDiffers")
        assert "p (agent: cpu limit is 900m, not 500m)" in finding.message

    def test_a_container_that_is_not_reported_yet_is_not_known_to_be_held(self) -> None:
        finding = enforced(self.plan())
        assert (finding.status, finding.reason) == ("Unknown", "AwaitingReport")

    def test_a_stale_report_names_its_node(self) -> None:
        plan = self.plan(reported(), age_seconds=46)
        assert (enforced(plan).status, enforced(plan).reason) == ("Unknown", "NodeReportStale")
        finding = ready(plan, [])
        assert (finding.status, finding.reason) == ("False", "NodeReportStale")
        assert "n1 (last heard of at 2026-01-01T00:00:00Z)" in finding.message

    def test_one_missed_heartbeat_is_none(self) -> None:
        plan = self.plan(reported(), age_seconds=44)
        assert ready(plan, []).good
        assert enforced(plan).good

    def test_usage_is_shown(self) -> None:
        plan = self.plan(reported(cpu=123, memory=40))
        assert status_of(plan, [], [], "t").usage == Usage(cpu="120m", memory="40Mi")

    def test_usage_is_not_known_where_the_report_is_stale(self) -> None:
        before = TenantQuotaStatus(usage=Usage(cpu="120m", memory="40Mi"))
        plan = self.plan(reported(cpu=123, memory=40), age_seconds=46, status=before)
        assert status_of(plan, [], [], "t").usage is None

    def test_people_hear_of_a_stale_report_once_and_of_an_awaited_one_never(self) -> None:
        well = status_of(self.plan(reported()), [], [], "t")
        awaiting = status_of(self.plan(status=well), [], [], "t")
        assert transitions(well, awaiting) == ()
        assert transitions(awaiting, well) == ()
        stale = status_of(self.plan(reported(), age_seconds=46, status=well), [], [], "t")
        assert [(c.type, c.reason) for c in transitions(well, stale)] == [("Ready", "NodeReportStale")]
        assert [(c.type, c.status) for c in transitions(stale, well)] == [("Ready", "True")]


class TestIsolated:
    SINCE = "2026-01-01T00:00:00Z"

    def plan(self, *yielding: tuple[str, Yielding], **fields: Any) -> QuotaPlan:
        """Of the quota's only pod, with what the report of its node says of who yields."""
        of = held(IN_FORCE)
        account = report((of, reported()), yielding=dict(yielding), **fields)
        return plan_of(quota(), of, witnesses={of.uid: Witness(account)})

    def test_nobody_waits(self) -> None:
        finding = isolated(self.plan())
        assert (finding.good, finding.reason) == (True, "WithinShare")

    def test_the_culprit_is_told_whom_it_harms_and_how(self) -> None:
        plan = self.plan(("acme", Yielding(self.SINCE, ("beta",), "acme made beta wait 24 µs a dispatch")))
        finding = isolated(plan)
        assert (finding.good, finding.reason) == (False, "HarmsNeighbours")
        assert finding.message == f"acme made beta wait 24 µs a dispatch (since {self.SINCE})"
        assert status_of(plan, [], [], self.SINCE).phase is Phase.THROTTLED

    def test_stalls_are_told_beside_waits(self) -> None:
        stall = Harming("acme", Resource.IO, self.SINCE, "acme made gamma stall 400 ms/s for I/O")
        others = Harming("beta", Resource.IO, self.SINCE, "beta made acme stall")
        plan = self.plan(harming=(stall, others))
        assert isolated(plan).reason == "HarmsNeighbours"
        assert isolated(plan).message == f"acme made gamma stall 400 ms/s for I/O (since {self.SINCE})"
        assert status_of(plan, [], [], self.SINCE).phase is Phase.NORMAL, "nothing is held"

        wait = Yielding(self.SINCE, ("beta",), "acme made beta wait")
        both = isolated(self.plan(("acme", wait), harming=(stall,)))
        assert both.message == (
            f"acme made beta wait (since {self.SINCE}), acme made gamma stall 400 ms/s for I/O (since"
            f" {self.SINCE})"
        )

    def test_an_old_report_tells_of_no_stalls(self) -> None:
        stall = Harming("acme", Resource.IO, self.SINCE, "acme made gamma stall")
        assert isolated(self.plan(harming=(stall,), age_seconds=60)).reason == "NodeReportStale"

    def test_nothing_is_claimed_of_what_the_kernel_does_not_tell(self) -> None:
        assert isolated(self.plan()).message == "no neighbour waits because of these pods"
        silent = isolated(self.plan(pressure=False))
        assert silent.message == "no neighbour waits for a CPU because of these pods"
        assert silent.good

    def test_to_yield_harms_nobody(self) -> None:
        plan = self.plan(("acme", Yielding(self.SINCE, (), "acme is over its share of n1")))
        finding = isolated(plan)
        assert (finding.good, finding.reason) == (True, "Yields")
        assert status_of(plan, [], [], self.SINCE).phase is Phase.THROTTLED

    def test_that_another_one_yields_is_none_of_its_business(self) -> None:
        plan = self.plan(("beta", Yielding(self.SINCE, ("acme",), "beta made acme wait")))
        assert isolated(plan).reason == "WithinShare"
        assert status_of(plan, [], [], self.SINCE).phase is Phase.NORMAL

    def test_an_old_report_tells_nothing(self) -> None:
        harm = Yielding(self.SINCE, ("beta",), "acme made beta wait")
        plan = self.plan(("acme", harm), age_seconds=60)
        assert isolated(plan).reason == "NodeReportStale"
        assert status_of(plan, [], [], self.SINCE).phase is Phase.NORMAL

    def test_without_an_agent_nobody_knows(self) -> None:
        assert isolated(plan_of(quota(), held(IN_FORCE))).reason == "NoNodeAgent"

    def test_a_person_hears_of_the_harm_and_of_its_end(self) -> None:
        harm = Yielding(self.SINCE, ("beta",), "acme made beta wait")
        quiet = status_of(self.plan(), [], [], self.SINCE)
        loud = status_of(self.plan(("acme", harm)), [], [], self.SINCE)
        assert [each.reason for each in transitions(quiet, loud)] == ["HarmsNeighbours"]
        assert [each.reason for each in transitions(loud, quiet)] == ["WithinShare"]


class TestLeakFree:
    def leaking(self, *leaks: ReportedLeak, **of: Any) -> QuotaPlan:
        p = held(IN_FORCE)
        account = report((p, reported()), **of)
        account = replace(account, report=replace(account.report, leaks=leaks))
        return plan_of(quota(), p, witnesses={p.uid: Witness(account)})

    def leak(
        self, kind: Kind = Kind.MEMORY_FAST, uid: str = "uid-p", limit_at: str | None = None
    ) -> ReportedLeak:
        return ReportedLeak(uid, "agent", kind, "2026-01-01T00:00:00Z", limit_at, "memory went up")

    def test_nothing_leaks(self) -> None:
        finding = leak_free(self.leaking(self.leak(uid="somebody else")))
        assert (finding.status, finding.reason) == (ConditionStatus.TRUE, "NoLeak")

    def test_a_leak_is_told_with_what_to_do(self) -> None:
        finding = leak_free(self.leaking(self.leak(limit_at="2026-01-01T00:07Z")))
        assert (finding.status, finding.reason) == (ConditionStatus.FALSE, "LeakFound")
        assert finding.message == (
            "p (agent), since 2026-01-01T00:00:00Z: memory went up; its memory limit will be hit at about"
            " 2026-01-01T00:07Z. Mend or restart it; if this is how it works, raise"
            " spec.leaks.memoryFastPerMinute"
        )

    @pytest.mark.parametrize("kind", list(Kind))
    def test_names_a_threshold_that_there_is(self, kind: Kind) -> None:
        message = leak_free(self.leaking(self.leak(kind))).message
        field = message.rpartition("spec.leaks.")[2]
        assert field in Leaks.model_json_schema(by_alias=True)["properties"]

    def test_where_nobody_reports_nothing_is_known(self) -> None:
        stale, unreported = self.leaking(self.leak(), age_seconds=100.0), plan_of(quota(), held(IN_FORCE))
        for plan in (stale, unreported):
            finding = leak_free(plan)
            assert (finding.status, finding.reason) == (ConditionStatus.UNKNOWN, "NotReported")
            assert "n1" in finding.message

    def test_people_hear_of_a_leak_and_of_its_end_but_not_of_a_missing_agent(self) -> None:
        def status(plan: QuotaPlan, before: TenantQuotaStatus) -> TenantQuotaStatus:
            return status_of(replace(plan, quota=replace(plan.quota, status=before)), (), (), "t")

        unknown = status(plan_of(quota(), held(IN_FORCE)), TenantQuotaStatus())
        leaks = status(self.leaking(self.leak()), unknown)
        over = status(self.leaking(), leaks)
        assert [c.reason for c in transitions(TenantQuotaStatus(), unknown)] == []
        assert [c.reason for c in transitions(unknown, leaks)] == ["LeakFound"]
        assert [c.reason for c in transitions(leaks, over)] == ["NoLeak"]
