"""Whose a container is, by the node's pods and the TenantQuotas that select them.

By the quotas and not by the tenant label, which only admission and the controller keep true: quotas that
observe leave pods as they are, and on a pod that no quota selects the label is anybody's to write.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, NamedTuple

from tenantquota.api.names import GROUP, VERSION
from tenantquota.domain.findings import DEFAULTS, Thresholds
from tenantquota.domain.labels import Selector, holder_of, requirement
from tenantquota.domain.quantities import parse_cpu_milli, parse_memory_bytes
from tenantquota.node.containers import Owner
from tenantquota.node.informer import Index

PODS: Final = "/api/v1/pods"
QUOTAS: Final = f"/apis/{GROUP}/{VERSION}/tenantquotas"
_STATUSES: Final = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")

_ENDED: Final = ("Succeeded", "Failed")
RESIZING: Final = "PodResizeInProgress"


class Pod(NamedTuple):
    """What of a pod matters here."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    containers: Mapping[str, str]
    """Container id → name, of those that the kubelet has told of."""
    settled: bool
    """The kubelet has told of every container that is to run now."""
    cpu_request_milli: int = 0
    """Nothing once it has ended."""
    cpu_shown_milli: int = 0
    """What the kubelet shows as its request, from the weight that it has; nothing where it shows none."""
    memory_request_bytes: int = 0
    """The same of memory."""
    resizing: bool = False
    """The kubelet is about to change its resources, or has tried and will again."""
    started: frozenset[str] = frozenset()
    """Ids of the containers that run or have ended, by the kubelet's word."""

    @property
    def cpu_excess_milli(self) -> int:
        """What the kubelet shows it to request beyond what it does."""
        return max(0, self.cpu_shown_milli - self.cpu_request_milli)


class Quota(NamedTuple):
    """What of a TenantQuota matters here. A ``domain.labels.Claimant``."""

    namespace: str
    tenant: str
    selector: Selector | None
    enforces: bool
    weight: int = 100
    thresholds: Thresholds = DEFAULTS
    held: bool = False
    """Its status tells of a hold."""
    latency_sensitive: bool = False


def read_pod(manifest: Any) -> tuple[str, Pod]:
    """The pod's uid, and what matters of it.

    Raises:
        ValueError: it is no pod.
    """
    try:
        metadata, spec, status = manifest["metadata"], manifest["spec"], manifest.get("status", {})
        told = {
            of["containerID"].rpartition("//")[2]: of
            for statuses in _STATUSES
            for of in status.get(statuses) or ()
            if of.get("containerID")
        }
        ended = status.get("phase") in _ENDED
        labels = dict(metadata.get("labels") or {})
        pod = Pod(
            metadata["namespace"],
            metadata["name"],
            labels,
            {container_id: of["name"] for container_id, of in told.items()},
            _is_settled(spec, status),
            0 if ended else _requested(spec, "cpu", parse_cpu_milli),
            0 if ended else _shown_milli(status),
            0 if ended else _requested(spec, "memory", parse_memory_bytes),
            any(_is_resizing(of) for of in status.get("conditions") or ()),
            frozenset(container_id for container_id, of in told.items() if _has_started(of)),
        )
        return metadata["uid"], pod
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"not a pod: {error!r}") from error


def _requested(spec: Any, resource: str, parse: Callable[[str], int]) -> int:
    """What the kubelet takes for the pod's request, such as to make its CPU weight from: ``PodRequests`` in
    k8s.io/component-helpers resource. Init containers run one after the other beside the sidecars that were
    started before them."""

    def request(of: Any) -> int | None:
        declared = ((of.get("resources") or {}).get("requests") or {}).get(resource)
        return None if declared is None else parse(str(declared))

    if (whole := request(spec)) is not None:
        return whole
    sidecars = most = 0
    for container in spec.get("initContainers") or ():
        of_one = request(container) or 0
        if container.get("restartPolicy") == "Always":
            sidecars += of_one
            most = max(most, sidecars)
        else:
            most = max(most, sidecars + of_one)
    together = sidecars + sum(request(container) or 0 for container in spec["containers"])
    overhead = (spec.get("overhead") or {}).get(resource)
    return max(most, together) + (parse(str(overhead)) if overhead else 0)


def _shown_milli(status: Any) -> int:
    shown = ((status.get("resources") or {}).get("requests") or {}).get("cpu")
    return 0 if shown is None else parse_cpu_milli(str(shown))


def _is_resizing(condition: Any) -> bool:
    return (condition.get("type"), condition.get("status")) == (RESIZING, "True")


def _has_started(status: Any) -> bool:
    return not {"running", "terminated"}.isdisjoint(status.get("state") or {})


def _is_settled(spec: Any, status: Any) -> bool:
    states = {of["name"]: of.get("state") or {} for of in status.get("containerStatuses") or ()}
    restarts = spec.get("restartPolicy", "Always")
    return all(_is_final(states.get(of["name"], {}), restarts) for of in spec["containers"])


