"""What limits and requests a container gets under a quota.

The same arithmetic stands in the chart's MutatingAdmissionPolicy as CEL, for pods at their creation; a test
holds the two together. All CPU in milli-CPU, all memory in bytes.
"""

from dataclasses import replace
from typing import Final

from tenantquota.domain.model import ContainerQuota, Pod, QosClass, Resources

DEFAULT_REQUEST_DIVISOR: Final = 10
"""Where neither pod nor quota says it, a request is a tenth of the limit: agents burst (peak to mean 15 in
public traces), so larger ones would only leave nodes empty."""
MIN_CPU_LIMIT_MILLI: Final = 10
"""The kernel's least quota of 1 ms in the kubelet's period of 100 ms; lower limits take effect as this."""


def decide_container(
    declared: Resources, quota: ContainerQuota, qos: QosClass = QosClass.BURSTABLE
) -> Resources:
    """The resources of a container that declares ``declared``, all four set.

    A lower limit of its own stays. Requests stay below limits, since a pod's QoS class can't change while it
    runs: only a pod that is Guaranteed already keeps them equal.
    """
    cpu_limit = lower(declared.cpu_limit_milli, quota.cpu_limit_milli)
    memory_limit = lower(declared.memory_limit_bytes, quota.memory_limit_bytes)
    if qos is QosClass.GUARANTEED:
        return Resources(cpu_limit, memory_limit, cpu_limit, memory_limit)
    cpu_request = _request(declared.cpu_request_milli, quota.cpu_request_milli, cpu_limit)
    memory_request = _request(declared.memory_request_bytes, quota.memory_request_bytes, memory_limit)
    return Resources(
        cpu_limit, memory_limit, below_cpu_limit(cpu_request, cpu_limit), min(memory_request, memory_limit)
    )


def capped(decided: Resources, cap_milli: int, qos: QosClass) -> Resources:
    """``decided`` with a CPU limit of at most ``cap_milli``, the request as far below as it has to be."""
    cpu_limit = lower(decided.cpu_limit_milli, cap_milli)
    request = decided.cpu_request_milli or 0
    cpu_request = cpu_limit if qos is QosClass.GUARANTEED else below_cpu_limit(request, cpu_limit)
    return replace(decided, cpu_limit_milli=cpu_limit, cpu_request_milli=cpu_request)


def contained(decided: Resources, cap_bytes: int, qos: QosClass) -> Resources:
    """``decided`` with a memory limit of at most ``cap_bytes``, the request no higher."""
    memory_limit = lower(decided.memory_limit_bytes, cap_bytes)
    request = memory_limit if qos is QosClass.GUARANTEED else decided.memory_request_bytes
    return replace(
        decided, memory_limit_bytes=memory_limit, memory_request_bytes=min(request or 0, memory_limit)
    )


def restore_container(declared: Resources, current: Resources, qos: QosClass) -> Resources:
    """The resources of a container that no quota holds any more: what it declared comes back. Kubernetes lets
    nobody remove a limit from a running pod, so where nothing was declared the current value stays."""
    cpu_limit = declared.cpu_limit_milli or current.cpu_limit_milli
    memory_limit = declared.memory_limit_bytes or current.memory_limit_bytes
    if qos is QosClass.GUARANTEED:
        return Resources(cpu_limit, memory_limit, cpu_limit, memory_limit)
    cpu_request = _first(declared.cpu_request_milli, current.cpu_request_milli)
    memory_request = _first(declared.memory_request_bytes, current.memory_request_bytes)
    if cpu_request is not None and cpu_limit is not None:
        cpu_request = below_cpu_limit(cpu_request, cpu_limit)
    if memory_request is not None and memory_limit is not None:
        memory_request = min(memory_request, memory_limit)
    return Resources(cpu_limit, memory_limit, cpu_request, memory_request)


def kept_limits(pod: Pod) -> tuple[str, ...]:
    """The resources whose limits stay on a pod that no quota holds any more though it declares none."""
    declared = [pod.declared_of(container) for container in pod.containers]
    cpu = ("cpu",) if any(not each.cpu_limit_milli for each in declared) else ()
    memory = ("memory",) if any(not each.memory_limit_bytes for each in declared) else ()
    return cpu + memory


def below_cpu_limit(request_milli: int, limit_milli: int) -> int:
    """One thousandth below the limit is enough to keep a pod from becoming Guaranteed."""
    return max(0, min(request_milli, limit_milli - 1))


def lower(declared: int | None, quota: int) -> int:
    """A declared limit of 0 is none: the kubelet writes no limit for it."""
    return min(declared, quota) if declared else quota


def same_cpu_limit(one: Resources, other: Resources) -> bool:
    """Whether the CPU limits of both take the same effect."""
    return _effective(one.cpu_limit_milli) == _effective(other.cpu_limit_milli)


def _effective(limit_milli: int | None) -> int | None:
    return max(MIN_CPU_LIMIT_MILLI, limit_milli) if limit_milli else None


def _request(declared: int | None, quota: int | None, limit: int) -> int:
    if declared is None:
        return quota if quota is not None else max(1, limit // DEFAULT_REQUEST_DIVISOR)
    return declared if quota is None else min(declared, quota)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)
