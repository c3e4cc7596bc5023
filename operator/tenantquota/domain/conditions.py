"""What a TenantQuota's status says of a plan, for people and machines.

Each condition is a chain of small findings, the gravest first; the first that speaks decides.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tenantquota.api.leaks import Kind
from tenantquota.api.tenantquota import (
    Condition,
    ConditionStatus,
    Decision,
    Phase,
    TenantQuotaStatus,
)
from tenantquota.domain.budgets import hard_of, not_held, over_budget
from tenantquota.domain.model import InvalidQuota, Pod
from tenantquota.domain.plan import QuotaPlan
from tenantquota.domain.reports import ReportedLeak
from tenantquota.domain.resizes import PodPlan, State, holds

DECISIONS_KEPT: Final = 10
NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition's status, reason and message, without the times."""

    type: str
    status: ConditionStatus
    reason: str
    message: str

    @property
    def good(self) -> bool:
        return self.status is ConditionStatus.TRUE


def status_of(
    plan: QuotaPlan, problems: Sequence[str], decisions: Sequence[Decision], now: str
) -> TenantQuotaStatus:
    """The status after a reconcile at ``now`` (RFC 3339), ``problems`` being what the API server refused and
    ``decisions`` what was decided in it."""
    before = plan.quota.status
    found = (ready(plan, problems), enforced(plan), within_budget(plan), leak_free(plan))
    return TenantQuotaStatus(
        observed_generation=plan.quota.generation,
        tenant=plan.quota.tenant,
        phase=Phase.NORMAL,
        pods=len(plan.pods) + len(plan.overlaps),
        usage=plan.usage,
        hold=before.hold,
        decisions=(*before.decisions, *decisions)[-DECISIONS_KEPT:],
        conditions=conditions(found, before, plan.quota.generation, now),
    )


def status_of_invalid(quota: InvalidQuota, now: str) -> TenantQuotaStatus:
    found = Finding(
        "Ready",
        ConditionStatus.FALSE,
        "InvalidSpec",
        f"the spec can't be read, so nothing is changed: {quota.problem}",
    )
    return quota.status.model_copy(
        update={
            "observed_generation": quota.generation,
            "conditions": conditions((found,), quota.status, quota.generation, now),
        }
    )


def conditions(
    found: Iterable[Finding], before: TenantQuotaStatus, generation: int, now: str
) -> tuple[Condition, ...]:
    """Kubernetes' conditions: the transition time moves only when the status does."""
    old = {condition.type: condition for condition in before.conditions}
    return tuple(
        Condition(
            type=finding.type,
            status=finding.status,
            reason=finding.reason,
            message=finding.message,
            observed_generation=generation,
            last_transition_time=(
                old[finding.type].last_transition_time
                if finding.type in old and old[finding.type].status == finding.status
                else now
            ),
        )
        for finding in found
    )


def transitions(before: TenantQuotaStatus, after: TenantQuotaStatus) -> tuple[Condition, ...]:
    """The conditions that a person should hear of: trouble with a new reason, and the end of trouble. That a
    resize is under way is said by the decision that began it, and that a report is stale by Ready."""
    old = {condition.type: condition for condition in before.conditions}

    def new(now: Condition) -> bool:
        was = old.get(now.type)
        if now.status is ConditionStatus.TRUE:
            return was is not None and was.status is not now.status and not ordinary(was)
        return not ordinary(now) and (was is None or was.reason != now.reason)

    def ordinary(of: Condition) -> bool:
        if of.type == "LeakFree":
            return of.status is ConditionStatus.UNKNOWN
        return of.type == "Enforced" and of.reason in _ORDINARY

    return tuple(condition for condition in after.conditions if new(condition))


