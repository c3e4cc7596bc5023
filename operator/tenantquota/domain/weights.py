"""The CPU weights by which tenants yield, and those who wait are lifted.

Lifting is bounded, since the kubelet takes a pod's weight for its CPU request: where a pod's ``cpu.shares``
are higher, it shows a higher ``status.resources.requests.cpu`` when it next syncs the pod. That counts as
taken when the scheduler places a pod (``AggregateContainerRequests``, k8s.io/component-helpers/resource) and
when the kubelet admits a resize, and it is shown until the kubelet syncs the pod again, 60 to 90 s later
where nothing else happens to it (measured, Kubernetes 1.37). A lower weight than the request's has no such
effect: the higher of the two counts.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

LIFT: Final = 20
"""So many times what all that yield have together, however many pods they are: on each CPU all of these may
stand against one pod of the victim's, which then gets twenty parts in 21. A victim's p99 is back at its quiet
level from this ratio on (measured; a ratio of 4 leaves 1.6 times, one of 10 about 1.3)."""
USE_FACTOR: Final = 2
"""Where there is room, a lifted pod also gets what the kubelet would give it if it requested so many times
what it uses: on a full node it stands against the system's pods too, which had idle CPUs before (measured,
decision 23)."""
SPARE_FRACTION: Final = 0.5
"""Of the CPU that nobody requests, so much may be taken by lifting, past lifts that the kubelet still shows
among it: the rest is for resizes and new pods."""
V1_LEAST: Final = 2
V1_MOST: Final = 262_144
V2_LEAST: Final = 1
V2_MOST: Final = 10_000
V1_EXACT: Final = 10
V2_EXACT: Final = 1
"""Between weights below this the kernel shares inexactly: it divides a weight among the CPUs that a pod runs
on, and reckons with whole shares (``scale_load_down``). Measured on two CPUs with ten pods of weight 2 and
one of 20: 1087 and 649 ms/s, where both should have had the same; with 10 and 100, 799 and 871."""
ROUNDABLE: Final = 3
"""A weight of so many times the exact least is off by a sixth at most when it is rounded."""


class PodWeight(NamedTuple):
    """A pod as the scheduler sees it."""

    uid: str
    tenant: str
    kubelets: int
    """What the kubelet gives it by its requests."""
    busy: bool
    """It used CPU of late: among a tenant's pods, these share what it gets."""
    awake: bool = True
    """It ran at all of late: one that sleeps needs no lift."""
    used_milli: int = 0
    """The most that it used of late."""
    shown_milli: int = 0
    """What the kubelet shows it to request beyond what it does."""


