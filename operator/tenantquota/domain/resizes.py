"""What has to be done to one pod so that its cgroups hold what its quota says.

``plan_pod`` reads as the list of cases; each is a function below. A plan is at most one step: the next one is
decided when the kubelet has answered. What the kubelet or the API server refused lately it goes around
(``domain.setbacks``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from tenantquota.domain.limits import capped, contained, decide_container, restore_container, same_cpu_limit
from tenantquota.domain.model import Container, Pod, QosClass, Quota, Resources
from tenantquota.domain.setbacks import Setback, SetbackKind, around, refused, still_stands
from tenantquota.domain.unread_usage import cpu_first, is_unread


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


def refusal(plan: PodPlan, message: str) -> Setback:
    """What it means that the API server refused a plan's change."""
    return refused(plan.pod, plan.change or {}, plan.decided, message)


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
    setback = setback if setback is not None and still_stands(setback, decided) else None
    state, target, message = State.SETTLED, decided, ""
    if setback is not None:
        target, message = around(setback, pod, decided), setback.message
        state, rule = _STATE_AROUND[setback.kind], _RULE_AROUND.get(setback.kind, rule)
    target = cpu_first(pod, target)
    plan = PodPlan(pod, state, decided, rule=rule, adopt=adopt, message=message)
    if change := {c.name: target[c.name] for c in pod.containers if c.spec != target[c.name]}:
        return replace(plan, state=State.CHANGE if setback is None else state, change=change)
    if setback is None and not _through(pod, decided):
        message = pod.pending.message if pod.pending else ""
        return replace(plan, state=State.RESIZING, message=message, unread=is_unread(pod))
    return plan


_STATE_AROUND: Final = {
    SetbackKind.MEMORY: State.STEPPING_DOWN,
    SetbackKind.CAPACITY: State.NO_CAPACITY,
    SetbackKind.REFUSED: State.REFUSED,
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
