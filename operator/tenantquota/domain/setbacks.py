"""What the kubelet or the API server refused lately, and how a plan goes around it.

A setback counts until it is old enough to try the whole again, or something else is asked for. Meanwhile
``around`` gives the most that can go through.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from tenantquota.domain.model import Container, Pod, QosClass, Resources

MEMORY_RETRY_SECONDS: Final = 10.0
"""How often a limit that stands above its target because of usage is tried further down: the kubelet's own
statistics are 10 to 15 s old (ground for its refusal), so more often would find nothing new."""
CAPACITY_RETRY_SECONDS: Final = 180.0
"""How often requests that the node has no room for are asked for again: the kubelet's own rhythm for
Deferred resizes."""
REFUSAL_RETRY_SECONDS: Final = 30.0
"""How often a resize is tried again that the API server refused for another reason."""
MEMORY_HEADROOM_BYTES: Final = 16 * 2**20
"""Room above usage when a limit is stepped down to it, at least; a sixteenth of usage where that is more."""


class SetbackKind(StrEnum):
    MEMORY = "Memory"
    CAPACITY = "Capacity"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class Setback:
    """A resize that didn't go through, as the controller remembers it. Forgetting it costs one more try."""

    kind: SetbackKind
    message: str
    age_seconds: float
    wanted: Mapping[str, Resources]
    """What was asked for, by container."""
    usage_bytes: int = 0
    """MEMORY: what the kubelet said is in use, in the whole pod."""


def setback_of(pod: Pod, age_seconds: float = 0.0) -> Setback | None:
    """What the kubelet's conditions on the pod say went wrong with the resize in its spec."""
    if pod.pending is None or pod.observed_generation < pod.generation:
        return None
    wanted = {container.name: container.spec for container in pod.containers}
    if usage := usage_in_refusal(pod.pending.message):
        return Setback(SetbackKind.MEMORY, pod.pending.message, age_seconds, wanted, usage)
    if pod.pending.reason in {"Deferred", "Infeasible"}:
        return Setback(SetbackKind.CAPACITY, pod.pending.message, age_seconds, wanted)
    return None


def refused(
    pod: Pod, change: Mapping[str, Resources], decided: Mapping[str, Resources], message: str
) -> Setback:
    """What the API server's refusal of a change means. It judges requests (the node's allocatable, a quota on
    requests) and limits together, so where requests were raised the limits are tried without.

    Args:
        change, decided: what was asked for, as a step to what, by container.
    """
    specs = {container.name: container.spec for container in pod.containers}
    raised = any(asked != _with_requests_of(specs[name], asked) for name, asked in change.items())
    kind = SetbackKind.CAPACITY if raised else SetbackKind.REFUSED
    return Setback(kind, message, 0.0, decided)


def usage_in_refusal(message: str) -> int:
    """The bytes in use for which the kubelet refused a lower memory limit; 0 where that was not the ground.

    Source: validateMemoryResizeAction (kubernetes pkg/kubelet/kuberuntime/kuberuntime_manager.go). For a
    container the kubelet names the usage of the whole pod, which is never too little.
    """
    return max((int(number) for number in re.findall(r"below current usage \((\d+)\)", message)), default=0)


def step_above_usage(usage_bytes: int) -> int:
    """The lowest memory limit worth trying while ``usage_bytes`` are in use, in whole MiB."""
    room = max(MEMORY_HEADROOM_BYTES, usage_bytes // 16)
    return -(-(usage_bytes + room) // 2**20) * 2**20


def still_stands(setback: Setback, decided: Mapping[str, Resources]) -> bool:
    """A setback counts while its cause can't have gone away and nobody asks for something else."""
    retry_after = {
        SetbackKind.MEMORY: MEMORY_RETRY_SECONDS,
        SetbackKind.CAPACITY: CAPACITY_RETRY_SECONDS,
        SetbackKind.REFUSED: REFUSAL_RETRY_SECONDS,
    }[setback.kind]
    return setback.age_seconds < retry_after and _asks_no_less(setback, decided)


def around(setback: Setback, pod: Pod, decided: Mapping[str, Resources]) -> Mapping[str, Resources]:
    """What to ask for instead of what is decided, by container."""
    return _AROUND[setback.kind](pod, decided, setback)


def _asks_no_less(setback: Setback, decided: Mapping[str, Resources]) -> bool:
    if setback.kind is not SetbackKind.MEMORY:
        return dict(setback.wanted) == dict(decided)
    return any((r.memory_limit_bytes or 0) <= setback.usage_bytes for r in decided.values())


def _step_down(pod: Pod, decided: Mapping[str, Resources], setback: Setback) -> Mapping[str, Resources]:
    """Memory limits below usage: as low as usage allows, and never above what is in force."""
    floor = step_above_usage(setback.usage_bytes)
    return {c.name: _memory_at_least(floor, c, decided[c.name], pod.qos) for c in pod.containers}


def _memory_at_least(floor_bytes: int, container: Container, decided: Resources, qos: QosClass) -> Resources:
    if decided.memory_limit_bytes is None:
        return decided
    in_force = container.actual.memory_limit_bytes if container.actual else None
    limit = max(decided.memory_limit_bytes, min(floor_bytes, in_force or floor_bytes))
    request = limit if qos is QosClass.GUARANTEED else decided.memory_request_bytes
    return replace(decided, memory_limit_bytes=limit, memory_request_bytes=request)


def _limits_only(pod: Pod, decided: Mapping[str, Resources], setback: Setback) -> Mapping[str, Resources]:
    """Requests without room: the limits don't wait for them. A Guaranteed pod can't have one without the
    other, so it keeps what it has."""
    if pod.qos is QosClass.GUARANTEED:
        return {c.name: c.actual or c.spec for c in pod.containers}
    return {c.name: _with_requests_of(c.actual or c.spec, decided[c.name]) for c in pod.containers}


def _with_requests_of(current: Resources, decided: Resources) -> Resources:
    """``decided``, its requests no higher than the current ones."""
    return replace(
        decided,
        cpu_request_milli=_least(current.cpu_request_milli, decided.cpu_request_milli),
        memory_request_bytes=_least(current.memory_request_bytes, decided.memory_request_bytes),
    )


def _least(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _as_it_is(pod: Pod, decided: Mapping[str, Resources], setback: Setback) -> Mapping[str, Resources]:
    return {container.name: container.spec for container in pod.containers}


_Around = Callable[[Pod, Mapping[str, Resources], Setback], Mapping[str, Resources]]
_AROUND: Final[Mapping[SetbackKind, _Around]] = {
    SetbackKind.MEMORY: _step_down,
    SetbackKind.CAPACITY: _limits_only,
    SetbackKind.REFUSED: _as_it_is,
}
