"""Decisions in words: what was changed, for whom, and what came of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tenantquota.api.enforcement import Enforcement
from tenantquota.api.status import Decision
from tenantquota.domain.limits import kept_limits
from tenantquota.domain.model import Container, Pod, Resources
from tenantquota.domain.quantities import format_cpu, format_memory
from tenantquota.domain.resizes import PodPlan


class Outcome(StrEnum):
    """What came of a step."""

    APPLIED = "Applied"
    """The API server took it; the kubelet carries it out."""
    REFUSED = "Refused"
    """The API server refuses it."""
    FAILED = "Failed"
    """The API server didn't answer; the next reconcile tries again."""
    GONE = "Gone"
    """The pod was deleted meanwhile."""
    SKIPPED = "Skipped"
    """Not done, for the reason that the message tells."""
    OBSERVED = "Observed"
    """Decided and recorded, not sent: enforcement is Observe."""


@dataclass(frozen=True, slots=True)
class Result:
    """One pod's plan and what came of it."""

    plan: PodPlan
    outcome: Outcome
    message: str = ""
    generation: int = 0
    """The pod's generation that the step wrote; 0 where it wrote none."""


def describe(pod: Pod, change: Mapping[str, Resources]) -> str:
    """Old and new values: ``cpu limit 500m → 1, memory limit none → 256Mi``. Named by container where the
    containers differ."""
    by_text: dict[str, list[str]] = defaultdict(list)
    for container in pod.containers:
        if container.name in change:
            by_text[_differences(container, change[container.name])].append(container.name)
    if len(by_text) == 1:
        return next(iter(by_text))
    return "; ".join(f"{', '.join(names)}: {text}" for text, names in by_text.items())


def _differences(container: Container, new: Resources) -> str:
    old = container.spec
    pairs = (
        ("cpu limit", _cpu(old.cpu_limit_milli), _cpu(new.cpu_limit_milli)),
        ("memory limit", _memory(old.memory_limit_bytes), _memory(new.memory_limit_bytes)),
        ("cpu request", _cpu(old.cpu_request_milli), _cpu(new.cpu_request_milli)),
        ("memory request", _memory(old.memory_request_bytes), _memory(new.memory_request_bytes)),
    )
    return ", ".join(f"{name} {before} → {after}" for name, before, after in pairs if before != after)


def _cpu(milli: int | None) -> str:
    return "none" if milli is None else format_cpu(milli)


def _memory(size_bytes: int | None) -> str:
    return "none" if size_bytes is None else format_memory(size_bytes)


def correlation_id(result: Result, now: str) -> str:
    """Of a step that wrote something ``UID-GENERATION``, which whoever reads the cgroup back knows too; else
    ``UID-GENERATION@TIME``."""
    pod = result.plan.pod
    return f"{pod.uid}-{result.generation}" if result.generation else f"{pod.uid}-{pod.generation}@{now}"


def summarise(results: Iterable[Result], now: str) -> tuple[Decision, ...]:
    """One decision for all pods to which the same was done."""
    groups: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        plan = result.plan
        if plan.change:
            groups[plan.rule, result.outcome, _text(result)].append(result)
    return tuple(
        Decision(
            time=now,
            rule=rule,
            target=f"pod {of[0].plan.pod.name}" if len(of) == 1 else f"{len(of)} pods",
            outcome=outcome,
            message=text,
            mode=Enforcement.OBSERVE if outcome == Outcome.OBSERVED else Enforcement.ENFORCE,
            correlation_id=correlation_id(of[0], now),
        )
        for (rule, outcome, text), of in groups.items()
    )


def _text(result: Result) -> str:
    plan, why = result.plan, result.message or result.plan.message
    return describe(plan.pod, plan.change or {}) + (f" ({why})" if why else "")


def belongs(result: Result, decisions: Iterable[Decision]) -> bool:
    """Whether one of the decisions is about this result."""
    rule, outcome, text = result.plan.rule, result.outcome, _text(result)
    return any((each.rule, each.outcome, each.message) == (rule, outcome, text) for each in decisions)


def news(decisions: Iterable[Decision], before: Iterable[Decision]) -> tuple[Decision, ...]:
    """The decisions without those that only repeat what was refused, or would be done, before."""
    known = {(old.rule, old.target, old.outcome, old.message) for old in before}
    return tuple(
        decision
        for decision in decisions
        if decision.outcome == Outcome.APPLIED
        or (decision.rule, decision.target, decision.outcome, decision.message) not in known
    )


def farewell(plan: PodPlan) -> str:
    """What a pod is told when no quota holds it any more."""
    back = describe(plan.pod, plan.change) if plan.change else "nothing to give back"
    kept = kept_limits(plan.pod)
    if not kept:
        return f"no quota selects the pod any more: {back}"
    return (
        f"no quota selects the pod any more: {back}; {' and '.join(kept)} limits that it doesn't declare"
        " stay, since Kubernetes lets nobody remove a limit from a running pod: recreate it to be rid of them"
    )
