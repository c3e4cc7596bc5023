"""What has to be done to one pod so that its cgroups hold what its quota says.

``plan_pod`` reads as the list of cases; each is a function below. A plan is at most one step: the next one is
decided when the kubelet has answered. What the kubelet or the API server refused lately is a Setback, which
the plan goes around until it is old enough to try the whole again.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from tenantquota.domain.limits import capped, contained, decide_container, restore_container, same_cpu_limit
from tenantquota.domain.model import Container, Pod, QosClass, Quota, Resources
from tenantquota.domain.unread_usage import cpu_first, is_unread

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


class Rule(StrEnum):
    """Why a pod is resized, evicted or removed; the ``rule`` of decisions and audit records."""

    LIMITS_FOLLOW_QUOTA = "LimitsFollowQuota"
    MEMORY_STEPS_DOWN = "MemoryStepsDown"
    LIMITS_BEFORE_REQUESTS = "LimitsBeforeRequests"
    DECLARED_COMES_BACK = "DeclaredComesBack"
    CGROUP_PUT_RIGHT = "CgroupPutRight"
    CPU_SIZED_DOWN = "CpuSizedDown"
    CPU_GIVEN_BACK = "CpuGivenBack"
    CPU_CAPPED = "CpuCapped"
    CPU_UNCAPPED = "CpuUncapped"
    LEAK_CONTAINED = "LeakContained"
    LEAK_RELEASED = "LeakReleased"
    LEAK_RESTARTED = "LeakRestarted"
    FINISHED_POD_REMOVED = "FinishedPodRemoved"


class State(StrEnum):
    """Where a pod stands."""

    SETTLED = "Settled"
    """The kubelet holds what was decided."""
    CHANGE = "Change"
    """A resize is to be sent."""
    RESIZING = "Resizing"
    """A resize is under way; the kubelet's answer is awaited."""
    STEPPING_DOWN = "MemoryAboveLimit"
    """The memory limit stands above the quota's, since more is in use; it follows usage down."""
    NO_CAPACITY = "NoCapacity"
    """Limits hold; the node has no room for the requests."""
    REFUSED = "Refused"
    """The API server refuses the resize."""
    BEST_EFFORT = "BestEffort"
    """Can't get limits while it runs: its QoS class is BestEffort."""
    STATIC = "Static"
    """Can't get limits: static pods are the node's."""
    POD_LEVEL = "PodLevelResources"
    """Declares resources for the whole pod, which limits per container can't be set against."""

    CGROUP_DIFFERS = "CgroupDiffers"
    """The kubelet says that the limits are in force; the cgroup files hold others."""
    AWAITING_REPORT = "AwaitingReport"
    """The kubelet says that the limits are in force; the node's agent hasn't reported since."""
    REPORT_STALE = "NodeReportStale"
    """The kubelet says that the limits are in force; the node's agent no longer reports."""


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


@dataclass(frozen=True, slots=True)
class PodPlan:
    """What was found and what to do about one pod."""

    pod: Pod
    state: State
    decided: Mapping[str, Resources]
    """What the quota says, by container: the goal, whatever this step sends."""
    change: Mapping[str, Resources] | None = None
    """The resources to send now, by container, where any differ from the pod's spec."""
    rule: Rule = Rule.LIMITS_FOLLOW_QUOTA
    adopt: bool = False
    """First write down what the pod declares, and its tenant label."""
    nudge: bool = False
    """The change only has the kubelet write the cgroup files anew; the next one asks for what is decided."""
    confirmed: bool = False
    """The node's agent says that each running container's cgroup holds what the kubelet was asked for."""
    unread: bool = False
    """The kubelet couldn't read what memory is in use, and may at its next attempt (``unread_usage``)."""
    message: str = ""


def plan_pod(
    pod: Pod,
    quota: Quota,
    setback: Setback | None,
    caps: Mapping[str, int] | None = None,
    memory_caps: Mapping[str, int] | None = None,
) -> PodPlan:
    """The next step for a pod that ``quota`` selects.

    Args:
        caps: what a hold sets below the quota's CPU limit, in milli-CPU by container.
        memory_caps: what a contained leak is given below the quota's memory limit, in bytes by container.
    """
    decided = {
        container.name: decide_container(pod.declared_of(container), quota.container, pod.qos)
        for container in pod.containers
    }
    decided |= {name: capped(decided[name], cap, pod.qos) for name, cap in (caps or {}).items()}
    decided |= {name: contained(decided[name], cap, pod.qos) for name, cap in (memory_caps or {}).items()}
    for impossible in (_static, _best_effort, _pod_level):
        if plan := impossible(pod, decided):
            return plan
    adopt = pod.declared is None or pod.tenant != quota.tenant
    return _towards(pod, decided, setback, Rule.LIMITS_FOLLOW_QUOTA, adopt=adopt)


