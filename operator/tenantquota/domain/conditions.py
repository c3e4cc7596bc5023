"""What a TenantQuota's status says of a plan, for people and machines."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from tenantquota.api.status import Condition, ConditionStatus, Decision, LeakStatus, TenantQuotaStatus
from tenantquota.domain.holds import phase_of
from tenantquota.domain.judgements import (
    NOT_REPORTED,
    USAGE_UNKNOWN,
    Finding,
    enforced,
    isolated,
    leak_free,
    ready,
    within_budget,
)
from tenantquota.domain.model import InvalidQuota
from tenantquota.domain.plan import QuotaPlan
from tenantquota.domain.resizes import State

DECISIONS_KEPT: Final = 10


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
    found = (ready(plan, problems), enforced(plan), isolated(plan), within_budget(plan), leak_free(plan))
    return TenantQuotaStatus(
        observed_generation=plan.quota.generation,
        tenant=plan.quota.tenant,
        phase=phase_of(plan.cpu, yields=bool(plan.yielding)),
        pods=len(plan.pods) + len(plan.overlaps),
        usage=plan.usage,
        hold=plan.hold(now, expires or now),
        leaks=leak_status_of(plan),
        decisions=(*before.decisions, *decisions)[-DECISIONS_KEPT:],
        conditions=conditions(found, before, plan.quota.generation, now),
    )


def leak_status_of(plan: QuotaPlan) -> LeakStatus | None:
    """What the status is to say of what is done about leaks."""
    contained, restart = plan.containment.held, plan.restarts.last
    return LeakStatus(contained=contained, restart=restart) if contained or restart else None


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


_ORDINARY: Final[Mapping[str, Collection[str]]] = {
    "Enforced": {State.RESIZING, State.AWAITING_REPORT, State.REPORT_STALE},
    "Isolated": {"NodeReportStale", "NoNodeAgent"},
    "WithinBudget": {USAGE_UNKNOWN},
    "LeakFree": {NOT_REPORTED},
}
