"""Who has more than its due of a node's disks or memory while others stall for them (``stalls``).

All rates are per second.
"""

from collections.abc import Collection, Iterable, Mapping
from math import inf
from typing import Final, NamedTuple

from tenantquota.domain.contention import DEFAULT_WEIGHT
from tenantquota.domain.shares import water_level

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


class IoUse(NamedTuple):
    """A tenant's I/O on one device of one node."""

    tenant: str
    weight: int
    """``spec.weight``."""
    device: str
    """As major:minor."""
    size_bytes: float
    """Read and written."""
    operations: float

    @property
    def cost_bytes(self) -> float:
        return io_cost_bytes(self.size_bytes, self.operations)


class OverShare(NamedTuple):
    """A tenant that does more than its share of a device's I/O."""

    tenant: str
    device: str
    size_bytes: float
    operations: float
    fraction: float
    """Of what the device does."""
    share: float

    @property
    def excess(self) -> float:
        return self.fraction - self.share

    @property
    def words(self) -> str:
        return (
            f"doing {self.size_bytes / 2**20:.1f} MiB/s in {self.operations:.0f} operations/s,"
            f" {self.fraction:.0%} of disk {self.device}'s I/O with a share of {self.share:.0%}"
        )

    def concerns(self, devices: Collection[str]) -> bool:
        """Whether it is in the way of one that uses these."""
        return self.device in devices


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

    def concerns(self, devices: Collection[str]) -> bool:
        """Whoever needs memory."""
        return True


Culprit = OverShare | OverRequest


def io_cost_bytes(size_bytes: float, operations: float) -> float:
    """What I/O costs a disk, as bytes of one long transfer that cost the same: linear in bytes and
    operations, as the kernel's model is (Documentation/admin-guide/cgroup-v2.rst, IO Cost)."""
    return size_bytes + operations * OPERATION_BYTES


def over_share(
    uses: Iterable[IoUse], cost_bytes: Mapping[str, float], stalled: Collection[str]
) -> list[OverShare]:
    """The tenants that do more than their weighted max-min fair share of a device's I/O, the most first. Who
    stalls wants more than it does, whoever doesn't has what it wants.

    Args:
        cost_bytes: by device, what all I/O of the node costs it, whoever's it is. What is no tenant's, the
            system's above all, counts as one more tenant's, so that nobody is blamed for it.
        stalled: the tenants that wait for a disk.
    """
    by_device: dict[str, list[IoUse]] = {}
    for each in uses:
        by_device.setdefault(each.device, []).append(each)
    over: list[OverShare] = []
    for device, found in by_device.items():
        own_bytes = sum(each.cost_bytes for each in found)
        others_bytes = max(0.0, cost_bytes.get(device, 0.0) - own_bytes)
        over += _over_share(found, others_bytes, stalled)
    return sorted(over, key=lambda each: -each.excess)


def _over_share(
    uses: Collection[IoUse], others_bytes: float, stalled: Collection[str]
) -> Iterable[OverShare]:
    """Of one device."""
    total = others_bytes + sum(each.cost_bytes for each in uses)
    demands = {
        each.tenant: (inf if each.tenant in stalled else each.cost_bytes, each.weight) for each in uses
    }
    demands[""] = (others_bytes, DEFAULT_WEIGHT)
    level = water_level(total, demands)
    for each in uses:
        share = level * each.weight
        if each.cost_bytes >= TAKES_BYTES and each.cost_bytes > share * OVER_FACTOR:
            fractions = each.cost_bytes / total, share / total
            yield OverShare(each.tenant, each.device, each.size_bytes, each.operations, *fractions)


def alone(uses: Collection[IoUse], cost_bytes: Mapping[str, float]) -> set[str]:
    """The tenants beside which nobody does enough to matter, on any device that they use: their stalls are
    their own.

    Args:
        cost_bytes: as of ``over_share``.
    """
    own_bytes: dict[str, float] = {}
    for each in uses:
        own_bytes[each.device] = own_bytes.get(each.device, 0.0) + each.cost_bytes
    disturbed = set()
    for each in uses:
        total = max(own_bytes[each.device], cost_bytes.get(each.device, 0.0))
        if total - each.cost_bytes >= max(TAKES_BYTES, OTHERS_FRACTION * each.cost_bytes):
            disturbed.add(each.tenant)
    return {each.tenant for each in uses} - disturbed


def over_request(uses: Iterable[MemoryUse], node_bytes: int) -> list[OverRequest]:
    """The tenants that hold much more than they requested, the most first: the kubelet's order of eviction
    (kubernetes.io, Node-pressure Eviction) without priorities; of two alike the one of less weight.

    Args:
        node_bytes: all memory of the node.
    """
    over = [each for each in uses if each.used_bytes - each.requested_bytes > node_bytes * OVER_NODE_FRACTION]
    over.sort(key=lambda each: (each.requested_bytes - each.used_bytes, each.weight))
    return [OverRequest(each.tenant, each.used_bytes, each.requested_bytes) for each in over]