def ready(plan: QuotaPlan, problems: Sequence[str]) -> Finding:
    """Ready: the operator understands the quota and can act on it."""

    def no(reason: str, message: str) -> Finding:
        return Finding("Ready", ConditionStatus.FALSE, reason, message)

    if plan.system:
        return no("SystemNamespace", "pods of system namespaces are never changed: delete this quota")
    if plan.overlaps:
        pods = _names(pod.name for pod, _ in plan.overlaps)
        others = ", ".join(sorted({name for _, names in plan.overlaps for name in names}))
        return no(
            "SelectorsOverlap",
            f"{len(plan.overlaps)} pods are selected by {others} too, so their limits are left as they are:"
            f" {pods}. Make the selectors disjoint",
        )
    if problems:
        return no("RequestsRefused", _names(problems))
    if plan.stale:
        nodes = _names(
            f"{each.report.node} (last heard of at {each.report.heartbeat})" for each in plan.stale
        )
        return no(
            "NodeReportStale",
            f"the node agent no longer reports from {nodes}, so what the cgroups there hold is not known: see"
            " why its pod on that node doesn't run",
        )
    return Finding("Ready", ConditionStatus.TRUE, "Reconciled", "the quota is understood and acted on")


_Say = Callable[[int, str], str]
# The gravest first: what only a person can mend, then what takes time, then what is under way.
_UNENFORCED: Final[tuple[tuple[State, _Say], ...]] = (
    (State.BEST_EFFORT, lambda n, pods: f"{n} pods have no limits and can't get any while they run: {pods}"),
    (State.STATIC, lambda n, pods: f"{n} static pods are not held: {pods}"),
    (State.POD_LEVEL, lambda n, pods: f"{n} pods are not held: {pods}"),
    (State.REFUSED, lambda n, pods: f"the API server refuses the resize of {n} pods: {pods}"),
    (State.CGROUP_DIFFERS, lambda n, pods: f"the cgroups of {n} pods hold other limits: {pods}"),
    (
        State.STEPPING_DOWN,
        lambda n, pods: (
            f"{n} pods use more memory than their limit is to be; the limit follows usage down: {pods}"
        ),
    ),
    (State.CHANGE, lambda n, pods: f"{n} pods are being resized: {pods}"),
    (State.RESIZING, lambda n, pods: f"{n} pods are being resized: {pods}"),
)
_REASONS: Final = {State.CHANGE: State.RESIZING.value}
_UNKNOWN: Final[tuple[tuple[State, _Say], ...]] = (
    (
        State.REPORT_STALE,
        lambda n, pods: (
            f"the cgroups of {n} pods are not known, since the report of their node is old: {pods}"
        ),
    ),
    (
        State.AWAITING_REPORT,
        lambda n, pods: f"the next report of the node is awaited for {n} pods: {pods}",
    ),
)
_ORDINARY: Final = {State.RESIZING, State.AWAITING_REPORT, State.REPORT_STALE}


def enforced(plan: QuotaPlan) -> Finding:
    """Enforced: every container's cgroup holds the decided limits, as the agent of its node reports it; on a
    node without an agent, as the kubelet says."""
    if plan.system or not plan.quota.enforces:
        would = sum(1 for pod in plan.pods if pod.change)
        message = (
            f"enforcement is Observe: nothing is changed; {would} of {len(plan.pods)} pods would be resized"
        )
        return Finding("Enforced", ConditionStatus.UNKNOWN, "Observing", message)
    by_state = Counter(pod.state for pod in plan.pods)
    for state, say in _UNENFORCED:
        if number := by_state[state]:
            message = say(number, _pods(plan.pods, state))
            return Finding("Enforced", ConditionStatus.FALSE, _REASONS.get(state, state.value), message)
    for state, say in _UNKNOWN:
        if number := by_state[state]:
            message = say(number, _pods(plan.pods, state))
            return Finding("Enforced", ConditionStatus.UNKNOWN, state.value, message)
    held, all_of = held_containers(plan)
    message = f"{held} of {all_of} running containers in {len(plan.pods)} pods hold their limits"
    if plan.unreported:
        message += f", by the kubelet's account on {_names(plan.unreported)}, where no node agent reports"
    if number := by_state[State.NO_CAPACITY]:
        message += f"; requests of {number} pods wait for room: {_pods(plan.pods, State.NO_CAPACITY)}"
        return Finding("Enforced", ConditionStatus.TRUE, "RequestsWaitForCapacity", message)
    return Finding("Enforced", ConditionStatus.TRUE, "LimitsInForce", message)


