"""Whom a shortage of I/O or memory makes stall, and who has more than its due meanwhile.

As with CPU (``contention``), harm is measured at the victim and blamed on whoever takes more than its due.
The signal is the kernel's pressure stall information of each container (Documentation/accounting/psi.rst):
how long a thread of it waited for a disk, or for memory to be freed. A tenant's quiet level is per unit of
its *work*: for I/O how long it stalls for one operation, so that a tenant which begins to read isn't taken
for one that is kept from reading; for memory how long in a second.

All rates are per second, times in ms a second: 1000 are all the time of one container.
"""

from collections.abc import Iterable, Mapping
from math import inf
from typing import Final, NamedTuple

from tenantquota.api.stalls import Resource
from tenantquota.domain.contention import DEFAULT_WEIGHT
from tenantquota.domain.shares import water_level

HARM_MS: Final = 20.0
"""A tenant is harmed when its stalls cost it so much a second more than its quiet level…"""
HARM_FACTOR: Final = 2.0
"""…and so many times of it."""
QUIET_SECONDS: Final = 3.0
"""A quiet level is known after so long; without one no harm can be shown."""
LEAST_WORK: Final = 0.5
"""Less in a whole look makes no mean."""
OPERATION_BYTES: Final = 32 * 2**10
"""What an operation costs a disk beside its bytes. The kernel's model of an SSD that it knows nothing of has
52 KiB for a read and 15 for a write (block/blk-iocost.c, AUTOP_SSD_DFL: bps / randiops - 4096)."""
OVER_FACTOR: Final = 1.25
"""I/O counts as over the share only past this, since that model is rough."""
TAKES_BYTES: Final = 2.0**20
"""I/O that costs less than this a second, 32 small operations, keeps nobody from a disk."""
OTHERS_FRACTION: Final = 0.1
"""While all others cost a disk less than this part of what a tenant does, its stalls are its own."""
OVER_NODE_FRACTION: Final = 0.02
"""Memory over the request counts when it is more than this part of the node's: less would help nobody."""
_SMOOTHING: Final = 0.1


class Stall(NamedTuple):
    """How long a tenant's containers on one node stalled for one resource."""

    tenant: str
    seconds: float
    """The time that was looked at."""
    stalled_ms: float
    """Summed over containers."""
    work: float
    """What they did meanwhile: operations of I/O; 1 for memory."""
    own: bool = False
    """Their own limit had a part in it."""

    @property
    def per_work_us(self) -> float:
        return self.stalled_ms * 1000 / max(1.0, self.work)


class QuietLevel(NamedTuple):
    """How long a tenant stalls for each unit of its work when nobody else is the cause."""

    per_work_us: float = 0.0
    seconds: float = 0.0
    """How much time went into it."""

    @property
    def known(self) -> bool:
        return self.seconds >= QUIET_SECONDS

    def stalled_ms(self, work: float) -> float:
        """A second, of one with so much work in it."""
        return self.per_work_us * max(1.0, work) / 1000


class IoUse(NamedTuple):
    """A tenant's I/O on one node."""

    tenant: str
    weight: int
    """``spec.weight``."""
    size_bytes: float
    """Read and written."""
    operations: float

    @property
    def cost_bytes(self) -> float:
        return io_cost_bytes(self.size_bytes, self.operations)


class OverShare(NamedTuple):
    """A tenant that does more than its share of a node's I/O while others wait for theirs."""

    tenant: str
    size_bytes: float
    operations: float
    fraction: float
    """Of what the node's disks do."""
    share: float

    @property
    def excess(self) -> float:
        return self.fraction - self.share

    @property
    def words(self) -> str:
        return (
            f"doing {self.size_bytes / 2**20:.1f} MiB/s in {self.operations:.0f} operations/s,"
            f" {self.fraction:.0%} of all with a share of {self.share:.0%}"
        )


class MemoryUse(NamedTuple):
    """A tenant's memory on one node."""

    tenant: str
    weight: int
    """``spec.weight``."""
    used_bytes: int
    """Working set."""
    requested_bytes: int


class OverRequest(NamedTuple):
    """A tenant that holds more memory than it requested on a node that has too little."""

    tenant: str
    used_bytes: int
    requested_bytes: int

    @property
    def excess(self) -> float:
        return self.used_bytes - self.requested_bytes

    @property
    def words(self) -> str:
        used, requested = self.used_bytes / 2**20, self.requested_bytes / 2**20
        return f"holding {used:.0f} MiB with {requested:.0f} MiB requested, on a node that reclaims memory"


Culprit = OverShare | OverRequest


class Harm(NamedTuple):
    """A tenant stalled, and who had more than its due meanwhile."""

    resource: Resource
    victim: str
    stalled_ms: float
    quiet_ms: float
    """What so much work stalls for when all is quiet."""
    culprits: tuple[Culprit, ...]
    """The one most over its due first."""

    @property
    def factor(self) -> float:
        return self.stalled_ms / max(1.0, self.quiet_ms)


