"""Brings pods' weights, and which of their containers run idle, to what follows from who yields."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple, Protocol

from tenantquota.domain import idling, runtime_work, weights
from tenantquota.domain.relief import Contender
from tenantquota.domain.weights import PodWeight
from tenantquota.node.activities import PodUse
from tenantquota.node.containers import Container
from tenantquota.node.idling import Idling
from tenantquota.node.weight_orders import Order

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


class Sides(NamedTuple):
    """Who is held and who is helped."""

    yielding: Collection[str]
    lifted: Collection[str]
    to_be_resized: Collection[str]
    """Of those that yield, the ones whose containers are about to get other limits."""


class PodWeights:
    """Remembers what it changed.

    Args:
        files: whoever reads and writes them.
        spare_milli: what ``domain.weights`` may lift pods by.
    """

    def __init__(self, files: Weights, spare_milli: Callable[[], int]) -> None:
        self._files = files
        self._spare_milli = spare_milli
        self._idling = Idling(files)
        self._resized_since: dict[str, float] = {}
        """Of pods of tenants that yield, by uid."""
        self._in_force: dict[str, int] | None = None
        """Weights of pods that have another than the kubelet's, by uid; None: they couldn't be written."""
        self._set: dict[str, int] = {}
        """What the kubelet gives the pods that have another weight, by directory."""
        self._most_used: dict[str, int] = {}
        """ms of CPU in a second, by directory, of pods that are lifted."""
        self._known: set[str] = set()
        """Directories of pods whose weight was looked at once, and needs no look while nobody yields."""

    @property
    def settled(self) -> bool:
        """Nothing is changed, and no pod to be looked at but new ones."""
        return bool(self._known) and not self._set and not self._idling.any

    def idle_count(self, pod_paths: Collection[str]) -> int:
        """How many containers of these pods run idle."""
        return self._idling.count(pod_paths)

    def bring_to(
        self, sides: Sides, pods: Mapping[str, PodUse], containers: Collection[Container], now: float
    ) -> None:
        """Brings the files to what is decided. Looks at those that were changed, and at pods that are new
        here: a predecessor may have changed them."""
        self._note_use(sides, pods)
        paths = {pod.path for pod in pods.values()}
        wanted = self._wanted(sides, pods, now)
        orders = self._idle_orders(sides, pods, containers)
        orders += [
            Order(path, kubelets, kubelets)
            for path, kubelets in self._set.items()
            if path not in paths and self._files.read(path) is not None  # no tenant's any more
        ]
        self._known &= paths
        self._set = {path: kubelets for path, kubelets in self._set.items() if path in paths}
        for uid, pod in pods.items():
            target = wanted.get(uid, pod.kubelets)
            if target == pod.kubelets and pod.path in self._known and pod.path not in self._set:
                continue
            found = self._files.read(pod.path)
            if found is None:
                continue
            self._known.add(pod.path)
            if target != pod.kubelets or found != target:
                self._set[pod.path] = pod.kubelets  # to be looked at again in the next second
            else:
                self._set.pop(pod.path, None)
            if found != target:
                orders.append(Order(pod.path, target, pod.kubelets))
        failed = any(self._files.give(orders)) if orders or self._set else False
        self._in_force = None if failed else wanted

    def contenders(self, yielding: Collection[str], pods: Mapping[str, PodUse]) -> list[Contender] | None:
        """The pods with what is in force; None when it couldn't be written. Those that are yet to start, of
        tenants that yield, are held by nobody and left out."""
        idle, in_force = self._idling.pods, self._in_force
        if in_force is None:
            return None
        return [
            Contender(
                pod.tenant,
                pod.path.rpartition("/")[0],
                in_force.get(uid, pod.kubelets),
                pod.used_ms >= (BUSY_MS if pod.tenant in yielding else AWAKE_MS),
                pod.path in idle,
            )
            for uid, pod in pods.items()
            if not (pod.starting and pod.tenant in yielding)
        ]

    def give_back(self) -> None:
        """Puts the kubelet's weights back."""
        orders = [Order(path, kubelets, kubelets) for path, kubelets in self._set.items()]
        self._files.give(self._idling.give_back() + orders)
        self._set.clear()

    def _note_use(self, sides: Sides, pods: Mapping[str, PodUse]) -> None:
        """In powers of two, so that a weight that goes by it is seldom written."""
        if not sides.yielding:
            self._most_used.clear()
            return
        before = self._most_used
        self._most_used = {
            pod.path: max(before.get(pod.path, 0), 1 << max(0, int(pod.used_ms) - 1).bit_length())
            for pod in pods.values()
            if pod.tenant in sides.lifted
        }

    def _wanted(self, sides: Sides, pods: Mapping[str, PodUse], now: float) -> dict[str, int]:
        """The weights that are not the kubelet's, by the pod's uid."""
        spared = self._spared(sides.yielding, pods, now)
        enforced = {
            pod.tenant: pod.weight for pod in pods.values() if pod.enforces and pod.tenant in sides.yielding
        }
        if not enforced:
            return {}
        return weights.weights(
            [self._as_scheduled(uid, pod) for uid, pod in pods.items() if pod.enforces and uid not in spared],
            enforced,
            sides.lifted,
            self._spare_milli(),
            version=self._files.version,
        )

    def _spared(self, yielding: Collection[str], pods: Mapping[str, PodUse], now: float) -> set[str]:
        """The pods of tenants that yield at which the runtime is at work, by uid."""
        theirs = {uid: pod for uid, pod in pods.items() if pod.tenant in yielding}
        self._resized_since = runtime_work.resized_since(
            self._resized_since, [uid for uid, pod in theirs.items() if pod.resizing], now
        )
        starting = {uid for uid, pod in theirs.items() if pod.starting}
        return starting | runtime_work.resized(self._resized_since, now)

    def _as_scheduled(self, uid: str, pod: PodUse) -> PodWeight:
        # One that was lifted stays so while its tenant is, so that it isn't written each second.
        awake = pod.used_ms >= AWAKE_MS or pod.path in self._set
        return PodWeight(
            uid,
            pod.tenant,
            pod.kubelets,
            pod.used_ms >= BUSY_MS,
            awake,
            self._most_used.get(pod.path, 0),
            pod.shown_milli,
        )

    def _idle_orders(
        self, sides: Sides, pods: Mapping[str, PodUse], containers: Collection[Container]
    ) -> list[Order]:
        candidates = (
            idling.Candidate(each.id, of.tenant, of.starting, of.resizing)
            for each in containers
            if (of := each.owner).enforces
        )
        idle = idling.idle_containers(candidates, sides.yielding, sides.to_be_resized)
        return self._idling.orders(containers, idle, lambda container: pods[container.pod_uid].kubelets)
