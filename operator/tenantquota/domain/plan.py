"""From everything that is known of a namespace to everything that has to be done there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from tenantquota.api.status import Hold, Usage
from tenantquota.domain.budgets import BudgetChange, OwnedResourceQuota, has_room, plan_budgets
from tenantquota.domain.cleanup import NOTHING_TO_REMOVE, Cleanup, cleanup_of
from tenantquota.domain.cpu_budget import JUST_STARTED, Clock, Verdict
from tenantquota.domain.holds import attribute, caps_of, hold_of, standing_of, verdict_of
from tenantquota.domain.leak_holds import NOT_CONTAINED, Containment, contain
from tenantquota.domain.leak_restarts import NO_RESTARTS, Restarts, restarts_of
from tenantquota.domain.model import FinishedPod, InvalidQuota, Pod, Quota
from tenantquota.domain.neighbour_caps import NOBODY_WAITS, NeighbourCaps, both, neighbour_caps
from tenantquota.domain.past_lifts import SHOWN_AGAIN_SECONDS, outlives_its_lift
from tenantquota.domain.reports import (
    Harming,
    NodeAccount,
    ReportedLeak,
    Yielding,
    usage_to_show,
    use_of,
)
from tenantquota.domain.resizes import PodPlan, State, plan_pod, plan_release
from tenantquota.domain.selectors import claim
from tenantquota.domain.setbacks import Setback
from tenantquota.domain.truth import Witness, hold_against
from tenantquota.domain.unread_usage import ASK_AGAIN_SECONDS


@dataclass(frozen=True, slots=True)
class Observation:
    """A namespace as the API server shows it, and what the controller remembers of it."""

    namespace: str
    quotas: tuple[Quota, ...] = ()
    invalid: tuple[InvalidQuota, ...] = ()
    pods: tuple[Pod, ...] = ()
    resource_quotas: tuple[OwnedResourceQuota, ...] = ()
    setbacks: Mapping[str, Setback] = field(default_factory=dict)
    """Pod's uid → the resize that didn't go through lately."""
    stale: frozenset[str] = frozenset()
    """Uids of pods that don't show yet what was last written to them."""
    witnesses: Mapping[str, Witness] = field(default_factory=dict)
    """Pod's uid → what the kubelet's account of it is held against."""
    usage_seconds: Mapping[str, float] = field(default_factory=dict)
    """Quota's uid → for how long its status has shown the usage that it shows."""
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    """Quota's uid → how long ago things happened to the hold for its CPU budget."""
    restart_seconds: Mapping[str, float] = field(default_factory=dict)
    """Quota's uid → since the last attempt to evict one of its pods, where there was one."""
    asked_seconds: Mapping[str, float] = field(default_factory=dict)
    """Pod's uid → since when its last resize was sent, or the kubelet last had to try it again."""
    finished: tuple[FinishedPod, ...] = ()
    finished_seconds: Mapping[str, float] = field(default_factory=dict)
    """Uid of a finished pod → since when it is; without those that are being removed."""
    system: bool = False

    def witness(self, pod: Pod) -> Witness:
        return self.witnesses.get(pod.uid, _NOBODY)

    def asks_again(self, pod: Pod, after_seconds: float = ASK_AGAIN_SECONDS) -> bool:
        """The kubelet may be had to look at the pod again, such as to do what it refused for it."""
        return self.asked_seconds.get(pod.uid, inf) >= after_seconds


_NOBODY: Final = Witness()


@dataclass(frozen=True, slots=True)
class QuotaPlan:
    """What one quota's pods need."""

    quota: Quota
    pods: tuple[PodPlan, ...] = ()
    asks: tuple[Pod, ...] = ()
    """The pods that the kubelet is to be had to look at: to try their resize again, or to show what they
    request."""
    overlaps: tuple[tuple[Pod, tuple[str, ...]], ...] = ()
    usage: Usage | None = None
    """What the status is to show as used."""
    stale: tuple[NodeAccount, ...] = ()
    """Reports of its pods' nodes that are too old to go by, by name of the node."""
    unreported: tuple[str, ...] = ()
    """The nodes of its pods from which no agent reports."""
    accounts: Mapping[str, NodeAccount] = field(default_factory=dict)
    """Pod's uid → what its node's agent reports, where one does."""
    yielding: tuple[tuple[str, Yielding], ...] = ()
    """The nodes on which the tenant gets what others leave, and why."""
    harming: tuple[Harming, ...] = ()
    """Where the tenant makes others stall for I/O or memory, by name of the node."""
    cpu: Verdict | None = None
    """What budget.cpu comes to; None where there is none."""
    neighbours: NeighbourCaps = NOBODY_WAITS
    """The limits that it is given because others wait for it."""
    system: bool = False
    leaks: tuple[tuple[Pod, ReportedLeak], ...] = ()
    """Those that its pods' nodes report, as long as a report is not stale."""
    containment: Containment = NOT_CONTAINED
    """What is contained of them."""
    restarts: Restarts = NO_RESTARTS
    """What is restarted of them."""
    cleanup: Cleanup = NOTHING_TO_REMOVE
    """What is removed of finished pods."""

    @property
    def acts(self) -> tuple[PodPlan, ...]:
        """The plans with something to do."""
        return tuple(plan for plan in self.pods if plan.change or plan.adopt)

    def hold(self, now: str, expires: str) -> Hold | None:
        """What the status is to say of a hold.

        Args:
            now: RFC 3339, as ``expires``, when a hold ends that begins or is renewed now.
        """
        before = self.quota.status.hold
        return hold_of(self.cpu, before, now, expires, self.neighbours.hold(before, expires))

    @property
    def again_seconds(self) -> tuple[float, ...]:
        """When to look again though nothing is heard."""
        due = (
            self.cpu.again_seconds if self.cpu else None,
            self.neighbours.again_seconds,
            self.containment.again_seconds,
            self.restarts.again_seconds,
            self.cleanup.again_seconds,
            ASK_AGAIN_SECONDS if self.quota.enforces and any(plan.unread for plan in self.pods) else None,
        )
        return tuple(seconds for seconds in due if seconds is not None)


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    quotas: tuple[QuotaPlan, ...] = ()
    releases: tuple[PodPlan, ...] = ()
    """Pods that a quota held and none selects any more."""
    budgets: tuple[BudgetChange, ...] = ()


