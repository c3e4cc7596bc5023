"""Each second: who wants more than its share, whom that harms, and which weights follow."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from tenantquota.domain import blame, contention, idling, weights, yielding
from tenantquota.domain.contention import Activity, Harm, Over, QuietLevel, Second
from tenantquota.domain.losses import Loss, losses
from tenantquota.domain.usage import NANOSECONDS
from tenantquota.domain.weights import PodWeight
from tenantquota.domain.yielding import State, Yield
from tenantquota.node.activities import PodUse, activities_of, looked_at, pods_of
from tenantquota.node.caps import CappedContainer, Caps
from tenantquota.node.containers import Container
from tenantquota.node.idling import Idling
from tenantquota.node.sampler import Tick
from tenantquota.node.weight_orders import Order

LOG: Final = logging.getLogger(__name__)

BUSY_MS: Final = 10.0
"""A pod that uses so much CPU a second has a part in what its tenant gets."""
AWAKE_MS: Final = 0.5
"""One that uses less sleeps."""


class Weights(Protocol):
    """Reads and sets the weights of pods, and which containers run idle, by directory."""

    version: int

    def read(self, path: str) -> int | None: ...

    def runs_idle(self, path: str) -> bool | None: ...

    def give(self, orders: Iterable[Order]) -> list[str]: ...


class Idle(Protocol):
    def cpu_idle_ms(self) -> float | None: ...


class Holding(NamedTuple):
    """A tenant that yields now, as it is told to others."""

    tenant: str
    since: float
    """Seconds of CLOCK_MONOTONIC."""
    evidence: Over
    victims: tuple[str, ...]
    """Whom it was seen to harm."""
    message: str
    caps: tuple[CappedContainer, ...] = ()
    """Of its containers, those that are to have a lower limit besides."""


class Neighbours:
    """Keeps the state of one node; ``after_tick`` is called once a second.

    Args:
        capacity_ms: CPU time that the node has in a second.
        spare_milli: what ``domain.weights`` may lift pods by.
    """

    def __init__(
        self,
        node: str,
        idle: Idle,
        weights: Weights,
        capacity_ms: float,
        spare_milli: Callable[[], int],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._node = node
        self._idle = idle
        self._weights = weights
        self._capacity_ms = capacity_ms
        self._spare_milli = spare_milli
        self._clock_ns = clock_ns
        self._idle_ms: float | None = None
        self._at: float | None = None
        self._state = State()
        self._caps = Caps(node)
        self._idling = Idling(weights)
        self._lifted: dict[str, float] = {}
        """The tenants that wait within their share, and when each last had need of a lift."""
        self._quiet: dict[str, QuietLevel] = {}
        self._losses: dict[str, Loss] = {}
        """By tenant, while anybody takes more than its share."""
        self._blame: blame.State[Harm] = blame.State()
        self._set: dict[str, int] = {}
        """What the kubelet gives the pods that have another weight, by directory."""
        self._most_used: dict[str, int] = {}
        """ms of CPU in a second, by directory, of pods that are lifted."""
        self._known: set[str] = set()
        """Directories of pods whose weight was looked at once, and needs no look while nobody yields."""
        self.findings = 0
        """Victims that were found since the start."""

    def holdings(self) -> list[Holding]:
        """The tenants that yield, by name."""
        return [self._holding(each) for _, each in sorted(self._state.active.items())]

    def after_tick(self, tick: Tick, containers: Collection[Container]) -> None:
        now = tick.at_ns / NANOSECONDS
        elapsed, self._at = (0.0 if self._at is None else now - self._at), now
        idle_before, self._idle_ms = self._idle_ms, self._idle.cpu_idle_ms()
        if tick.gone:
            tenants = {container.owner.tenant for container in containers}
            self._quiet = {tenant: level for tenant, level in self._quiet.items() if tenant in tenants}
        if elapsed <= 0 or idle_before is None or self._idle_ms is None:
            return
        if tick.contended or self._state.active:
            activities = activities_of(containers, tick)
            second = self._second(activities, (self._idle_ms - idle_before) / elapsed)
            over = contention.over_share(second) | self._caps.wanting(activities, containers, tick.at_ns)
            # what others wait while somebody is held is no quiet level
            self._learn(activities, full=second.full or bool(self._state.active))
            harms = contention.harms(activities, over, self._quiet)
        else:
            activities = activities_of(looked_at(containers, tick), tick)
            second, over, harms = None, {}, []
            self._learn(activities, full=False)
        self._losses = losses(self._losses, second, harms) if second and (over or self._state.active) else {}
        self._blame_for([harm for harm in harms if self._losses[harm.victim].felt], now)
        self._state, changes = yielding.step(self._state, over, now)
        self._lifted = yielding.lifted(self._lifted, activities, self._state, now)
        changed = self._set or self._idling.any
        if not (self._state.active or changed or changes.ended or tick.appeared or not self._known):
            return
        pods = pods_of(containers, self._weights.version)
        self._note_use(pods)
        self._cap(second, harms, pods, containers, tick)
        self._set_weights(pods, containers)
        seconds = (self._clock_ns() - tick.at_ns) / NANOSECONDS
        for begun in changes.begun:
            self._tell("TenantYields", begun, pods, seconds)
        for ended in changes.ended:
            self._tell("TenantNoLongerYields", ended, pods, seconds)

    def _second(self, activities: Collection[Activity], idle_ms: float) -> Second:
        used_ms = sum(each.used_ms for each in activities)
        others_ms = max(0.0, self._capacity_ms - idle_ms - used_ms)
        return Second(self._capacity_ms, idle_ms, tuple(activities), others_ms)

    def _cap(
        self,
        second: Second | None,
        harms: Iterable[Harm],
        pods: Mapping[str, PodUse],
        containers: Collection[Container],
        tick: Tick,
    ) -> None:
        """Whoever would yield if it were enforced is left out: it isn't known if that were enough."""
        enforced = {pod.tenant for pod in pods.values() if pod.enforces}
        yields = {tenant: each for tenant, each in self._state.active.items() if tenant in enforced}
        grave = [harm for harm in harms if self._losses[harm.victim].too_much]
        self._caps.after_second(second, grave, yields, containers, tick.at_ns / NANOSECONDS, tick.at_ns)

    def give_back(self) -> None:
        """Puts the kubelet's weights back."""
        orders = [Order(path, kubelets, kubelets) for path, kubelets in self._set.items()]
        self._weights.give(self._idling.give_back() + orders)
        self._set.clear()

    def _learn(self, activities: Iterable[Activity], *, full: bool) -> None:
        for each in activities:
            level = self._quiet.get(each.tenant, QuietLevel())
            self._quiet[each.tenant] = contention.learned(level, each, full=full)

    def _blame_for(self, harms: Iterable[Harm], now: float) -> None:
        self._blame, new = blame.step(self._blame, harms, now)
        for harm in new:
            self.findings += 1
            audit = {
                "rule": "NeighbourHarmed",
                "resource": harm.resource.value,
                "tenant": harm.victim,
                "node": self._node,
                "culprits": [each._asdict() for each in harm.culprits],
                "window": {"waitUs": harm.wait_us, "quietUs": harm.quiet_us},
            }
            message = contention.told(harm, harm.culprits[0].tenant, self._node)
            LOG.info("NeighbourHarmed: %s", message, extra={"audit": audit})

    def _note_use(self, pods: Mapping[str, PodUse]) -> None:
        """In powers of two, so that a weight that goes by it is seldom written."""
        if not self._state.active:
            self._most_used.clear()
            return
        before = self._most_used
        self._most_used = {
            pod.path: max(before.get(pod.path, 0), 1 << max(0, int(pod.used_ms) - 1).bit_length())
            for pod in pods.values()
            if pod.tenant in self._lifted
        }

    def _set_weights(self, pods: Mapping[str, PodUse], containers: Collection[Container]) -> None:
        """Brings the files to what is decided. Looks at those that were changed, and at pods that are new
        here: a predecessor may have changed them."""
        active = self._state.active
        enforced = {pod.tenant: pod.weight for pod in pods.values() if pod.enforces and pod.tenant in active}
        wanted: dict[str, int] = {}
        if enforced:
            wanted = weights.weights(
                [self._as_scheduled(uid, pod) for uid, pod in pods.items() if pod.enforces],
                enforced,
                self._lifted,
                self._spare_milli(),
                version=self._weights.version,
            )
        paths = {pod.path for pod in pods.values()}
        orders = self._idle_orders(pods, containers, enforced)
        orders += [
            Order(path, kubelets, kubelets)
            for path, kubelets in self._set.items()
            if path not in paths and self._weights.read(path) is not None  # no tenant's any more
        ]
        self._known &= paths
        self._set = {path: kubelets for path, kubelets in self._set.items() if path in paths}
        for uid, pod in pods.items():
            target = wanted.get(uid, pod.kubelets)
            if target == pod.kubelets and pod.path in self._known and pod.path not in self._set:
                continue
            found = self._weights.read(pod.path)
            if found is None:
                continue
            self._known.add(pod.path)
            if target != pod.kubelets or found != target:
                self._set[pod.path] = pod.kubelets  # to be looked at again in the next second
            else:
                self._set.pop(pod.path, None)
            if found != target:
                orders.append(Order(pod.path, target, pod.kubelets))
        if orders or self._set:
            self._weights.give(orders)

    def _idle_orders(
        self,
        pods: Mapping[str, PodUse],
        containers: Collection[Container],
        enforced: Collection[str],
    ) -> list[Order]:
        idle = idling.idle_pods(
            (idling.Candidate(uid, pod.tenant, pod.resizing) for uid, pod in pods.items() if pod.enforces),
            enforced,
            {tenant for tenant in enforced if self._caps.of(tenant)},
        )
        return self._idling.orders(containers, idle, lambda container: pods[container.pod_uid].kubelets)

    def _as_scheduled(self, uid: str, pod: PodUse) -> PodWeight:
        # One that was lifted stays so while its tenant is, so that it isn't written each second.
        awake = pod.used_ms >= AWAKE_MS or pod.path in self._set
        return PodWeight(
            uid, pod.tenant, pod.kubelets, pod.used_ms >= BUSY_MS, awake, self._most_used.get(pod.path, 0)
        )

    def _holding(self, of: Yield) -> Holding:
        mine = [each for pair, each in self._blame.blames.items() if pair.culprit == of.tenant]
        over = of.evidence
        if mine:
            worst = max(mine, key=lambda each: (each.last, each.harm.factor))
            message = contention.told(worst.harm, of.tenant, self._node)
        else:
            message = contention.wanted(over, self._node)
        victims = tuple(sorted(each.harm.victim for each in mine))
        caps = self._caps.of(of.tenant)
        return Holding(of.tenant, of.since, over, victims, self._caps.message(of.tenant) or message, caps)

    def _tell(self, rule: str, of: Yield, pods: Mapping[str, PodUse], seconds: float) -> None:
        """
        Args:
            seconds: from the moment at which the tick began to look to the weights in the files.
        """
        own = [pod for pod in pods.values() if pod.tenant == of.tenant]
        message = contention.wanted(of.evidence, self._node)
        audit = {
            "rule": rule,
            "tenant": of.tenant,
            "node": self._node,
            "since": round(of.since, 3),
            "tookSeconds": round(seconds, 4),
            "window": of.evidence._asdict(),
            "mode": "Enforce" if all(pod.enforces for pod in own) else "Observe",
            "weights": {pod.path.rpartition("/")[2]: self._weights.read(pod.path) for pod in own},
            "idleContainers": self._idling.count({pod.path for pod in own}),
        }
        LOG.info("%s: %s", rule, message, extra={"audit": audit})
