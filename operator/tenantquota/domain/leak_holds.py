"""``spec.leaks.action: Contain``: a container that leaks memory meets a wall of its own, before the node's
memory is short.

Its limit is lowered to what it uses plus room, follows usage further down but never up, and is given back
when the leak is over or the container was begun anew. The status holds all that a new controller needs to go
on where the last one was. Bytes and seconds throughout.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from tenantquota.api.leaks import Action, Kind
from tenantquota.api.status import ContainedLeak
from tenantquota.domain.limits import decide_container
from tenantquota.domain.model import Container, Pod, QosClass, Quota
from tenantquota.domain.quantities import QuantityError, format_memory, parse_memory_bytes
from tenantquota.domain.reports import NodeAccount, ReportedLeak
from tenantquota.domain.resizes import PodPlan, Rule
from tenantquota.domain.setbacks import Setback, SetbackKind

Key = tuple[str, str]
"""A pod's uid and a container's name: a pod that is made anew under its name begins with the whole limit."""

MIB: Final = 2**20
ROOM_BYTES: Final = 32 * MIB
ROOM_PART: Final = 0.25
"""Above usage, the larger of the two."""
REACTION_SECONDS: Final = 15.0
"""For how long the leak may go on until the limit is in force: reports are some seconds old, and the kubelet
compares with statistics of its own that are 10 to 15 s old."""
WORTH_PART: Final = 0.1
"""Of a limit: a change by less isn't worth a resize."""
STEP_SECONDS: Final = 5.0
"""The least time between two changes of one container's limit."""
REFUSED_SECONDS: Final = 120.0
"""For how long a limit isn't tried again below what the kubelet said is in use: it counts page cache, which
the working set doesn't."""
LOOK_SECONDS: Final = 10.0
"""How often a contained leak is looked at though nothing is heard: its node's agent may be gone."""
MOST_CONTAINED: Final = 500
"""Containers; they stand in the TenantQuota's status."""
MEMORY: Final = frozenset({Kind.MEMORY_FAST, Kind.MEMORY_SLOW})


@dataclass(frozen=True, slots=True)
class Containment:
    """The containers of a quota whose memory limits are lowered, or about to be given back."""

    held: tuple[ContainedLeak, ...] = ()
    caps: Mapping[Key, int] = field(default_factory=dict)
    """Of those whose leak goes on."""
    again_seconds: float | None = None
    """When to look again though nothing is heard."""

    @property
    def reserved_bytes(self) -> int:
        """By how much limits are lowered that will come back. Not those that come back now: for them the
        ResourceQuota needs room first."""
        return sum(
            parse_memory_bytes(each.old_limit) - parse_memory_bytes(each.new_limit)
            for each in self.held
            if not each.ended
        )

    def kept(self) -> "Containment":
        """The same with limits that are about to be given back as they are, until there is room for them."""
        caps = {(each.uid, each.container): parse_memory_bytes(each.new_limit) for each in self.held}
        return replace(self, caps=caps)

    def caps_of(self, pod: Pod) -> dict[str, int]:
        """By container."""
        return {name: cap for (uid, name), cap in self.caps.items() if uid == pod.uid}

    def attribute(self, plan: PodPlan) -> PodPlan:
        """The plan with the leak as its rule, where that is why the pod is resized."""
        if plan.rule is not Rule.LIMITS_FOLLOW_QUOTA or not plan.change:
            return plan
        asked = {c.name: c.spec.memory_limit_bytes for c in plan.pod.containers}
        changed = {
            name for name, resources in plan.change.items() if resources.memory_limit_bytes != asked[name]
        }
        mine = [each for each in self.held if each.uid == plan.pod.uid and each.container in changed]
        for each in mine:
            if not each.ended:
                return replace(plan, rule=Rule.LEAK_CONTAINED, message=f"{each.evidence}, since {each.since}")
        if mine:
            why = "no such leak is reported any more, or its container was begun anew"
            return replace(plan, rule=Rule.LEAK_RELEASED, message=why)
        return plan


NOT_CONTAINED: Final = Containment()


def contain(
    quota: Quota,
    pods: Iterable[tuple[Pod, NodeAccount | None]],
    setbacks: Mapping[str, Setback],
    resized_seconds: Mapping[str, float],
) -> Containment:
    """What is to be contained now, from what the nodes report and what the status says is contained.

    Args:
        setbacks: pod's uid → the resize that didn't go through lately.
        resized_seconds: pod's name → since it was last resized, where it was lately.
    """
    leaks_before = quota.status.leaks.contained if quota.status.leaks else ()
    before = {(each.uid, each.container): each for each in leaks_before if _cap(each) is not None}
    held: list[ContainedLeak] = []
    due: list[float] = []
    for pod, account in pods:
        leaks = memory_leaks(pod, account) if _applies(quota, pod) else {}
        since_change = resized_seconds.get(pod.name, inf)
        for container in pod.containers:
            was = before.get((pod.uid, container.name))
            leak = leaks.get(container.name)
            if was is None and leak is None:
                continue
            if since_change < STEP_SECONDS:
                due.append(STEP_SECONDS - since_change)
            of = _Leaking(quota, pod, container, account, setbacks.get(pod.uid), since_change)
            if (now := of.contained(leak, was)) is not None:
                held.append(now)
    held = held[:MOST_CONTAINED]
    due += [LOOK_SECONDS] if held else []
    caps = {(each.uid, each.container): parse_memory_bytes(each.new_limit) for each in held if not each.ended}
    return Containment(tuple(held), caps, min(due, default=None))