def plan_namespace(seen: Observation) -> NamespacePlan:
    """What has to be done in a namespace. A quota in a system namespace does nothing."""
    if seen.system:
        return NamespacePlan(tuple(QuotaPlan(quota, system=True) for quota in seen.quotas))
    claims = claim(seen.quotas, seen.pods)
    quotas = tuple(
        _plan_quota(seen, quota, claims.by_quota[quota.uid], claims.overlaps[quota.uid])
        for quota in seen.quotas
    )
    # Whom a quota selects that can't be read, nobody knows: while there is one, nothing is given back or
    # removed.
    if seen.invalid:
        return NamespacePlan(quotas)
    held = ((plan.quota, plan.pods, plan.containment.reserved_bytes) for plan in quotas)
    budgets = plan_budgets(held, seen.resource_quotas)
    finished = claim(seen.quotas, seen.finished).by_quota
    quotas = tuple(
        replace(plan, cleanup=cleanup_of(plan.quota, finished[plan.quota.uid], seen.finished_seconds))
        for plan in quotas
    )
    left = (pod for pod in claims.free if pod.held and pod.uid not in seen.stale)
    releases = (plan_release(pod, seen.setbacks.get(pod.uid)) for pod in left)
    to_do = tuple(plan for plan in releases if plan.change or plan.state is not State.REFUSED)
    return NamespacePlan(quotas, to_do, budgets)


def _is_to_be_asked(plan: PodPlan, seen: Observation) -> bool:
    if plan.unread:
        return seen.asks_again(plan.pod)
    past = outlives_its_lift(plan.pod, seen.witness(plan.pod).account)
    return past and seen.asks_again(plan.pod, SHOWN_AGAIN_SECONDS)


def _plan_quota(
    seen: Observation, quota: Quota, pods: Sequence[Pod], overlaps: tuple[tuple[Pod, tuple[str, ...]], ...]
) -> QuotaPlan:
    accounts = [(pod, seen.witness(pod).account) for pod in pods]
    known = {account.report.node: account for _, account in accounts if account is not None}
    before = standing_of(quota.status)
    clock = seen.clocks.get(quota.uid, JUST_STARTED)
    cpu = verdict_of(quota, accounts, before, clock)
    neighbours = neighbour_caps(quota, accounts, clock.left_seconds)
    all_caps = both(cpu.caps if cpu else {}, neighbours.caps)
    containment = contain(quota, accounts, seen.setbacks, clock.of_pods)
    if not has_room(quota, seen.resource_quotas, containment.reserved_bytes):
        containment = containment.kept()
    leaks = tuple(
        (pod, leak)
        for pod, account in accounts
        if account is not None and not account.stale
        for leak in account.leaks_of(pod)
    )
    running = {pod.uid for pod in seen.pods}

    def plan(pod: Pod) -> PodPlan:
        caps = caps_of(pod, all_caps)
        step = plan_pod(pod, quota, seen.setbacks.get(pod.uid), caps, containment.caps_of(pod))
        step = neighbours.attribute(step, quota.status.hold)
        step = attribute(containment.attribute(step), cpu, before.caps if before else {})
        return _awaited(hold_against(seen.witness(pod), step), seen.stale)

    plans = tuple(map(plan, pods))
    return QuotaPlan(
        quota,
        plans,
        tuple(each.pod for each in plans if quota.enforces and _is_to_be_asked(each, seen)),
        overlaps,
        usage_to_show(use_of(accounts), quota.status.usage, seen.usage_seconds.get(quota.uid, inf)),
        tuple(account for _, account in sorted(known.items()) if account.stale),
        tuple(sorted({pod.node for pod, account in accounts if account is None and pod.node})),
        {pod.uid: account for pod, account in accounts if account is not None},
        tuple(
            (node, account.report.yielding[quota.tenant])
            for node, account in sorted(known.items())
            if not account.stale and quota.tenant in account.report.yielding
        ),
        tuple(
            each
            for _, account in sorted(known.items())
            if not account.stale
            for each in account.report.harming
            if each.tenant == quota.tenant
        ),
        cpu,
        neighbours,
        leaks=leaks,
        containment=containment,
        restarts=restarts_of(quota, leaks, running, seen.restart_seconds.get(quota.uid, inf)),
    )


def _awaited(plan: PodPlan, stale: frozenset[str]) -> PodPlan:
    """On a pod that is seen as it was before the last step, the next one isn't decided."""
    if plan.pod.uid not in stale:
        return plan
    return replace(plan, state=State.RESIZING, change=None, adopt=False, message="")
