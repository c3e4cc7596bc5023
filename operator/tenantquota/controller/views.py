"""What the watches have seen, by namespace or node. Filled by Kopf's indices, never written here."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from tenantquota.domain.budgets import OwnedResourceQuota
from tenantquota.domain.model import FinishedPod, InvalidQuota, Pod, Quota
from tenantquota.domain.reports import NodeReport


@dataclass(frozen=True, slots=True)
class Views:
    pods: Mapping[str, Collection[Pod]]
    quotas: Mapping[str, Collection[Quota | InvalidQuota]]
    resource_quotas: Mapping[str, Collection[OwnedResourceQuota]]
    reports: Mapping[str, Collection[NodeReport]]
    finished: Mapping[str, Collection[FinishedPod]] = field(default_factory=dict)

    def concerned(self) -> Iterator[str]:
        """Namespaces in which there may be something to do: those with a quota or with pods that one held."""
        yield from self.quotas
        for namespace, pods in self.pods.items():
            if namespace not in self.quotas and any(pod.held for pod in pods):
                yield namespace

    def uids(self) -> Iterator[str]:
        for pods in self.pods.values():
            yield from (pod.uid for pod in pods)
        for finished in self.finished.values():
            yield from (pod.uid for pod in finished)
        for quotas in self.quotas.values():
            yield from (quota.uid for quota in quotas)
