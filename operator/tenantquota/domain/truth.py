"""The kubelet's account against the node's: what the cgroup files hold is the truth.

``pods/resize`` stays the only hand on a limit. The kubelet compares what it is asked for with what it was
asked for before, so a file that somebody else has changed is never put right by asking for the same again:
the container is asked for a limit that is a hair off first, and then for the decided one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from tenantquota.domain.limits import below_cpu_limit
from tenantquota.domain.model import Container, QosClass, Resources
from tenantquota.domain.reports import REPORT_LAG_SECONDS, NodeAccount, Reported, differences
from tenantquota.domain.resizes import PodPlan, Rule, State, acknowledged
from tenantquota.domain.setbacks import step_above_usage

NUDGE_RETRY_SECONDS: Final = 10.0
"""How often a cgroup is put right at most: who writes to it again and again is answered so often, no more."""
HAIR_MILLI: Final = 1
_DONE: Final = {State.SETTLED, State.NO_CAPACITY}
"""The states in which the kubelet says that the limits are in force."""


@dataclass(frozen=True, slots=True)
class Nudge:
    """A resize to a hair off, as the controller remembers it. Forgetting it costs one more."""

    generation: int
    """The pod's generation that it wrote."""
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Witness:
    """What there is to hold the kubelet's account of one pod against."""

    account: NodeAccount | None = None
    """None where no agent reports from the pod's node."""
    acknowledged_seconds: float = 0.0
    """How long ago the controller first saw the kubelet at rest with the pod as it is."""
    nudge: Nudge | None = None
    confirmed: bool = False
    """A report has said of the pod as it is that its cgroups hold what they should."""

    @property
    def nudged_lately(self) -> bool:
        return self.nudge is not None and self.nudge.age_seconds < NUDGE_RETRY_SECONDS

    @property
    def may_contradict(self) -> bool:
        """A report that differs is no longer one from before the last resize: another has shown that resize,
        or it is itself late enough after the kubelet's word, or it was found before and nudged."""
        late_enough = (
            self.account is not None
            and self.acknowledged_seconds - self.account.age_seconds >= REPORT_LAG_SECONDS
        )
        return self.confirmed or late_enough or self.nudged_lately


def hold_against(witness: Witness, plan: PodPlan) -> PodPlan:
    """The plan by what the node's agent says. Where that is nothing, the kubelet's account stands."""
    account = witness.account
    if account is None:
        return plan
    if plan.change:
        return _after_nudge(plan, witness, account)
    if plan.state is State.RESIZING and witness.nudged_lately:
        return _under_way(plan, account)
    if plan.state not in _DONE or not _running(plan):
        return plan
    if account.stale:
        return replace(plan, state=State.REPORT_STALE)
    return _by_report(plan, witness, account)


def _running(plan: PodPlan) -> list[Container]:
    return [container for container in plan.pod.containers if container.actual]


def _after_nudge(plan: PodPlan, witness: Witness, account: NodeAccount) -> PodPlan:
    """The second half: only once the kubelet has carried out the first, since two resizes that it sees at
    once are no change to it."""
    if witness.nudge is None or witness.nudge.generation != plan.pod.generation:
        return plan
    plan = _under_way(plan, account)
    if witness.nudged_lately and not acknowledged(plan.pod):
        return replace(plan, change=None)
    return plan


def _under_way(plan: PodPlan, account: NodeAccount) -> PodPlan:
    message = "; ".join(_wrong(plan, account, plan.decided).values()) or "being put right"
    return replace(plan, state=State.CGROUP_DIFFERS, rule=Rule.CGROUP_PUT_RIGHT, message=message)


def _wrong(plan: PodPlan, account: NodeAccount, asked: Mapping[str, Resources]) -> dict[str, str]:
    """Running containers whose cgroups hold other limits than these, with both values in words."""
    return {
        c.name: f"{c.name}: {', '.join(said)}"
        for c in _running(plan)
        if (found := account.of(plan.pod, c.name)) and (said := [*differences(asked[c.name], found)])
    }


def _by_report(plan: PodPlan, witness: Witness, account: NodeAccount) -> PodPlan:
    wrong = _wrong(plan, account, {c.name: c.spec for c in plan.pod.containers})
    found = {c.name: account.of(plan.pod, c.name) for c in _running(plan)}
    if not wrong:
        return replace(plan, confirmed=True) if all(found.values()) else _awaiting(plan)
    if not witness.may_contradict:
        return _awaiting(plan)
    plan = replace(
        plan, state=State.CGROUP_DIFFERS, rule=Rule.CGROUP_PUT_RIGHT, message="; ".join(wrong.values())
    )
    if witness.nudged_lately:
        return plan
    change = {
        c.name: hair_off(c, plan.pod.qos, reported)
        for c in _running(plan)
        if c.name in wrong and (reported := found[c.name])
    }
    return replace(plan, change=change, nudge=True)


def _awaiting(plan: PodPlan) -> PodPlan:
    return replace(plan, state=State.AWAITING_REPORT)


def hair_off(container: Container, qos: QosClass, found: Reported) -> Resources:
    """Nearly what the container was asked for. The CPU limit alone is enough, since the runtime writes all
    limits of a container at any change; downwards, since that always has room. Memory goes no lower than what
    is in use: a limit that was lifted by hand may have let it grow, and the kernel would kill it."""
    spec = container.spec
    cpu_limit = spec.cpu_limit_milli or 0
    cpu_limit = cpu_limit - HAIR_MILLI if cpu_limit > HAIR_MILLI else cpu_limit + HAIR_MILLI
    cpu_request = (
        cpu_limit if qos is QosClass.GUARANTEED else below_cpu_limit(spec.cpu_request_milli or 0, cpu_limit)
    )
    memory_limit, memory_request = spec.memory_limit_bytes or 0, spec.memory_request_bytes
    if found.memory_bytes and found.memory_bytes > memory_limit:
        memory_limit = step_above_usage(found.memory_bytes)
        memory_request = memory_limit if qos is QosClass.GUARANTEED else memory_request
    return Resources(cpu_limit, memory_limit, cpu_request, memory_request)