def held_containers(plan: QuotaPlan) -> tuple[int, int]:
    """How many running containers hold the decided limits, and how many run."""
    running = [
        (c, pod.decided[c.name]) for pod in plan.pods for c in pod.pod.containers if c.actual is not None
    ]
    return sum(1 for container, decided in running if holds(container, decided)), len(running)


def within_budget(plan: QuotaPlan) -> Finding:
    """WithinBudget: all agents together stay within ``spec.budget``, and something sees to it."""
    quota, pods = plan.quota, [pod.pod for pod in plan.pods]
    budget = quota.budget
    if budget.cpu_milli is budget.memory_bytes is budget.pods is None:
        return Finding("WithinBudget", ConditionStatus.TRUE, "NoBudget", "spec.budget sets no bounds")
    if over := over_budget(quota, pods):
        hint = "; no further pods are admitted" if hard_of(quota, ()) else ""
        return Finding("WithinBudget", ConditionStatus.FALSE, "OverBudget", "; ".join(over) + hint)
    if unheld := not_held(quota):
        return Finding("WithinBudget", ConditionStatus.UNKNOWN, "NotHeld", "; ".join(unheld))
    if not quota.enforces:
        return Finding("WithinBudget", ConditionStatus.UNKNOWN, "Observing", "enforcement is Observe")
    return Finding(
        "WithinBudget", ConditionStatus.TRUE, "HeldAtAdmission", "a ResourceQuota holds the budget"
    )


_WORK: Final = {
    Kind.MEMORY_FAST: "memoryFastPerMinute",
    Kind.MEMORY_SLOW: "memorySlowPerMinute",
    Kind.OPEN_FILES: "openFilesPerMinute",
    Kind.PROCESSES: "processesPerMinute",
    Kind.CPU: "cpuSeconds",
}
"""What to raise where a finding is work after all."""


def leak_free(plan: QuotaPlan) -> Finding:
    """LeakFree: none of the tenant's containers is seen to leak or to run away."""
    if plan.leaks:
        leaks = _names(_leak(pod, leak) for pod, leak in plan.leaks)
        raise_ = " or ".join(sorted({f"spec.leaks.{_WORK[leak.kind]}" for _, leak in plan.leaks}))
        return Finding(
            "LeakFree",
            ConditionStatus.FALSE,
            "LeakFound",
            f"{leaks}. Mend or restart it; if this is how it works, raise {raise_}",
        )
    blind = sorted({account.report.node for account in plan.stale} | set(plan.unreported))
    if blind:
        return Finding(
            "LeakFree",
            ConditionStatus.UNKNOWN,
            "NotReported",
            f"nothing is known of leaks on {_names(blind)}, from where no node agent reports",
        )
    return Finding("LeakFree", ConditionStatus.TRUE, "NoLeak", "no container is seen to leak or to run away")


def _leak(pod: Pod, leak: ReportedLeak) -> str:
    hit = f"; its memory limit will be hit at about {leak.limit_at}" if leak.limit_at else ""
    return f"{pod.name} ({leak.container}), since {leak.since}: {leak.evidence}{hit}"


def _pods(plans: Sequence[PodPlan], state: State) -> str:
    return _names(
        f"{plan.pod.name} ({plan.message})" if plan.message else plan.pod.name
        for plan in plans
        if plan.state is state
    )


def _names(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - NAMES_SHOWN
    return ", ".join(ordered[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
