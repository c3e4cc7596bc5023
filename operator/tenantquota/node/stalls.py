"""Each second in which the node stalls for I/O or memory: whom that harms, and who is to blame."""

import logging
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple, TypeVar

from tenantquota.api.stalls import Resource
from tenantquota.domain import blame, dues, stalls
from tenantquota.domain.blame import Blame, Pair, State
from tenantquota.domain.dues import IoUse, MemoryUse
from tenantquota.domain.stalls import Harm, QuietLevel, Stall
from tenantquota.domain.usage import NANOSECONDS, IoStall, MemoryStall, increase
from tenantquota.node.containers import Container
from tenantquota.node.pressure import Done, Gates
from tenantquota.node.sampler import Tick
from tenantquota.node.window import LastTwo

LOG: Final = logging.getLogger(__name__)


class Harming(NamedTuple):
    """A tenant that makes others stall, as it is told to others."""

    tenant: str
    resource: Resource
    since: float
    """Seconds of CLOCK_MONOTONIC."""
    victims: tuple[str, ...]
    message: str


_Look = TypeVar("_Look", IoStall, MemoryStall)


class _Stretch:
    """Seconds in a row in which the node stalls for one resource, and what its tenants' quiet levels are."""

    __slots__ = ("began_ns", "last_ns", "quiet")

    def __init__(self) -> None:
        self.began_ns: int | None = None
        """None while it doesn't stall."""
        self.last_ns = 0
        """The last second of the last stretch."""
        self.quiet: dict[str, QuietLevel] = {}

    def note(self, at_ns: int, *, stalled: bool) -> None:
        if stalled:
            self.last_ns = at_ns
            if self.began_ns is None:
                self.began_ns = at_ns
        else:
            self.began_ns = None

    def is_told_of(self, before: IoStall | MemoryStall) -> bool:
        """What happened since that look, happened in this stretch or, between stretches, since the last."""
        return before.at_ns >= (self.last_ns if self.began_ns is None else self.began_ns)

    def learn(self, of: Iterable[Stall]) -> None:
        for each in of:
            self.quiet[each.tenant] = stalls.learned(self.quiet.get(each.tenant, QuietLevel()), each)


class Stalls:
    """Keeps the state of one node; ``after_tick`` is called once a second.

    Args:
        gates: None where the kernel doesn't tell who stalls: then nothing is said of anyone.
        node_bytes: memory that the node has.
    """

    def __init__(self, node: str, gates: Gates | None, node_bytes: int) -> None:
        self._node = node
        self._gates = gates
        self._node_bytes = node_bytes
        self._io = _Stretch()
        self._memory = _Stretch()
        self._io_done: Done | None = None
        self._reclaimed: tuple[int, int] | None = None
        self._at_ns: int | None = None
        self._state: State[Harm] = State()
        self.findings = dict.fromkeys((Resource.IO, Resource.MEMORY), 0)
        """Harms that were found since the start."""

    @property
    def sees(self) -> bool:
        """Whether this kernel tells who stalls."""
        return self._gates is not None

    def harming(self) -> list[Harming]:
        """The tenants that make others stall, by name."""
        by_culprit: dict[tuple[str, Resource], list[tuple[Pair, Blame[Harm]]]] = {}
        for pair, each in self._state.blames.items():
            by_culprit.setdefault((pair.culprit, pair.resource), []).append((pair, each))
        return [
            self._harming(tenant, resource, blames)
            for (tenant, resource), blames in sorted(by_culprit.items())
        ]

    def after_tick(self, tick: Tick, containers: Collection[Container]) -> None:
        if self._gates is None:
            return
        if tick.gone:
            tenants = {container.owner.tenant for container in containers}
            for of in (self._io, self._memory):
                of.quiet = {tenant: level for tenant, level in of.quiet.items() if tenant in tenants}
        elapsed = (tick.at_ns - self._at_ns) / NANOSECONDS if self._at_ns is not None else 0.0
        self._at_ns = tick.at_ns
        harms = [
            *self._look_at_io(self._gates, tick, elapsed),
            *self._look_at_memory(self._gates, tick, containers),
        ]
        if harms or self._state.seen or self._state.blames:
            self._state, new = blame.step(self._state, harms, tick.at_ns / NANOSECONDS)
            for harm in new:
                self._tell(harm)

    def _look_at_io(self, gates: Gates, tick: Tick, elapsed: float) -> list[Harm]:
        stretch = self._io
        stretch.note(tick.at_ns, stalled=tick.stalled.io)
        done_before, self._io_done = self._io_done, gates.io_done() if tick.stalled.io else None
        found, uses = _io_of(each for each in tick.looked_at if _is_told(each.io_stalls, tick, stretch))
        if not tick.stalled.io:
            stretch.learn(found)
            return []
        if done_before is None or self._io_done is None or elapsed <= 0:
            return []
        cost_bytes = _cost_bytes(done_before, self._io_done, elapsed)
        stalled = {each.tenant for each in found if each.stalled_ms >= stalls.HARM_MS}
        over = dues.over_share(uses, cost_bytes, stalled)
        harms = stalls.harms(Resource.IO, found, over, stretch.quiet)
        alone = dues.alone(uses, cost_bytes)
        stretch.learn(each for each in found if each.tenant in alone)
        return harms

    def _look_at_memory(self, gates: Gates, tick: Tick, containers: Collection[Container]) -> list[Harm]:
        stretch = self._memory
        stretch.note(tick.at_ns, stalled=tick.stalled.memory)
        before, self._reclaimed = self._reclaimed, gates.reclaimed() if tick.stalled.memory else None
        found = _memory_of(each for each in tick.looked_at if _is_told(each.memory_stalls, tick, stretch))
        if not tick.stalled.memory:
            stretch.learn(found)
            return []
        if before is None or self._reclaimed is None:
            return []
        if self._reclaimed == before:
            stretch.learn(found)  # whatever stalls them, it is no lack of the node's memory
            return []
        over = dues.over_request(_memory_uses(containers), self._node_bytes)
        return stalls.harms(Resource.MEMORY, found, over, stretch.quiet)

    def _harming(self, tenant: str, resource: Resource, blames: list[tuple[Pair, Blame[Harm]]]) -> Harming:
        victims = tuple(sorted(pair.victim for pair, _ in blames))
        since = min(each.since for _, each in blames)
        worst = max((each for _, each in blames), key=lambda each: (each.last, each.harm.factor))
        culprit = next(each for each in worst.harm.culprits if each.tenant == tenant)
        message = stalls.told(worst.harm, culprit, self._node)
        return Harming(tenant, resource, since, victims, message)

    def _tell(self, harm: Harm) -> None:
        self.findings[harm.resource] += 1
        window = {"stalledMs": harm.stalled_ms, "quietMs": harm.quiet_ms}
        audit = blame.record(harm, self._node, window)
        message = stalls.told(harm, harm.culprits[0], self._node)
        LOG.info("NeighbourHarmed: %s", message, extra={"audit": audit})


