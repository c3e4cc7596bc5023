"""From everything that is known of a namespace to everything that has to be done there."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tenantquota.domain.budgets import BudgetChange, OwnedResourceQuota, plan_budgets
from tenantquota.domain.model import InvalidQuota, Pod, Quota
from tenantquota.domain.resizes import PodPlan, Setback, State, plan_pod, plan_release
from tenantquota.domain.selectors import claim


@dataclass(frozen=True, slots=True)
class Observation:
    """A namespace as the API server shows it, and what the controller remembers of it."""

    namespace: str
    quotas: tuple[Quota, ...] = ()
    invalid: tuple[InvalidQuota, ...] = ()
    pods: tuple[Pod, ...] = ()
    resource_quotas: tuple[OwnedResourceQuota, ...] = ()
    setbacks: Mapping[str, Setback] = field(default_factory=dict)
    """Pod's uid → the resize that didn't go through lately."""
    stale: frozenset[str] = frozenset()
    """Uids of pods that don't show yet what was last written to them."""
    system: bool = False


@dataclass(frozen=True, slots=True)
class QuotaPlan:
    """What one quota's pods need."""

    quota: Quota
    pods: tuple[PodPlan, ...] = ()
    overlaps: tuple[tuple[Pod, tuple[str, ...]], ...] = ()
    system: bool = False

    @property
    def acts(self) -> tuple[PodPlan, ...]:
        """The plans with something to do."""
        return tuple(plan for plan in self.pods if plan.change or plan.adopt)


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    quotas: tuple[QuotaPlan, ...] = ()
    releases: tuple[PodPlan, ...] = ()
    """Pods that a quota held and none selects any more."""
    budgets: tuple[BudgetChange, ...] = ()


def plan_namespace(seen: Observation) -> NamespacePlan:
    """What has to be done in a namespace. A quota in a system namespace does nothing."""
    if seen.system:
        return NamespacePlan(tuple(QuotaPlan(quota, system=True) for quota in seen.quotas))
    claims = claim(seen.quotas, seen.pods)
    quotas = tuple(
        QuotaPlan(
            quota,
            tuple(
                _awaited(plan_pod(pod, quota, seen.setbacks.get(pod.uid)), seen.stale)
                for pod in claims.by_quota[quota.uid]
            ),
            claims.overlaps[quota.uid],
        )
        for quota in seen.quotas
    )
    # Whom a quota selects that can't be read, nobody knows: while there is one, nothing is given back.
    if seen.invalid:
        return NamespacePlan(quotas)
    budgets = plan_budgets(((plan.quota, plan.pods) for plan in quotas), seen.resource_quotas)
    left = (pod for pod in claims.free if pod.held and pod.uid not in seen.stale)
    releases = (plan_release(pod, seen.setbacks.get(pod.uid)) for pod in left)
    to_do = tuple(plan for plan in releases if plan.change or plan.state is not State.REFUSED)
    return NamespacePlan(quotas, to_do, budgets)


def _awaited(plan: PodPlan, stale: frozenset[str]) -> PodPlan:
    """On a pod that is seen as it was before the last step, the next one isn't decided."""
    if plan.pod.uid not in stale:
        return plan
    return replace(plan, state=State.RESIZING, change=None, adopt=False, message="")
