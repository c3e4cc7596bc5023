"""What the controller remembers between reconciles. All of it may be lost: a restart costs a few requests
that change nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tenantquota.api.status import TenantQuotaStatus
from tenantquota.domain.cpu_budget import Clock, Key
from tenantquota.domain.holds import standing_of
from tenantquota.domain.model import Pod, Quota
from tenantquota.domain.plan import QuotaPlan
from tenantquota.domain.reports import NodeAccount
from tenantquota.domain.resizes import PodPlan, Rule, acknowledged
from tenantquota.domain.setbacks import Setback, setback_of
from tenantquota.domain.truth import Nudge, Witness


@dataclass(slots=True)
class Memory:
    setbacks: dict[str, tuple[Setback, float]] = field(default_factory=dict)
    """Pod's uid → the resize that didn't go through, and when (monotonic seconds)."""
    written_generation: dict[str, int] = field(default_factory=dict)
    """Pod's uid → the generation that the last resize wrote; what the index shows before that is old."""
    written_status: dict[str, tuple[int, TenantQuotaStatus]] = field(default_factory=dict)
    """Quota's uid → the status last written, with its resourceVersion."""
    acknowledged: dict[str, tuple[Pod, float]] = field(default_factory=dict)
    """Pod's uid → the pod as it was when the kubelet was first seen at rest with it, and when (monotonic
    seconds)."""
    confirmed: dict[str, int] = field(default_factory=dict)
    """Pod's uid → the generation of which a report said that the cgroups hold it."""
    nudges: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Pod's uid → the generation that the last nudge wrote, and when (monotonic seconds)."""
    usage_shown: dict[str, float] = field(default_factory=dict)
    """Quota's uid → when its status came to show the usage that it shows (monotonic seconds)."""
    unread: dict[str, tuple[int, Rule | None]] = field(default_factory=dict)
    """Pod's uid → the generation of a resize that no report has confirmed yet, and why it was sent; None
    where a predecessor did."""
    resized: dict[str, float] = field(default_factory=dict)
    """Pod's uid → when it was last resized (monotonic seconds)."""
    caps_changed: dict[str, dict[Key, float]] = field(default_factory=dict)
    """Quota's uid → container → when the hold's cap of it last changed (monotonic seconds)."""
    hold_changed: dict[str, float] = field(default_factory=dict)
    """Quota's uid → when any of these last changed, or the controller first saw the hold."""
    fits_since: dict[str, float] = field(default_factory=dict)
    """Quota's uid → since when its sum of CPU has been well within the budget."""
    asked: dict[str, float] = field(default_factory=dict)
    """Pod's uid → when its last resize was sent, or the kubelet last had to try it again (monotonic
    seconds)."""
    removed: dict[str, float] = field(default_factory=dict)
    """Finished pod's uid → when its removal was last asked for (monotonic seconds)."""
    gone: set[str] = field(default_factory=set)
    """Uids that the API server no longer knows though the index still shows them: a watch that breaks can
    lose a deletion."""

    def setback(self, pod: Pod, now: float) -> Setback | None:
        """The pod's setback with its age, what the kubelet says now before what is remembered."""
        if (seen := setback_of(pod)) is not None:
            self.setbacks[pod.uid] = (seen, now)
        if pod.uid not in self.setbacks:
            return None
        setback, since = self.setbacks[pod.uid]
        return replace(setback, age_seconds=now - since)

    def witness(self, pod: Pod, account: NodeAccount | None, now: float) -> Witness:
        """What the kubelet's account of the pod is held against."""
        generation, since = self.nudges.get(pod.uid, (0, now))
        nudge = Nudge(generation, now - since) if generation else None
        confirmed = self.confirmed.get(pod.uid) == pod.generation
        return Witness(account, self._acknowledged_seconds(pod, now), nudge, confirmed)

    def confirm(self, plans: Iterable[PodPlan]) -> list[tuple[PodPlan, Rule | None]]:
        """Notes what the nodes' agents say of the pods as they are; the plans of pods whose last resize is
        read back only now, each with its rule where this controller sent it."""
        read = []
        for plan in plans:
            uid, generation = plan.pod.uid, plan.pod.generation
            if plan.confirmed:
                self.confirmed[uid] = generation
                if self.unread.get(uid, (0, None))[0] == generation:
                    read.append((plan, self.unread.pop(uid)[1]))
            elif generation > 1 and self.confirmed.get(uid) != generation:
                # a predecessor may have resized it; a pod of the first generation nobody has
                self.unread[uid] = max(self.unread.get(uid, (0, None)), (generation, None), key=_generation)
        return read

    def _acknowledged_seconds(self, pod: Pod, now: float) -> float:
        if not acknowledged(pod):
            self.acknowledged.pop(pod.uid, None)
            return 0.0
        seen, since = self.acknowledged.get(pod.uid, (pod, now))
        if (seen.generation, seen.containers) != (pod.generation, pod.containers):
            since = now
        self.acknowledged[pod.uid] = pod, since
        return now - since

    def note_budget(self, plan: QuotaPlan, now: float) -> None:
        """Notes when caps change, and since when the sum fits."""
        uid, cpu = plan.quota.uid, plan.cpu
        if cpu is not None and cpu.fits:
            self.fits_since.setdefault(uid, now)
        else:
            self.fits_since.pop(uid, None)
        before = standing_of(plan.quota.status)
        was = before.caps if before else {}
        caps = cpu.caps if cpu else {}
        if changed := {key for key in was.keys() | caps.keys() if was.get(key) != caps.get(key)}:
            self.caps_changed.setdefault(uid, {}).update(dict.fromkeys(changed, now))
            self.hold_changed[uid] = now
        if cpu is None or cpu.standing is None:
            self.caps_changed.pop(uid, None)
            self.hold_changed.pop(uid, None)

    def clock(
        self, quota_uid: str, pods: Iterable[Pod], now: float, held: Iterable[Key] | None, left_seconds: float
    ) -> Clock:
        """How long ago things happened to the hold for a quota's CPU budget.

        Args:
            held: the containers that its status says are held; None without a hold. One from before the
                controller came counts as changed when it was first seen.
        """
        if held is not None and quota_uid not in self.hold_changed:
            self.hold_changed[quota_uid] = now
            self.caps_changed[quota_uid] = dict.fromkeys(held, now)
        changed = self.hold_changed.get(quota_uid, now)
        caps = self.caps_changed.get(quota_uid, {})
        return Clock(
            fits_seconds=now - self.fits_since.get(quota_uid, now),
            changed_seconds=now - changed,
            left_seconds=left_seconds,
            of_caps={key: now - since for key, since in caps.items()},
            of_pods={pod.name: now - self.resized[pod.uid] for pod in pods if pod.uid in self.resized},
        )

    def stale(self, pod: Pod) -> bool:
        """The index doesn't show yet what was last written to the pod."""
        return pod.generation < self.written_generation.get(pod.uid, 0)

    def with_latest_status(self, quota: Quota) -> Quota:
        """The quota with the status that was written last, where the index doesn't show that yet."""
        version, status = self.written_status.get(quota.uid, (0, quota.status))
        return replace(quota, status=status) if version > quota.resource_version else quota

    def forget_all_but(self, uids: Iterable[str]) -> None:
        """Drops what is remembered of objects that are no more."""
        alive = set(uids)
        remembered: dict[str, Any]
        for remembered in (
            self.setbacks,
            self.written_generation,
            self.written_status,
            self.acknowledged,
            self.confirmed,
            self.nudges,
            self.usage_shown,
            self.unread,
            self.resized,
            self.caps_changed,
            self.hold_changed,
            self.fits_since,
            self.asked,
            self.removed,
        ):
            for uid in remembered.keys() - alive:
                del remembered[uid]
        self.gone &= alive


def _generation(of: tuple[int, Rule | None]) -> int:
    return of[0]
