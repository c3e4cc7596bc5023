"""Who wants more than its share of a node's CPU, and whom that makes wait.

Harm is measured at the victim and blamed on whoever uses more than its share meanwhile. The signal is how
long a tenant's threads wait each time before they run (*wait per dispatch*), against the tenant's own quiet
level. A second in which a tenant's own quota throttled it says nothing about its neighbours, since the kernel
counts that as waiting too (kubernetes/enhancements#5062). All rates are per second, so CPU is in ms a second:
1000 are one CPU.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tenantquota.api.stalls import Resource
from tenantquota.domain.shares import water_level

FULL_FRACTION: Final = 0.1
"""A node with less of its CPU idle than this is full: what a tenant takes, another one lacks."""
OVER_FACTOR: Final = 1.1
OVER_MS: Final = 20.0
"""Demand counts as over the share only past this factor and amount: less is within what a second's figures
scatter by."""
TAKES_FRACTION: Final = 0.8
"""A tenant that uses less than this of its share takes from nobody. It may seem to want more than its share
all the same: one thread that waits all the time wants a CPU."""
TAKES_MS: Final = 50.0
"""And less than this is nothing to take from anybody, however little the system leaves."""
OTHERS_MS: Final = 10.0
"""While all others together want less than this, nobody is there to be harmed."""
SYSTEM_FRACTION: Final = 0.5
"""Of the node: what is no tenant's counts up to this. What it takes beyond is no tenant's fault, so it makes
nobody's share smaller."""
HARM_FACTOR: Final = 2.0
HARM_MS: Final = 5.0
"""A tenant is harmed when its waits are so many times its quiet level, and cost it so much more a second."""
QUIET_LOOKS: Final = 3
"""So many looks at a tenant that worked on a quiet node make a quiet level; without one no harm can be
shown."""
MIN_DISPATCHES: Final = 5.0
"""Fewer a second make no mean."""
DEFAULT_WEIGHT: Final = 100
"""Of a quota that says nothing else."""
_OTHERS: Final = ""
_SMOOTHING: Final = 0.1


class Activity(NamedTuple):
    """What a tenant's containers on one node did over about a second."""

    tenant: str
    weight: int
    """``spec.weight``."""
    used_ms: float
    waiting_ms: float
    """Summed over the threads of containers that their own quota did not throttle."""
    dispatches: float
    """How often a thread got a CPU."""
    throttled: bool
    """By its own quota, in this second."""
    requested_ms: float = 0.0
    """What its pods request, in a second."""

    @property
    def demand_ms(self) -> float:
        """What it would use if nobody else were there."""
        return self.used_ms + self.waiting_ms

    @property
    def wait_per_dispatch_us(self) -> float | None:
        """None where that says nothing about neighbours."""
        if self.throttled or self.dispatches < MIN_DISPATCHES:
            return None
        return self.waiting_ms * 1000 / self.dispatches


class Second(NamedTuple):
    """A node over about a second."""

    capacity_ms: float
    """Of all its CPUs."""
    idle_ms: float
    tenants: tuple[Activity, ...]
    others_ms: float = 0.0
    """Used by all that is no tenant's: the system, pods without a quota."""

    @property
    def full(self) -> bool:
        return self.idle_ms < FULL_FRACTION * self.capacity_ms

    @property
    def systems(self) -> bool:
        """Most of it goes to what is no tenant's."""
        return self.others_ms > SYSTEM_FRACTION * self.capacity_ms

    @property
    def tenants_ms(self) -> float:
        """What tenants share."""
        return self.capacity_ms - min(self.others_ms, SYSTEM_FRACTION * self.capacity_ms)


class Over(NamedTuple):
    """A tenant that wants more than its share of a full node while others want CPU too."""

    tenant: str
    used_ms: float
    demand_ms: float
    share_ms: float
    requested_ms: float = 0.0
    """By its pods; the scheduler has set so much aside for them."""

    @property
    def factor(self) -> float:
        return self.demand_ms / max(1.0, self.share_ms)

    @property
    def takes(self) -> bool:
        """It has what it wants at the others' expense."""
        return self.used_ms >= max(TAKES_MS, TAKES_FRACTION * self.share_ms, self.requested_ms)

    @property
    def surplus_ms(self) -> float:
        """How far it is beyond what takes from nobody."""
        return self.used_ms - max(TAKES_FRACTION * self.share_ms, self.requested_ms)