def _is_final(state: Any, restart_policy: str) -> bool:
    """The container runs, or has ended for good."""
    if "running" in state:
        return True
    ended = state.get("terminated")
    if ended is None or restart_policy == "Always":
        return False
    return restart_policy == "Never" or ended.get("exitCode") == 0


def read_quota(manifest: Any) -> tuple[str, Quota]:
    """The TenantQuota's uid, and what matters of it.

    Raises:
        ValueError: it is no TenantQuota.
    """
    try:
        metadata, spec = manifest["metadata"], manifest["spec"]
        namespace = metadata["namespace"]
        quota = Quota(
            namespace,
            spec.get("tenant") or namespace,
            _selector(spec.get("selector")),
            spec.get("enforcement", "Enforce") == "Enforce",
            int(spec.get("weight", 100)),
            _thresholds(spec.get("leaks") or {}),
            bool((manifest.get("status") or {}).get("hold")),
            bool(spec.get("latencySensitive", False)),
        )
        return metadata["uid"], quota
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"not a TenantQuota: {error!r}") from error


def _selector(manifest: Any) -> Selector | None:
    if manifest is None:
        return None
    return Selector(
        dict(manifest.get("matchLabels") or {}),
        tuple(
            requirement(each["key"], each["operator"], each.get("values") or ())
            for each in manifest.get("matchExpressions") or ()
        ),
    )


def _thresholds(leaks: Any) -> Thresholds:
    of = DEFAULTS
    return Thresholds(
        _bytes(leaks.get("memoryFastPerMinute"), of.memory_fast_bytes_per_minute),
        _bytes(leaks.get("memorySlowPerMinute"), of.memory_slow_bytes_per_minute),
        float(leaks.get("openFilesPerMinute", of.open_files_per_minute)),
        float(leaks.get("processesPerMinute", of.processes_per_minute)),
        float(leaks.get("cpuPercent", of.cpu_percent)),
        float(leaks.get("cpuSeconds", of.cpu_seconds)),
    )


def _bytes(quantity: str | int | None, default: float) -> float:
    return default if quantity is None else parse_memory_bytes(quantity)


class TenantsPods:
    """Joins pods and quotas; see ``containers.Owners``.

    Args:
        system_namespaces: where a quota holds nobody.
    """

    def __init__(
        self, pods: Index[Pod], quotas: Index[Quota], system_namespaces: Collection[str] = frozenset()
    ) -> None:
        self._pods = pods
        self._quotas = quotas
        self._system_namespaces = system_namespaces
        self._by_namespace: tuple[int, Mapping[str, list[Quota]]] = (-1, {})
        """And the quotas' revision that it was made from; one value, since two threads ask."""

    @property
    def complete(self) -> bool:
        """Whether all that says whose a container is was ever known."""
        return self._pods.complete and self._quotas.complete

    @property
    def revision(self) -> int:
        return self._pods.revision + self._quotas.revision

    def cpu_requested_milli(self) -> int:
        """By all pods of the node together, whoever's they are."""
        return sum(pod.cpu_request_milli for pod in self._pods.values())

    def cpu_excess_milli(self) -> int:
        """What the kubelet shows all these pods to request beyond what they do."""
        return sum(pod.cpu_excess_milli for pod in self._pods.values())

    def count(self) -> int:
        """How many of the pods are tenants'."""
        return sum(self._quota_of(pod) is not None for pod in self._pods.values())

    def owner_of(self, pod_uid: str, container_id: str) -> Owner | None:
        """A container that the kubelet has not told of yet is its pod's as long as another one is awaited
        there; afterwards what is left without a name is the pause container."""
        pod = self._pods.get(pod_uid)
        if pod is None:
            return None
        name = pod.containers.get(container_id)
        if name is None and pod.settled:
            return None
        quota = self._quota_of(pod)
        if quota is None:
            return None
        return Owner(
            quota.tenant,
            pod.namespace,
            pod.name,
            name or "",
            quota.weight,
            quota.enforces,
            pod.cpu_request_milli,
            quota.thresholds,
            quota.held,
            pod.memory_request_bytes,
            pod.resizing,
            container_id not in pod.started,
            quota.latency_sensitive,
            pod.cpu_excess_milli,
        )

    def _quota_of(self, pod: Pod) -> Quota | None:
        revision = self._quotas.revision  # of before a look at them: what comes meanwhile counts next time
        known, by_namespace = self._by_namespace
        if revision != known:
            grouped: dict[str, list[Quota]] = {}
            for quota in self._quotas.values():
                if quota.namespace not in self._system_namespaces:
                    grouped.setdefault(quota.namespace, []).append(quota)
            self._by_namespace = (revision, by_namespace := grouped)
        quotas = by_namespace.get(pod.namespace)
        return None if quotas is None else holder_of(quotas, pod.labels)
