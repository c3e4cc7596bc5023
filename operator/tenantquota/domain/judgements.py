"""What is the case with a quota, in the words of its conditions.

Each condition is a chain of small findings, the gravest first; the first that speaks decides.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tenantquota.api.leaks import Kind
from tenantquota.api.status import ConditionStatus
from tenantquota.domain.budgets import hard_of, not_held, over_budget
from tenantquota.domain.cpu_budget import Verdict
from tenantquota.domain.decisions import Outcome
from tenantquota.domain.holds import CPU_BUDGET
from tenantquota.domain.leak_holds import MEMORY
from tenantquota.domain.leak_restarts import BARE
from tenantquota.domain.model import Pod
from tenantquota.domain.plan import QuotaPlan
from tenantquota.domain.quantities import format_cpu, format_memory
from tenantquota.domain.reports import Harming, ReportedLeak, Yielding
from tenantquota.domain.resizes import PodPlan, State, holds

NAMES_SHOWN: Final = 3
NOT_REPORTED: Final = "NotReported"
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
    """Isolated: no other tenant waits because of this one. Of I/O and memory nothing is claimed where a
    node's kernel doesn't tell who stalls for them."""
    harming: list[Harming | Yielding] = [each for _, each in plan.yielding if each.victims]
    harming += plan.harming
    if harming:
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
    seen = all(account.report.pressure for account in plan.accounts.values())
    what = "waits" if seen else "waits for a CPU"
    message = f"no neighbour {what} because of these pods"
    return Finding("Isolated", ConditionStatus.TRUE, "WithinShare", message)


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
        leaks = _names(_leak(pod, leak, plan) for pod, leak in plan.leaks)
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
            NOT_REPORTED,
            f"nothing is known of leaks on {_names(blind)}, from where no node agent reports",
        )
    return Finding("LeakFree", ConditionStatus.TRUE, "NoLeak", "no container is seen to leak or to run away")


def _leak(pod: Pod, leak: ReportedLeak, plan: QuotaPlan) -> str:
    hit = f"; its memory limit will be hit at about {leak.limit_at}" if leak.limit_at else ""
    done = ""
    if leak.kind in MEMORY and (cap := plan.containment.caps.get((pod.uid, leak.container))):
        verb = "is" if plan.quota.enforces else "would be"
        done = f"; its memory limit {verb} lowered to {format_memory(cap)}"
    if (pod, leak) in plan.restarts.bare:
        done = f"; {BARE}"
    last = plan.restarts.last
    if last is not None and last.uid == pod.uid and last.outcome == Outcome.REFUSED:
        done = f"; its eviction is refused and tried again: {last.message}"
    return f"{pod.name} ({leak.container}), since {leak.since}: {leak.evidence}{hit}{done}"


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