def memory_leaks(pod: Pod, account: NodeAccount | None) -> dict[str, ReportedLeak]:
    """The confirmed memory leaks of a pod's containers, as long as their node's report is not stale."""
    if account is None or account.stale:
        return {}
    return {leak.container: leak for leak in account.leaks_of(pod) if leak.kind in MEMORY}


def limit_above(used_bytes: int, rate_per_minute: int) -> int:
    """The limit of a container that uses so much and takes so much more a minute, in whole MiB."""
    room = max(ROOM_BYTES, used_bytes * ROOM_PART, rate_per_minute * REACTION_SECONDS / 60)
    return -int(-(used_bytes + room) // MIB) * MIB


def next_cap(
    wanted_bytes: int,
    limit_bytes: int,
    *,
    before_bytes: int | None,
    normal_bytes: int,
    refused_bytes: int = 0,
    since_change_seconds: float = inf,
) -> int | None:
    """The cap of a container that leaks; None: none below its normal limit.

    Args:
        limit_bytes: what it may use now.
        before_bytes: its cap up to now, if it has one.
        refused_bytes: what the kubelet said is in use when it refused a limit lately.
    """
    if before_bytes is not None and refused_bytes >= before_bytes:
        return wanted_bytes if wanted_bytes < normal_bytes else None
    worth = wanted_bytes <= (1 - WORTH_PART) * min(limit_bytes, normal_bytes)
    if worth and since_change_seconds >= STEP_SECONDS:
        return wanted_bytes
    return before_bytes if before_bytes is not None and before_bytes < normal_bytes else None


@dataclass(frozen=True, slots=True)
class _Leaking:
    """A container that leaks, or did."""

    quota: Quota
    pod: Pod
    container: Container
    account: NodeAccount | None
    setback: Setback | None
    since_change_seconds: float

    def contained(self, leak: ReportedLeak | None, was: ContainedLeak | None) -> ContainedLeak | None:
        decided = decide_container(self.pod.declared_of(self.container), self.quota.container, self.pod.qos)
        normal, request = decided.memory_limit_bytes or 0, decided.memory_request_bytes or 0
        before = _cap(was)
        if leak is not None:
            used = self._used(leak)
            if used is None:
                return was
            refused = self._refused()
            # the request was set aside for the container, so it keeps it; a Guaranteed pod's is the limit
            floor = 0 if self.pod.qos is QosClass.GUARANTEED else request
            cap = next_cap(
                max(limit_above(max(used, refused), leak.rate_per_minute), floor),
                before or self.container.spec.memory_limit_bytes or normal,
                before_bytes=before,
                normal_bytes=normal,
                refused_bytes=refused,
                since_change_seconds=self.since_change_seconds,
            )
            if cap is not None:
                return self._held(leak, was, cap, normal)
        return self._given_back(was, normal)

    def _used(self, leak: ReportedLeak) -> int | None:
        """What is used by now, as far as the report tells."""
        found = self.account.of(self.pod, self.container.name) if self.account else None
        if self.account is None or found is None or found.memory_bytes is None:
            return None
        return found.memory_bytes + int(leak.rate_per_minute * self.account.age_seconds / 60)

    def _refused(self) -> int:
        of = self.setback
        lately = of is not None and of.kind is SetbackKind.MEMORY and of.age_seconds < REFUSED_SECONDS
        return of.usage_bytes if of is not None and lately else 0

    def _held(self, leak: ReportedLeak, was: ContainedLeak | None, cap: int, normal: int) -> ContainedLeak:
        limits = {"old_limit": format_memory(normal), "new_limit": format_memory(cap), "ended": False}
        if was is not None and was.new_limit == limits["new_limit"]:
            return was.model_copy(update=limits)
        return ContainedLeak(
            pod=self.pod.name,
            uid=self.pod.uid,
            container=self.container.name,
            kind=leak.kind,
            since=leak.since,
            rate_per_minute=leak.rate_per_minute,
            evidence=leak.evidence,
            **limits,
        )

    def _given_back(self, was: ContainedLeak | None, normal: int) -> ContainedLeak | None:
        """It stays known until the pod asks for the whole limit: whoever gives it back can say why."""
        if was is None or (self.container.spec.memory_limit_bytes or 0) >= normal:
            return None
        if not was.ended and self.since_change_seconds < STEP_SECONDS:
            return was
        return was.model_copy(update={"ended": True})


def _applies(quota: Quota, pod: Pod) -> bool:
    resizable = not (pod.static or pod.pod_level_resources or pod.qos is QosClass.BEST_EFFORT)
    return quota.leak_action is Action.CONTAIN and resizable


def _cap(of: ContainedLeak | None) -> int | None:
    try:
        return None if of is None else parse_memory_bytes(of.new_limit)
    except QuantityError:
        return None