def io_cost_bytes(size_bytes: float, operations: float) -> float:
    """What I/O costs a disk, as bytes of one long transfer that cost the same: linear in bytes and
    operations, as the kernel's model is (Documentation/admin-guide/cgroup-v2.rst, IO Cost)."""
    return size_bytes + operations * OPERATION_BYTES


def over_share(
    uses: Iterable[IoUse], others_cost_bytes: float, stalled: Mapping[str, float]
) -> list[OverShare]:
    """The tenants that do more than their weighted max-min fair share of a node's I/O, the most first. Who
    stalls wants more than it does, whoever doesn't has what it wants.

    Args:
        others_cost_bytes: what all that is no tenant's costs the disks, the system above all; it counts as
            one more tenant, so that nobody is blamed for what the system does.
        stalled: by tenant, for how many ms of the second.
    """
    found = list(uses)
    total = others_cost_bytes + sum(each.cost_bytes for each in found)
    demands = {
        each.tenant: (inf if stalled.get(each.tenant, 0.0) >= HARM_MS else each.cost_bytes, each.weight)
        for each in found
    }
    demands[""] = (others_cost_bytes, DEFAULT_WEIGHT)
    level = water_level(total, demands)
    over = []
    for each in found:
        share = level * each.weight
        if each.cost_bytes >= TAKES_BYTES and each.cost_bytes > share * OVER_FACTOR:
            fractions = each.cost_bytes / total, share / total
            over.append(OverShare(each.tenant, each.size_bytes, each.operations, *fractions))
    return sorted(over, key=lambda each: -each.excess)


def is_alone(use: IoUse, total_cost_bytes: float) -> bool:
    """All others together do so little that the tenant's stalls are its own.

    Args:
        total_cost_bytes: what all I/O of the node costs.
    """
    others_bytes = total_cost_bytes - use.cost_bytes
    return others_bytes < max(TAKES_BYTES, OTHERS_FRACTION * use.cost_bytes)


def over_request(uses: Iterable[MemoryUse], node_bytes: int) -> list[OverRequest]:
    """The tenants that hold much more than they requested, the most first: the kubelet's order of eviction
    (kubernetes.io, Node-pressure Eviction) without priorities; of two alike the one of less weight.

    Args:
        node_bytes: all memory of the node.
    """
    over = [each for each in uses if each.used_bytes - each.requested_bytes > node_bytes * OVER_NODE_FRACTION]
    over.sort(key=lambda each: (each.requested_bytes - each.used_bytes, each.weight))
    return [OverRequest(each.tenant, each.used_bytes, each.requested_bytes) for each in over]


def learned(level: QuietLevel, stall: Stall) -> QuietLevel:
    """The tenant's quiet level after one more look at it, in which nobody else was the cause."""
    if stall.own or stall.work * stall.seconds < LEAST_WORK:
        return level
    seconds = level.seconds + stall.seconds
    smoothing = max(_SMOOTHING, stall.seconds / seconds)
    per_work_us = level.per_work_us + (stall.per_work_us - level.per_work_us) * smoothing
    return QuietLevel(per_work_us, seconds)


def harms(
    resource: Resource,
    stalls: Iterable[Stall],
    culprits: Iterable[Culprit],
    quiet: Mapping[str, QuietLevel],
) -> list[Harm]:
    """Who was made to stall by those who have more than their due. They themselves are no victims: they wait
    for what is not theirs; nor is a tenant whose own limit had a part in it."""
    blamed = tuple(culprits)
    over = {each.tenant for each in blamed}
    found = []
    for each in stalls:
        level = quiet.get(each.tenant)
        if not blamed or each.tenant in over or each.own or level is None or not level.known:
            continue
        quiet_ms = level.stalled_ms(each.work)
        if each.stalled_ms >= HARM_FACTOR * quiet_ms and each.stalled_ms - quiet_ms >= HARM_MS:
            found.append(Harm(resource, each.tenant, each.stalled_ms, quiet_ms, blamed))
    return found


_FOR: Final = {Resource.IO: "I/O", Resource.MEMORY: "memory"}


def told(harm: Harm, culprit: Culprit, node: str) -> str:
    """The harm in words that a person can check, as one of the culprits is told of it."""
    more = len(harm.culprits) - 1
    others = f" (and {more} more)" if more else ""
    return (
        f"{culprit.tenant}{others} made {harm.victim} stall {harm.stalled_ms:.0f} ms/s for"
        f" {_FOR[harm.resource]}, {harm.factor:.1f} times its quiet level of {harm.quiet_ms:.1f} ms/s, on"
        f" {node}, {culprit.words}"
    )
