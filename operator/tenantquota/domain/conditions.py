"""What a TenantQuota's status says of a plan, for people and machines.

Each condition is a chain of small findings, the gravest first; the first that speaks decides.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tenantquota.api.tenantquota import (
    Condition,
    ConditionStatus,
    Decision,
    TenantQuotaStatus,
)
from tenantquota.domain.budgets import hard_of, not_held, over_budget
from tenantquota.domain.cpu_budget import Verdict
from tenantquota.domain.holds import CPU_BUDGET, hold_of, phase_of
from tenantquota.domain.model import InvalidQuota
from tenantquota.domain.plan import QuotaPlan
from tenantquota.domain.quantities import format_cpu
from tenantquota.domain.resizes import PodPlan, State, holds

DECISIONS_KEPT: Final = 10
NAMES_SHOWN: Final = 3
USAGE_UNKNOWN: Final = "UsageUnknown"


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
    plan: QuotaPlan, problems: Sequence[str], decisions: Sequence[Decision], now: str, expires: str = ""
) -> TenantQuotaStatus:
    """The status after a reconcile.

    Args:
        problems: what the API server refused.
        decisions: what was decided in it.
        now: RFC 3339, as ``expires``, when a hold ends that begins or is renewed now.
    """
    before = plan.quota.status
    found = (ready(plan, problems), enforced(plan), isolated(plan), within_budget(plan))
    return TenantQuotaStatus(
        observed_generation=plan.quota.generation,
        tenant=plan.quota.tenant,
        phase=phase_of(plan.cpu, yields=bool(plan.yielding)),
        pods=len(plan.pods) + len(plan.overlaps),
        usage=plan.usage,
        hold=hold_of(plan.cpu, before.hold, now, expires or now),
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
    resize is under way is said by the decision that began it, that a report is stale by Ready, and the first
    report of a new pod is always awaited."""
    old = {condition.type: condition for condition in before.conditions}

    def new(now: Condition) -> bool:
        was = old.get(now.type)
        if now.status is ConditionStatus.TRUE:
            return was is not None and was.status is not now.status and not ordinary(was)
        return not ordinary(now) and (was is None or was.reason != now.reason)

    def ordinary(of: Condition) -> bool:
        return of.reason in _ORDINARY.get(of.type, ())

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
_ORDINARY: Final[Mapping[str, Collection[str]]] = {
    "Enforced": {State.RESIZING, State.AWAITING_REPORT, State.REPORT_STALE},
    "Isolated": {"NodeReportStale", "NoNodeAgent"},
    "WithinBudget": {USAGE_UNKNOWN},
}


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


def isolated(plan: QuotaPlan) -> Finding:
    """Isolated: no other tenant waits because of this one."""
    if harming := [each for _, each in plan.yielding if each.victims]:
        message = _names(f"{each.message} (since {each.since})" for each in harming)
        return Finding("Isolated", ConditionStatus.FALSE, "HarmsNeighbours", message)
    if plan.yielding:
        message = _names(f"{each.message} (since {each.since})" for _, each in plan.yielding)
        return Finding("Isolated", ConditionStatus.TRUE, "Yields", message)
    if plan.stale:
        nodes = _names(each.report.node for each in plan.stale)
        message = f"the node agent no longer reports from {nodes}"
        return Finding("Isolated", ConditionStatus.UNKNOWN, "NodeReportStale", message)
    if plan.unreported:
        message = f"no node agent reports from {_names(plan.unreported)}"
        return Finding("Isolated", ConditionStatus.UNKNOWN, "NoNodeAgent", message)
    return Finding(
        "Isolated", ConditionStatus.TRUE, "WithinShare", "no neighbour waits because of these pods"
    )


def within_budget(plan: QuotaPlan) -> Finding:
    """WithinBudget: all agents together stay within ``spec.budget``, and something sees to it."""
    status, reason, message = next(_of_budget(plan))
    return Finding("WithinBudget", status, reason, message)


def _of_budget(plan: QuotaPlan) -> Iterator[tuple[ConditionStatus, str, str]]:
    """What there is to say, the gravest first."""
    quota, budget, cpu = plan.quota, plan.quota.budget, plan.cpu
    if budget.cpu_milli is budget.memory_bytes is budget.pods is None:
        yield ConditionStatus.TRUE, "NoBudget", "spec.budget sets no bounds"
    if over := over_budget(quota, [pod.pod for pod in plan.pods]):
        hint = "; no further pods are admitted" if hard_of(quota, ()) else ""
        yield ConditionStatus.FALSE, "OverBudget", "; ".join(over) + hint
    if cpu is not None and (message := _cpu_over(cpu, enforces=quota.enforces)):
        yield ConditionStatus.FALSE, CPU_BUDGET, message
    if unheld := not_held(quota):
        yield ConditionStatus.UNKNOWN, "NotHeld", "; ".join(unheld)
    if not quota.enforces:
        yield ConditionStatus.UNKNOWN, "Observing", "enforcement is Observe"
    if cpu is None:
        yield ConditionStatus.TRUE, "HeldAtAdmission", "a ResourceQuota holds the budget"
    elif plan.pods and not cpu.known:
        yield ConditionStatus.UNKNOWN, USAGE_UNKNOWN, "no node agent reports yet what the pods use"
    elif cpu.caps:
        message = f"the CPU limits of {len(cpu.caps)} containers are being given back"
        yield ConditionStatus.TRUE, "CpuGivenBack", message
    else:
        yield ConditionStatus.TRUE, "Held", "all agents together use no more than the budget"


def _cpu_over(cpu: Verdict, *, enforces: bool) -> str:
    """What is said while the agents use more CPU than their budget, or are kept from it."""
    if cpu.standing is not None and not cpu.standing.recovering:
        lowered = "are lowered" if enforces else "would be lowered"
        limits, least = f"CPU limits of {len(cpu.caps)} containers", format_cpu(min(cpu.caps.values()))
        return f"{cpu.standing.evidence}; the {limits} {lowered}, down to {least}"
    if cpu.over:
        used, budget = format_cpu(cpu.used_milli), format_cpu(cpu.budget_milli)
        return f"{used} used of budget.cpu of {budget}; no limit can be lowered further just now"
    return ""


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