class QuietLevel(NamedTuple):
    """How long a tenant's threads wait each time while the node has CPU to spare."""

    wait_us: float = 0.0
    looks: int = 0
    """How many went into it; on a quiet node there is one every ten seconds."""

    @property
    def known(self) -> bool:
        return self.looks >= QUIET_LOOKS


class Harm(NamedTuple):
    """A tenant waited, and who had more than its share meanwhile."""

    victim: str
    wait_us: float
    """Each time before a thread of it ran."""
    quiet_us: float
    culprits: tuple[Over, ...]
    """The one most over its share first."""
    lost_ms: float = 0.0
    """What its threads waited beyond its quiet level."""

    @property
    def resource(self) -> Resource:
        return Resource.CPU

    @property
    def factor(self) -> float:
        return self.wait_us / max(1.0, self.quiet_us)


def over_share(second: Second) -> dict[str, Over]:
    """The tenants whose demand is over their share of what the system leaves, which is half of the node at
    least, by name; none on a node that is not full. It is no less than what their pods request."""
    if not second.full:
        return {}
    demands = {each.tenant: (each.demand_ms, each.weight) for each in second.tenants}
    wanted = second.others_ms + sum(demand for demand, _ in demands.values())
    level = water_level(second.tenants_ms, demands)
    # What a tenant that its own quota holds has of a node that is full of others is no tenant's loss.
    demands[_OTHERS] = (second.others_ms, DEFAULT_WEIGHT)
    level_of_held = water_level(second.capacity_ms, demands)
    found = {}
    for each in second.tenants:
        share_ms = max((level_of_held if each.throttled else level) * each.weight, each.requested_ms)
        others_want = wanted - each.demand_ms >= OTHERS_MS
        if others_want and each.demand_ms > share_ms * OVER_FACTOR + OVER_MS:
            found[each.tenant] = Over(each.tenant, each.used_ms, each.demand_ms, share_ms, each.requested_ms)
    return found


def learned(level: QuietLevel, activity: Activity, *, full: bool) -> QuietLevel:
    """The tenant's quiet level after one more look at it."""
    wait_us = activity.wait_per_dispatch_us
    if full or wait_us is None:
        return level
    smoothing = max(_SMOOTHING, 1 / (level.looks + 1))
    return QuietLevel(level.wait_us + (wait_us - level.wait_us) * smoothing, level.looks + 1)


def harms(
    tenants: Iterable[Activity], over: Mapping[str, Over], quiet: Mapping[str, QuietLevel]
) -> list[Harm]:
    """Who was made to wait by those who took more than their share. Who takes it is no victim: it waits for
    what is not its due."""
    taking = [each for each in over.values() if each.takes]
    culprits = tuple(sorted(taking, key=lambda each: each.share_ms - each.demand_ms))
    if not culprits:
        return []
    found = []
    for each in tenants:
        level, wait_us = quiet.get(each.tenant), each.wait_per_dispatch_us
        if level is None or not level.known or wait_us is None:
            continue
        if each.tenant in over and over[each.tenant].takes:
            continue
        cost_ms = (wait_us - level.wait_us) * each.dispatches / 1000
        if wait_us >= HARM_FACTOR * level.wait_us and cost_ms >= HARM_MS:
            found.append(Harm(each.tenant, wait_us, level.wait_us, culprits, cost_ms))
    return found


def told(harm: Harm, culprit: str, node: str) -> str:
    """The harm that one of its culprits does, in words that a person can check."""
    first = next(each for each in harm.culprits if each.tenant == culprit)
    others = f" (and {len(harm.culprits) - 1} more)" if len(harm.culprits) > 1 else ""
    return (
        f"{first.tenant}{others} made {harm.victim} wait {harm.wait_us:.0f} µs a dispatch, {harm.factor:.1f}"
        f" times its quiet level of {harm.quiet_us:.0f} µs, on {node}, {_wanting(first)}"
    )


def wanted(over: Over, node: str) -> str:
    """The demand in words that a person can check."""
    return f"{over.tenant} is over its share of {node}, which is full, {_wanting(over)}"


def kept_free(over: Over, sensitive: str, node: str) -> str:
    """Why a tenant gets no more than it requests, in words that a person can check."""
    return f"{sensitive} is latency-sensitive and at work on {node}, {over.tenant} {_wanting(over)}"


def _wanting(over: Over) -> str:
    return (
        f"wanting {over.demand_ms:.0f} ms/s and using {over.used_ms:.0f} of its share of {over.share_ms:.0f}"
        " ms/s"
    )
