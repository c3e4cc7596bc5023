"""The hold for a CPU budget among pods and in the TenantQuota's status.

The status holds all that a new controller needs to go on where the last one was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from tenantquota.api.status import HeldContainer, Hold, Phase, TenantQuotaStatus
from tenantquota.domain.cpu_budget import (
    GRAIN_MILLI,
    HEARD_SECONDS,
    Clock,
    Consumer,
    Key,
    Standing,
    Verdict,
    decide,
)
from tenantquota.domain.limits import decide_container
from tenantquota.domain.model import Container, Pod, QosClass, Quota
from tenantquota.domain.quantities import QuantityError, format_cpu, parse_cpu_milli
from tenantquota.domain.reports import NodeAccount
from tenantquota.domain.resizes import PodPlan, Rule

CPU_BUDGET: Final = "CpuOverBudget"
"""The ``reason`` of a hold, and of the condition WithinBudget while the tenant is over."""


def verdict_of(
    quota: Quota, pods: Iterable[tuple[Pod, NodeAccount | None]], before: Standing | None, clock: Clock
) -> Verdict | None:
    """What the quota's CPU budget comes to; None where it has none."""
    if quota.budget.cpu_milli is None:
        return None
    consumers = [
        _consumer(quota, pod, container, account, clock)
        for pod, account in pods
        for container in pod.containers
    ]
    return decide(quota.budget.cpu_milli, consumers, before, clock)


def _consumer(
    quota: Quota, pod: Pod, container: Container, account: NodeAccount | None, clock: Clock
) -> Consumer:
    decided = decide_container(pod.declared_of(container), quota.container, pod.qos)
    normal = decided.cpu_limit_milli or 0
    backed = account is not None and not account.stale
    found = account.of(pod, container.name) if account is not None and backed else None
    key = (pod.name, container.name)
    return Consumer(
        key,
        normal,
        floor_milli=_floor(pod, normal, decided.cpu_request_milli or 0),
        used_milli=found.cpu_milli if found else None,
        backed=backed,
        heard=account is not None and account.age_seconds <= HEARD_SECONDS,
        changed_seconds=clock.since_change(key),
    )


def _floor(pod: Pod, normal_milli: int, request_milli: int) -> int:
    """The request was set aside for the container, so it keeps it, and the limit has to stay above; only a
    Guaranteed pod's goes down with the limit."""
    if pod.static or pod.pod_level_resources or pod.qos is QosClass.BEST_EFFORT:
        return normal_milli
    above_request = (request_milli // GRAIN_MILLI + 1) * GRAIN_MILLI
    return min(normal_milli, GRAIN_MILLI if pod.qos is QosClass.GUARANTEED else above_request)


def caps_of(pod: Pod, caps: Mapping[Key, int]) -> dict[str, int]:
    """By container."""
    return {c.name: caps[key] for c in pod.containers if (key := (pod.name, c.name)) in caps}


def attribute(plan: PodPlan, verdict: Verdict | None, before: Mapping[Key, int]) -> PodPlan:
    """The plan with the budget as its rule, where that is why the pod is resized."""
    if verdict is None or plan.rule is not Rule.LIMITS_FOLLOW_QUOTA or not plan.change:
        return plan
    pod, now = plan.pod, caps_of(plan.pod, verdict.caps)
    was = caps_of(pod, before)
    asked = {c.name: c.spec.cpu_limit_milli or 0 for c in pod.containers}
    wanted = {name: resources.cpu_limit_milli or 0 for name, resources in plan.change.items()}
    if any(name in now and wanted[name] < asked[name] for name in wanted):
        why = verdict.standing.evidence if verdict.standing else ""
        return replace(plan, rule=Rule.CPU_SIZED_DOWN, message=why)
    if any((name in now or name in was) and wanted[name] > asked[name] for name in wanted):
        used, budget = format_cpu(verdict.used_milli), format_cpu(verdict.budget_milli)
        return replace(plan, rule=Rule.CPU_GIVEN_BACK, message=f"{used} used of a budget of {budget}")
    return plan


def standing_of(status: TenantQuotaStatus) -> Standing | None:
    """What the status says of a hold for the CPU budget; None where there is none that can be read."""
    hold = status.hold
    if hold is None or hold.reason != CPU_BUDGET:
        return None
    try:
        caps = {(each.pod, each.container): parse_cpu_milli(each.new_limit) for each in hold.containers}
    except QuantityError:
        return None
    recovering = status.phase is Phase.RECOVERING
    return Standing(caps, recovering, float(hold.give_back_after_seconds), hold.evidence)


def held_containers(caps: Mapping[Key, int], normal: Mapping[Key, int]) -> tuple[HeldContainer, ...]:
    """As the status names them, by pod and container.

    Args:
        normal: each one's limit without a hold.
    """
    return tuple(
        HeldContainer(
            pod=key[0], container=key[1], old_limit=format_cpu(normal[key]), new_limit=format_cpu(cap)
        )
        for key, cap in sorted(caps.items())
    )


def hold_of(
    verdict: Verdict | None, before: Hold | None, now: str, expires: str, other: Hold | None = None
) -> Hold | None:
    """What the status is to say of the hold.

    Args:
        before: what it says.
        now: RFC 3339, as ``expires``, which a hold gets that is new, changed or renewed.
        other: a hold for another reason. The budget's goes before, since it stands nowhere else.
    """
    standing = verdict.standing if verdict else None
    mine = before if before is not None and before.reason == CPU_BUDGET else None
    if verdict is None or standing is None:
        return other
    containers = held_containers(standing.caps, verdict.normal)
    old = [verdict.normal[key] for key in standing.caps] or [0]
    if mine is not None and not containers:
        old_limit = new_limit = mine.old_limit
    else:
        old_limit, new_limit = format_cpu(max(old)), format_cpu(min(standing.caps.values(), default=0))
    goes_on = mine is not None and not verdict.renew and mine.containers == containers
    return Hold(
        since=mine.since if mine else now,
        expires=mine.expires if mine is not None and goes_on else expires,
        reason=CPU_BUDGET,
        evidence=standing.evidence,
        old_limit=old_limit,
        new_limit=new_limit,
        give_back_after_seconds=int(standing.patience_seconds),
        containers=containers,
    )


def phase_of(verdict: Verdict | None, *, yields: bool = False) -> Phase:
    """
    Args:
        yields: on one of its nodes at least.
    """
    if yields:
        return Phase.THROTTLED
    if verdict is None or verdict.standing is None:
        return Phase.NORMAL
    return Phase.RECOVERING if verdict.standing.recovering else Phase.THROTTLED
