"""``spec.budget.memory`` and ``.pods``: what all agents of a tenant may use together; ``cpu_budget`` has CPU.

Memory and pods are held by a ResourceQuota that the TenantQuota owns: the API server checks it at admission,
without races. A ResourceQuota counts every pod of its namespace, so it says the same as the budget only where
the quota selects every pod.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tenantquota.domain.model import Pod, Quota
from tenantquota.domain.quantities import format_memory
from tenantquota.domain.resizes import PodPlan


@dataclass(frozen=True, slots=True)
class OwnedResourceQuota:
    """A ResourceQuota that a TenantQuota owns, as the API server holds it."""

    name: str
    owner_uid: str
    hard: Mapping[str, int]
    """``limits.memory`` in bytes, ``pods`` as a number."""
    in_force: Mapping[str, int] = field(default_factory=dict)
    """``status.hard``: what the API server admits by."""


@dataclass(frozen=True, slots=True)
class BudgetChange:
    """A ResourceQuota to write, or to delete where ``hard`` is empty."""

    name: str
    hard: Mapping[str, int]
    quota: Quota | None = None


def resource_quota_name(quota: Quota) -> str:
    return f"tenantquota-{quota.name}"


def hard_of(quota: Quota, pods: Sequence[PodPlan], reserved_bytes: int = 0) -> dict[str, int]:
    """What the ResourceQuota of a quota has to hold; empty where there is nothing to hold or no way to.

    Args:
        reserved_bytes: of budget.memory, what is kept for limits that are lowered for a while and come back.

    Memory waits until every pod that can have a limit has one: the first limit of a pod counts as new memory
    to a ResourceQuota, which would refuse it where the pods that are there pass the budget already.
    """
    if not (quota.enforces and quota.covers_namespace):
        return {}
    settled = not any(_gets_first_limit(plan) for plan in pods)
    memory = quota.budget.memory_bytes if settled else None
    wanted = {
        "limits.memory": None if memory is None else max(0, memory - reserved_bytes),
        "pods": quota.budget.pods,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _gets_first_limit(plan: PodPlan) -> bool:
    return plan.change is not None and any(c.spec.memory_limit_bytes is None for c in plan.pod.containers)


def plan_budgets(
    pods_of: Iterable[tuple[Quota, Sequence[PodPlan], int]], owned: Iterable[OwnedResourceQuota]
) -> tuple[BudgetChange, ...]:
    """What has to change so that exactly the ResourceQuotas of ``hard_of`` are there.

    Args:
        pods_of: the arguments of ``hard_of``.
    """
    wanted = {
        resource_quota_name(quota): (quota, hard)
        for quota, pods, reserved_bytes in pods_of
        if (hard := hard_of(quota, pods, reserved_bytes))
    }
    there = {resource_quota.name: resource_quota for resource_quota in owned}
    writes = [
        BudgetChange(name, hard, quota)
        for name, (quota, hard) in wanted.items()
        if name not in there or dict(there[name].hard) != hard or there[name].owner_uid != quota.uid
    ]
    return (*writes, *(BudgetChange(name, {}) for name in there if name not in wanted))


def has_room(quota: Quota, owned: Iterable[OwnedResourceQuota], reserved_bytes: int) -> bool:
    """Whether the API server knows already that the ResourceQuota of a quota keeps no more than this: it
    admits by the ResourceQuota's status, which follows its spec a moment later."""
    mine = next((each for each in owned if each.name == resource_quota_name(quota)), None)
    wanted = hard_of(quota, (), reserved_bytes).get("limits.memory")
    in_force = mine.in_force.get("limits.memory") if mine else None
    return wanted is None or in_force is None or in_force >= wanted


def not_held(budget_of: Quota) -> list[str]:
    """The parts of the budget that nothing holds, each with why, for people."""
    budget = budget_of.budget
    said = []
    by_resource_quota = [
        name for name, value in (("memory", budget.memory_bytes), ("pods", budget.pods)) if value is not None
    ]
    if by_resource_quota and not budget_of.covers_namespace:
        names = " and ".join(f"budget.{name}" for name in by_resource_quota)
        said.append(
            f"{names} can't be held: a ResourceQuota counts every pod of the namespace, and spec.selector"
            " selects only some; give the tenant a namespace of its own and leave spec.selector out"
        )
    return said


def over_budget(quota: Quota, pods: Sequence[Pod]) -> list[str]:
    """Where the pods that are there pass the budget already, each with the figures, for people."""
    budget = quota.budget
    limits = sum(c.spec.memory_limit_bytes or 0 for pod in pods for c in pod.containers)
    said = []
    if budget.memory_bytes is not None and limits > budget.memory_bytes:
        said.append(
            f"memory limits add up to {format_memory(limits)}, over budget.memory of"
            f" {format_memory(budget.memory_bytes)}"
        )
    if budget.pods is not None and len(pods) > budget.pods:
        said.append(f"{len(pods)} pods, over budget.pods of {budget.pods}")
    return said
