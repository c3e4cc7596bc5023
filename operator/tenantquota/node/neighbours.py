"""Each second: who wants more than its share, whom that harms, and which weights follow."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from tenantquota.domain import capping, contention, relief, yielding
from tenantquota.domain.contention import Activity, Over, Second
from tenantquota.domain.usage import NANOSECONDS
from tenantquota.domain.yielding import State, Yield
from tenantquota.node.activities import PodUse, activities_of, looked_at, pods_of
from tenantquota.node.caps import CappedContainer, Caps
from tenantquota.node.containers import Container
from tenantquota.node.harms import Harms
from tenantquota.node.pod_weights import PodWeights, Sides, Weights
from tenantquota.node.sampler import Tick

LOG: Final = logging.getLogger(__name__)


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
        self._files = weights
        self._weights = PodWeights(weights, spare_milli)
        self._capacity_ms = capacity_ms
        self._clock_ns = clock_ns
        self._idle_ms: float | None = None
        self._at: float | None = None
        self._state = State()
        self._caps = Caps(node)
        self._lifted: dict[str, float] = {}
        """The tenants that wait within their share, and when each last had need of a lift."""
        self._harms = Harms(node)

    @property
    def findings(self) -> int:
        """Victims that were found since the start."""
        return self._harms.found

    def holdings(self) -> list[Holding]:
        """The tenants that yield, by name."""
        return [self._holding(each) for _, each in sorted(self._state.active.items())]

    def after_tick(self, tick: Tick, containers: Collection[Container]) -> None:
        now = tick.at_ns / NANOSECONDS
        elapsed, self._at = (0.0 if self._at is None else now - self._at), now
        idle_before, self._idle_ms = self._idle_ms, self._idle.cpu_idle_ms()
        if tick.gone:
            self._harms.keep({container.owner.tenant for container in containers})
        if elapsed <= 0 or idle_before is None or self._idle_ms is None:
            return
        if tick.contended or self._state.active:
            activities = activities_of(containers, tick)
            second = self._second(activities, (self._idle_ms - idle_before) / elapsed)
            over = contention.over_share(second) | self._caps.wanting(activities, containers, tick.at_ns)
            # what others wait while somebody is held is no quiet level
            self._harms.learn(activities, full=second.full or bool(self._state.active))
        else:
            activities = activities_of(looked_at(containers, tick), tick)
            second, over = None, {}
            self._harms.learn(activities, full=False)
        pods = self._pods(containers, tick) if self._state.active else {}
        taken = second if over or self._state.active else None
        self._harms.after_second(taken, over, self._unharmed(pods), now)
        self._state, changes = yielding.step(self._state, over, now)
        self._lifted = yielding.lifted(self._lifted, activities, self._state, now)
        if not (self._state.active or changes.ended or tick.appeared) and self._weights.settled:
            return
        pods = pods or self._pods(containers, tick)
        self._cap(second, pods, containers, tick)
        self._weights.bring_to(self._sides(containers), pods, containers, now)
        seconds = (self._clock_ns() - tick.at_ns) / NANOSECONDS
        for begun in changes.begun:
            self._tell("TenantYields", begun, pods, seconds)
        for ended in changes.ended:
            self._tell("TenantNoLongerYields", ended, pods, seconds)

    def _pods(self, containers: Collection[Container], tick: Tick) -> dict[str, PodUse]:
        return pods_of(containers, self._files.version, tick.at_ns)

    def _second(self, activities: Collection[Activity], idle_ms: float) -> Second:
        used_ms = sum(each.used_ms for each in activities)
        others_ms = max(0.0, self._capacity_ms - idle_ms - used_ms)
        return Second(self._capacity_ms, idle_ms, tuple(activities), others_ms)

    def _cap(
        self,
        second: Second | None,
        pods: Mapping[str, PodUse],
        containers: Collection[Container],
        tick: Tick,
    ) -> None:
        """Whoever would yield if it were enforced is left out: it isn't known if that were enough."""
        enforced = {pod.tenant for pod in pods.values() if pod.enforces}
        yields = {tenant: each for tenant, each in self._state.active.items() if tenant in enforced}
        now = tick.at_ns / NANOSECONDS
        declared = {each.owner.tenant for each in containers if each.owner.latency_sensitive}
        sensitive = capping.sensitive_at_work(second, declared, self._lifted)
        self._caps.after_second(second, self._harms.grave, yields, sensitive, containers, now, tick.at_ns)

    def _unharmed(self, pods: Mapping[str, PodUse]) -> frozenset[str]:
        """The tenants that nobody harmed in this second, however long they waited: those that yield are to,
        and those whom weights free wait for the system or their own like."""
        yielding = self._state.active
        contenders = self._weights.contenders(yielding, pods)
        freed = frozenset[str]() if contenders is None else relief.freed(contenders, yielding)
        return freed | yielding.keys()

    def _sides(self, containers: Iterable[Container]) -> Sides:
        return Sides(self._state.active, self._lifted, self._caps.on_their_way(containers))

    def give_back(self) -> None:
        """Puts the kubelet's weights back."""
        self._weights.give_back()

    def _holding(self, of: Yield) -> Holding:
        mine = self._harms.of(of.tenant)
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
            "weights": {pod.path.rpartition("/")[2]: self._files.read(pod.path) for pod in own},
            "idleContainers": self._weights.idle_count({pod.path for pod in own}),
        }
        LOG.info("%s: %s", rule, message, extra={"audit": audit})