def _is_told(looks: LastTwo[_Look], tick: Tick, stretch: _Stretch) -> bool:
    """There was a look in this tick, and what it says is of this stretch alone."""
    latest, before = looks.latest, looks.previous
    if latest is None or before is None or latest.at_ns < tick.at_ns:
        return False
    return stretch.is_told_of(before)


def _cost_bytes(before: Done, now: Done, seconds: float) -> dict[str, float]:
    """By device, of what it did in that time."""
    return {
        device: dues.io_cost_bytes(
            (increase(size_before, size) or 0) / seconds,
            (increase(operations_before, operations) or 0) / seconds,
        )
        for device, (operations, size) in now.items()
        for operations_before, size_before in (before.get(device, (0, 0)),)
    }


def _io_of(containers: Iterable[Container]) -> tuple[list[Stall], list[IoUse]]:
    """Of tenants, and of each tenant and device; from containers that have two looks."""
    found: dict[str, Stall] = {}
    uses: dict[tuple[str, str], IoUse] = {}
    for container in containers:
        now, before, owner = container.io_stalls.latest, container.io_stalls.previous, container.owner
        if now is None or before is None:
            continue
        seconds = (now.at_ns - before.at_ns) / NANOSECONDS
        stalled_ms = (increase(before.waiting_us, now.waiting_us) or 0) / 1000 / seconds
        work = 0.0
        used = {device for device, counters in now.done.items() if counters != before.done.get(device)}
        used = used or set(now.done)  # one that is kept from all may wait for any
        for device in used:
            operations, size_bytes = (
                (increase(*of) or 0) / seconds
                for of in zip(before.done.get(device, (0, 0)), now.done[device], strict=True)
            )
            work += operations
            use = uses.get((owner.tenant, device), IoUse(owner.tenant, owner.weight, device, 0.0, 0.0))
            uses[owner.tenant, device] = use._replace(
                size_bytes=use.size_bytes + size_bytes, operations=use.operations + operations
            )
        former = found.get(owner.tenant, Stall(owner.tenant, 0.0, 0.0, 0.0))
        found[owner.tenant] = Stall(
            owner.tenant,
            max(seconds, former.seconds),
            stalled_ms + former.stalled_ms,
            work + former.work,
            devices=former.devices | used,
        )
    return list(found.values()), list(uses.values())


def _memory_of(containers: Iterable[Container]) -> list[Stall]:
    """Of tenants, from containers that have two looks."""
    found: dict[str, Stall] = {}
    for container in containers:
        now, before = container.memory_stalls.latest, container.memory_stalls.previous
        if now is None or before is None:
            continue
        tenant = container.owner.tenant
        seconds = (now.at_ns - before.at_ns) / NANOSECONDS
        stalled_ms = (increase(before.waiting_us, now.waiting_us) or 0) / 1000 / seconds
        own = now.limit_hits != before.limit_hits
        former = found.get(tenant, Stall(tenant, 0.0, 0.0, 1.0))
        found[tenant] = Stall(
            tenant, max(seconds, former.seconds), stalled_ms + former.stalled_ms, 1.0, own or former.own
        )
    return list(found.values())


def _memory_uses(containers: Iterable[Container]) -> list[MemoryUse]:
    """What each tenant's containers hold, and what its pods requested."""
    used: dict[str, int] = {}
    weight: dict[str, int] = {}
    requested: dict[str, dict[str, int]] = {}
    for container in containers:
        owner = container.owner
        used[owner.tenant] = used.get(owner.tenant, 0) + (container.working_set_bytes or 0)
        weight[owner.tenant] = max(owner.weight, weight.get(owner.tenant, 0))
        requested.setdefault(owner.tenant, {})[container.pod_uid] = owner.memory_request_bytes
    return [
        MemoryUse(tenant, weight[tenant], size, sum(requested[tenant].values()))
        for tenant, size in used.items()
    ]
