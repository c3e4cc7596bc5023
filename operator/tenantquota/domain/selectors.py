"""Which quota a pod belongs to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tenantquota.domain.labels import selects
from tenantquota.domain.model import FinishedPod, Pod, Quota

Claimed = TypeVar("Claimed", Pod, FinishedPod)


@dataclass(frozen=True, slots=True)
class Claims(Generic[Claimed]):
    """The pods of a namespace by the quotas that select them."""

    by_quota: Mapping[str, tuple[Claimed, ...]]
    """Quota's uid → its pods, those of an overlap left out."""
    overlaps: Mapping[str, tuple[tuple[Claimed, tuple[str, ...]], ...]]
    """Quota's uid → its pods that other quotas select too, with the names of those quotas."""
    free: tuple[Claimed, ...]
    """Pods that no quota selects."""


def claim(quotas: Sequence[Quota], pods: Iterable[Claimed]) -> Claims[Claimed]:
    """Whose each pod is. A pod that several enforcing quotas select is nobody's: which limits it should have
    is for a person to say, never guessed. A quota that only observes stands in nobody's way."""
    by_quota: dict[str, list[Claimed]] = {quota.uid: [] for quota in quotas}
    overlaps: dict[str, list[tuple[Claimed, tuple[str, ...]]]] = {quota.uid: [] for quota in quotas}
    free = []
    for pod in pods:
        claimants = [quota for quota in quotas if selects(quota.selector, pod.labels)]
        if not claimants:
            free.append(pod)
        for quota in claimants:
            others = [other for other in claimants if other is not quota]
            disputed = [other for other in others if other.enforces] if quota.enforces else others
            if disputed:
                overlaps[quota.uid].append((pod, tuple(sorted(other.name for other in disputed))))
            else:
                by_quota[quota.uid].append(pod)
    return Claims(
        {uid: tuple(claimed) for uid, claimed in by_quota.items()},
        {uid: tuple(disputed) for uid, disputed in overlaps.items()},
        tuple(free),
    )
