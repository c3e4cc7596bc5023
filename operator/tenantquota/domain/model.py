"""What decisions are made from: quotas and pods, as small immutable values.

CPU is in milli-CPU and memory in bytes throughout; None means that nothing is declared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tenantquota.api.enforcement import Enforcement
from tenantquota.api.leaks import Action
from tenantquota.api.status import TenantQuotaStatus
from tenantquota.domain.labels import Selector


@dataclass(frozen=True, slots=True)
class Resources:
    """CPU and memory limits and requests of one container."""

    cpu_limit_milli: int | None = None
    memory_limit_bytes: int | None = None
    cpu_request_milli: int | None = None
    memory_request_bytes: int | None = None


NOTHING = Resources()


@dataclass(frozen=True, slots=True)
class ContainerQuota:
    """``spec.container`` of a TenantQuota."""

    cpu_limit_milli: int
    memory_limit_bytes: int
    cpu_request_milli: int | None = None
    memory_request_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """``spec.budget`` of a TenantQuota."""

    cpu_milli: int | None = None
    memory_bytes: int | None = None
    pods: int | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """A TenantQuota as the API server holds it."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: int
    tenant: str
    selector: Selector | None
    container: ContainerQuota
    budget: Budget
    enforcement: Enforcement
    leak_action: Action = Action.REPORT
    finished_ttl_seconds: int | None = None
    """``spec.cleanup``: how long a finished pod stays; None where nobody removes it."""
    status: TenantQuotaStatus = field(default_factory=TenantQuotaStatus)

    @property
    def covers_namespace(self) -> bool:
        return self.selector is None

    @property
    def enforces(self) -> bool:
        return self.enforcement is Enforcement.ENFORCE


@dataclass(frozen=True, slots=True)
class InvalidQuota:
    """A TenantQuota that this operator can't read, and why."""

    namespace: str
    name: str
    uid: str
    generation: int
    problem: str
    status: TenantQuotaStatus = field(default_factory=TenantQuotaStatus)


class QosClass(StrEnum):
    GUARANTEED = "Guaranteed"
    BURSTABLE = "Burstable"
    BEST_EFFORT = "BestEffort"


@dataclass(frozen=True, slots=True)
class Container:
    """A container whose resources can be changed while it runs: a regular one or a sidecar."""

    name: str
    sidecar: bool
    spec: Resources
    actual: Resources | None
    """What the kubelet says is in force (``containerStatuses[].resources``); None before the start."""
    begun_anew: bool = False
    """It has ended before, or couldn't be started."""


@dataclass(frozen=True, slots=True)
class PendingResize:
    """What the kubelet says of a resize that isn't through (conditions PodResizePending, -InProgress)."""

    reason: str
    """``Deferred``, ``Infeasible``, ``Error`` or empty while it is simply under way."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that is neither finished nor being deleted."""

    namespace: str
    name: str
    uid: str
    generation: int
    observed_generation: int
    labels: Mapping[str, str]
    qos: QosClass
    containers: tuple[Container, ...]
    declared: Mapping[str, Resources] | None = None
    """What the author declared, by container, as written down; None where the spec says it still."""
    tenant: str | None = None
    """The tenant label: whom the pod is held for; None while no quota holds it."""
    pending: PendingResize | None = None
    static: bool = False
    pod_level_resources: bool = False
    node: str | None = None
    """Where it runs; None before it is scheduled."""
    controlled: bool = False
    """A controller (a ReplicaSet, a StatefulSet, …) makes it anew when it is gone."""
    cpu_excess_milli: int = 0
    """What the kubelet shows as its CPU request, by the weight that it has, beyond what is set aside."""

    @property
    def held(self) -> bool:
        return self.tenant is not None

    def declared_of(self, container: Container) -> Resources:
        """What the author declared for the container: its spec, where no quota has changed it yet."""
        return container.spec if self.declared is None else self.declared.get(container.name, NOTHING)


@dataclass(frozen=True, slots=True)
class FinishedPod:
    """A pod that has Succeeded or Failed, which is for good."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str]
    phase: str
    finished: str
    """When its last container ended, RFC 3339."""
    of_job: bool = False
    """A Job's: it says itself how long they stay."""
