"""When a tenant yields, when it no longer does, and the CPU weights by which it does.

A tenant that *yields* keeps its limits and runs on what others leave: its pods' cgroups get the least weight,
and those of tenants within their share at least ``LIFT`` times that. It costs a tenant nothing while nobody
else wants the CPU, so demand over the share is reason enough, before anyone is harmed.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tenantquota.domain.contention import Over

AT_ONCE_FACTOR: Final = 1.5
"""Demand of so many times the share is acted upon in the same second; less, in the second one in a row."""
QUIET_SECONDS: Final = 5.0
"""A tenant yields until it was within its share for so long…"""
LONGEST_QUIET_SECONDS: Final = 12.0
"""…and twice as long each time it starts again soon, up to this: the time to full give-back is 15 s."""
SOON_SECONDS: Final = 60.0
LIFT: Final = 20
"""A victim's p99 is back at its quiet level from this ratio of weights on (design measurements; a ratio of 4
leaves 1.6 times)."""
LIFT_OF_ALL: Final = 10
"""And no less than so many times what all that yield have together, however many pods they are: their
neighbour is one of many to the scheduler, and so gets ten elevenths of the CPU if it wants that much."""
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


class Yield(NamedTuple):
    """One tenant's on one node. Times are seconds of a clock that never goes back."""

    tenant: str
    since: float
    last_over: float
    """When it was last over its share."""
    quiet_seconds: float
    """For how long it must be within its share."""
    evidence: Over
    """As of ``last_over``."""
    ended: float | None = None
    """Kept for a while after the end, so that one who starts again is known."""

    @property
    def active(self) -> bool:
        return self.ended is None


class Suspect(NamedTuple):
    """Over its share in the last second, by little."""

    at: float


class State(NamedTuple):
    """All that is remembered from second to second."""

    yields: Mapping[str, Yield] = {}
    suspects: Mapping[str, Suspect] = {}

    @property
    def active(self) -> dict[str, Yield]:
        return {tenant: each for tenant, each in self.yields.items() if each.active}


class Changes(NamedTuple):
    begun: tuple[Yield, ...]
    ended: tuple[Yield, ...]


def step(state: State, over: Mapping[str, Over], now: float) -> tuple[State, Changes]:
    """The state a second later, and what changed. A tenant begins to yield when it takes more than its share,
    and goes on for as long as it wants it: while it yields it gets less.

    Args:
        over: the tenants over their share in this second.
    """
    yields: dict[str, Yield] = {}
    begun, ended = [], []
    for tenant, each in state.yields.items():
        if each.ended is not None:
            if now - each.ended < SOON_SECONDS:
                yields[tenant] = each
        elif tenant in over:
            yields[tenant] = each._replace(last_over=now, evidence=over[tenant])
        elif now - each.last_over >= each.quiet_seconds:
            yields[tenant] = each._replace(ended=now)
            ended.append(yields[tenant])
        else:
            yields[tenant] = each
    suspects = {}
    for tenant, evidence in over.items():
        former = yields.get(tenant)
        if (former is not None and former.active) or not evidence.takes:
            continue
        if evidence.factor < AT_ONCE_FACTOR and tenant not in state.suspects:
            suspects[tenant] = Suspect(now)
            continue
        quiet = QUIET_SECONDS if former is None else min(LONGEST_QUIET_SECONDS, 2 * former.quiet_seconds)
        yields[tenant] = Yield(tenant, now, now, quiet, evidence)
        begun.append(yields[tenant])
    return State(yields, suspects), Changes(tuple(begun), tuple(ended))


class PodWeight(NamedTuple):
    """A pod as the scheduler sees it."""

    uid: str
    tenant: str
    kubelets: int
    """What the kubelet gives it by its requests."""
    busy: bool
    """It used CPU of late: among a tenant's pods, these share what it gets."""


def kubelet_weight(request_milli: int, *, version: int) -> int:
    """The weight that the kubelet writes for a pod: ``MilliCPUToShares`` and, on cgroup v2,
    ``CPUSharesToCPUWeight`` (k8s.io/kubernetes, pkg/kubelet/cm)."""
    shares = min(V1_MOST, max(V1_LEAST, request_milli * 1024 // 1000))
    return shares if version == 1 else 1 + (shares - 2) * 9999 // 262_142


def weights(pods: Iterable[PodWeight], yielding: Mapping[str, int], *, version: int) -> dict[str, int]:
    """The weights to write, by pod's uid; a pod that is not named keeps the kubelet's.

    Args:
        yielding: ``spec.weight`` of the tenants that yield. Among these a tenant gets what its weight is
            worth, however many pods it has.
    """
    if not yielding:
        return {}
    least, most = (V1_EXACT, V1_MOST) if version == 1 else (V2_EXACT, V2_MOST)
    all_pods = list(pods)
    busy = dict.fromkeys(yielding, 0)
    before = 0
    for pod in all_pods:
        if pod.tenant in busy:
            busy[pod.tenant] += pod.busy
            before += pod.kubelets
    smallest = min(weight / max(1, busy[tenant]) for tenant, weight in yielding.items())
    ratios = {tenant: weight / max(1, busy[tenant]) / smallest for tenant, weight in yielding.items()}
    wanted = sum(ratios[pod.tenant] for pod in all_pods if pod.tenant in ratios and pod.busy)
    # As large as rounding needs; beyond the least no more in all than the kubelet gave these tenants, so that
    # those who have no quota lose nothing.
    unit = min(ROUNDABLE * least, max(least, int(before / wanted) if wanted else least))
    given = {tenant: min(most, round(ratio * unit)) for tenant, ratio in ratios.items()}
    together = sum(given[pod.tenant] for pod in all_pods if pod.tenant in given and pod.busy)
    lifted = min(most, max(LIFT * max(given.values()), LIFT_OF_ALL * together))
    return {
        pod.uid: given[pod.tenant] if pod.tenant in given else max(lifted, pod.kubelets) for pod in all_pods
    }