def plan_release(pod: Pod, setback: Setback | None) -> PodPlan:
    """The next step for a pod that a quota held and none selects any more."""
    decided = {
        container.name: restore_container(pod.declared_of(container), container.spec, pod.qos)
        for container in pod.containers
    }
    return _towards(pod, decided, setback, Rule.DECLARED_COMES_BACK, adopt=False)


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


def refusal(plan: PodPlan, message: str) -> Setback:
    """What the API server's refusal of ``plan.change`` means. It judges requests (the node's allocatable, a
    quota on requests) and limits together, so where requests were raised the limits are tried without."""
    specs = {container.name: container.spec for container in plan.pod.containers}
    raised = any(
        asked != _with_requests_of(specs[name], asked) for name, asked in (plan.change or {}).items()
    )
    kind = SetbackKind.CAPACITY if raised else SetbackKind.REFUSED
    return Setback(kind, message, 0.0, plan.decided)


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


def holds(container: Container, decided: Resources) -> bool:
    """The kubelet holds the decided limits for the container."""
    actual = container.actual
    return (
        actual is not None
        and same_cpu_limit(actual, decided)
        and actual.memory_limit_bytes == decided.memory_limit_bytes
    )


def acknowledged(pod: Pod) -> bool:
    """The kubelet is at rest, and says that what the pod's spec asks for is in force."""
    return _through(pod, {container.name: container.spec for container in pod.containers})


def _static(pod: Pod, decided: Mapping[str, Resources]) -> PodPlan | None:
    if not pod.static:
        return None
    return PodPlan(pod, State.STATIC, decided, message="is a static pod: set its limits in its manifest file")


def _best_effort(pod: Pod, decided: Mapping[str, Resources]) -> PodPlan | None:
    if pod.qos is not QosClass.BEST_EFFORT:
        return None
    return PodPlan(
        pod,
        State.BEST_EFFORT,
        decided,
        message="declares no resources, and Kubernetes can't give a running BestEffort pod any: delete it,"
        " and its successor is created with limits",
    )


def _pod_level(pod: Pod, decided: Mapping[str, Resources]) -> PodPlan | None:
    if not pod.pod_level_resources:
        return None
    return PodPlan(
        pod,
        State.POD_LEVEL,
        decided,
        message="declares spec.resources for the whole pod: declare resources per container instead and"
        " recreate it",
    )


def _towards(
    pod: Pod, decided: Mapping[str, Resources], setback: Setback | None, rule: Rule, *, adopt: bool
) -> PodPlan:
    setback = setback if setback is not None and _still_stands(setback, decided) else None
    state, target, message = State.SETTLED, decided, ""
    if setback is not None:
        state, around = _AROUND[setback.kind]
        target, message = around(pod, decided, setback), setback.message
        rule = _RULE_AROUND.get(setback.kind, rule)
    target = cpu_first(pod, target)
    plan = PodPlan(pod, state, decided, rule=rule, adopt=adopt, message=message)
    if change := {c.name: target[c.name] for c in pod.containers if c.spec != target[c.name]}:
        return replace(plan, state=State.CHANGE if setback is None else state, change=change)
    if setback is None and not _through(pod, decided):
        message = pod.pending.message if pod.pending else ""
        return replace(plan, state=State.RESIZING, message=message, unread=is_unread(pod))
    return plan


def _still_stands(setback: Setback, decided: Mapping[str, Resources]) -> bool:
    """A setback counts while its cause can't have gone away and nobody asks for something else."""
    retry_after = {
        SetbackKind.MEMORY: MEMORY_RETRY_SECONDS,
        SetbackKind.CAPACITY: CAPACITY_RETRY_SECONDS,
        SetbackKind.REFUSED: REFUSAL_RETRY_SECONDS,
    }[setback.kind]
    return setback.age_seconds < retry_after and _asks_no_less(setback, decided)


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
_AROUND: Final[Mapping[SetbackKind, tuple[State, _Around]]] = {
    SetbackKind.MEMORY: (State.STEPPING_DOWN, _step_down),
    SetbackKind.CAPACITY: (State.NO_CAPACITY, _limits_only),
    SetbackKind.REFUSED: (State.REFUSED, _as_it_is),
}
_RULE_AROUND: Final = {
    SetbackKind.MEMORY: Rule.MEMORY_STEPS_DOWN,
    SetbackKind.CAPACITY: Rule.LIMITS_BEFORE_REQUESTS,
}


def _through(pod: Pod, decided: Mapping[str, Resources]) -> bool:
    """Done, by the kubelet's account, means: no resize condition left, the kubelet has seen this generation,
    and it reports the decided limits for every container that runs."""
    return (
        pod.pending is None
        and pod.observed_generation >= pod.generation
        and all(c.actual is None or holds(c, decided[c.name]) for c in pod.containers)
    )