def kubelet_weight(request_milli: int, *, version: int) -> int:
    """The weight that the kubelet writes for a pod: ``MilliCPUToShares`` and, on cgroup v2,
    ``CPUSharesToCPUWeight`` (k8s.io/kubernetes, pkg/kubelet/cm)."""
    shares = min(V1_MOST, max(V1_LEAST, request_milli * 1024 // 1000))
    return shares if version == 1 else 1 + (shares - 2) * 9999 // 262_142


def request_milli(weight: int, *, version: int) -> int:
    """The CPU request that the kubelet takes a weight for, rounded up."""
    shares = weight if version == 1 else -(-(weight - 1) * 262_142 // 9999) + 2
    return -(-shares * 1000 // 1024)


def spare_milli(allocatable_milli: int, requested_milli: int, shown_milli: int) -> int:
    """How much of a node's CPU lifting may take beyond what is shown already.

    Args:
        shown_milli: what the kubelet shows pods to request beyond what they do, together.
    """
    return max(0, int(max(0, allocatable_milli - requested_milli) * SPARE_FRACTION) - shown_milli)


def weights(
    pods: Iterable[PodWeight],
    yielding: Mapping[str, int],
    lifted: Collection[str],
    spare: int,
    *,
    version: int,
) -> dict[str, int]:
    """The weights to write, by pod's uid; a pod that is not named keeps the kubelet's.

    Tenants that yield get the least weight, or what is needed to share exactly among them where there is room
    for it. Pods of lifted tenants get ``LIFT`` times that, or as much as there is room for, all alike; and
    more by what they use (``USE_FACTOR``) as far as there is room for it.

    Args:
        yielding: ``spec.weight`` of the tenants that yield. Among these a tenant gets what its weight is
            worth, however many pods it has.
        lifted: the tenants that waited while within their share.
        spare: millicores by which all weights together may exceed the kubelet's and what it shows already, in
            its reckoning.
    """
    if not yielding:
        return {}
    node = _Node(list(pods), yielding, lifted, version)
    for unit in node.units():
        given = node.given(unit)
        level = node.lift(given)
        if node.cost_milli(given | node.lifted_to(level)) <= spare:
            return given | node.lifted_by_use(level, spare - node.cost_milli(given))
    return node.within(spare)


class _Node:
    """The pods that are changed, and by how much."""

    def __init__(
        self, pods: list[PodWeight], yielding: Mapping[str, int], lifted: Collection[str], version: int
    ) -> None:
        self._version = version
        self._least, self._exact, self._most = (
            (V1_LEAST, V1_EXACT, V1_MOST) if version == 1 else (V2_LEAST, V2_EXACT, V2_MOST)
        )
        self._yielding = [pod for pod in pods if pod.tenant in yielding]
        self._lifted = [
            pod for pod in pods if pod.tenant in lifted and pod.tenant not in yielding and pod.awake
        ]
        self._kubelets = {pod.uid: pod.kubelets for pod in pods}
        self._shown = {pod.uid: pod.shown_milli for pod in pods}
        busy = dict.fromkeys(yielding, 0)
        for pod in self._yielding:
            busy[pod.tenant] += pod.busy
        smallest = min(weight / max(1, busy[tenant]) for tenant, weight in yielding.items())
        self._ratios = {
            tenant: weight / max(1, busy[tenant]) / smallest for tenant, weight in yielding.items()
        }
        """By tenant, a pod's weight in terms of the smallest."""

    def units(self) -> list[int]:
        """The weights that the smallest pod that yields may have, the best first."""
        if max(self._ratios.values()) == 1:
            return [self._least]
        before = sum(pod.kubelets for pod in self._yielding)
        wanted = sum(self._ratios[pod.tenant] for pod in self._yielding if pod.busy)
        # As large as rounding needs; beyond the exact least no more in all than the kubelet gave these
        # tenants, so that those who have no quota lose nothing.
        fine = int(before / wanted) if wanted else self._exact
        best = min(ROUNDABLE * self._exact, max(self._exact, fine))
        return sorted({best, self._exact, self._least}, reverse=True)

    def given(self, unit: int) -> dict[str, int]:
        return {pod.uid: min(self._most, round(self._ratios[pod.tenant] * unit)) for pod in self._yielding}

    def lift(self, given: Mapping[str, int]) -> int:
        """The weight that frees who waits of those that yield."""
        together = sum(given[pod.uid] for pod in self._yielding if pod.busy)
        largest = max(given.values(), default=self._least)
        return min(self._most, LIFT * max(together, largest))

    def within(self, spare: int) -> dict[str, int]:
        """The least weights there are for who yields, and the others lifted as far as there is room."""
        given = self.given(self._least)
        if self.cost_milli(given) > spare:
            given = {uid: min(weight, self._kubelets[uid]) for uid, weight in given.items()}
        spare -= self.cost_milli(given)
        return given | self._highest(self.lifted_to, self._least, self.lift(given), spare)

    def lifted_by_use(self, least: int, spare: int) -> dict[str, int]:
        """All at ``least`` at least, and each up to what its use is worth, to one level for all."""
        most = {
            pod.uid: max(least, kubelet_weight(USE_FACTOR * pod.used_milli, version=self._version))
            for pod in self._lifted
        }

        def lifted_to(level: int) -> dict[str, int]:
            weights = {pod.uid: min(level, most[pod.uid]) for pod in self._lifted}
            return {uid: weight for uid, weight in weights.items() if weight > self._kubelets[uid]}

        return self._highest(lifted_to, least, max(most.values(), default=least), spare)

    def lifted_to(self, level: int) -> dict[str, int]:
        return {pod.uid: level for pod in self._lifted if level > pod.kubelets}

    def cost_milli(self, weights: Mapping[str, int]) -> int:
        """By how much the kubelet is to take the pods' requests for more than it does already."""
        return sum(
            max(0, self._excess_milli(uid, weight) - self._shown[uid]) for uid, weight in weights.items()
        )

    def _excess_milli(self, uid: str, weight: int) -> int:
        return request_milli(weight, version=self._version) - request_milli(
            self._kubelets[uid], version=self._version
        )

    def _highest(
        self, lifted_to: Callable[[int], dict[str, int]], low: int, high: int, spare: int
    ) -> dict[str, int]:
        """Those of the highest level that there is room for; of the lowest in any case."""
        while low < high:
            level = (low + high + 1) // 2
            low, high = (level, high) if self.cost_milli(lifted_to(level)) <= spare else (low, level - 1)
        return lifted_to(low)
