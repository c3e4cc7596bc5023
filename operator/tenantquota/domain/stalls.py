"""Whom a shortage of I/O or memory makes stall.

As with CPU (``contention``), harm is measured at the victim and blamed on whoever has more than its due
(``dues``).
The signal is the kernel's pressure stall information of each container (Documentation/accounting/psi.rst):
how long a thread of it waited for a disk, or for memory to be freed. A tenant's quiet level is per unit of
its *work*: for I/O how long it stalls for one operation, so that a tenant which begins to read isn't taken
for one that is kept from reading; for memory how long in a second.

All rates are per second, times in ms a second: 1000 are all the time of one container.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from tenantquota.api.stalls import Resource
from tenantquota.domain.dues import Culprit

HARM_MS: Final = 20.0
"""A tenant is harmed when its stalls cost it so much a second more than its quiet level…"""
HARM_FACTOR: Final = 2.0
"""…and so many times of it."""
QUIET_SECONDS: Final = 3.0
"""A quiet level is known after so long; without one no harm can be shown."""
LEAST_WORK: Final = 0.5
"""Less in a whole look makes no mean."""
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
    devices: frozenset[str] = frozenset()
    """For which they may have waited: those that they used, as major:minor; of I/O only."""

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
    culprits: Collection[Culprit],
    quiet: Mapping[str, QuietLevel],
) -> list[Harm]:
    """Who was made to stall by those who have more than their due of what it uses. They themselves are no
    victims: they wait for what is not theirs; nor is a tenant whose own limit had a part in it.

    Args:
        culprits: the one most over its due first.
    """
    over = {each.tenant for each in culprits}
    found = []
    for each in stalls:
        level = quiet.get(each.tenant)
        if each.tenant in over or each.own or level is None or not level.known:
            continue
        quiet_ms = level.stalled_ms(each.work)
        if each.stalled_ms < HARM_FACTOR * quiet_ms or each.stalled_ms - quiet_ms < HARM_MS:
            continue
        blamed: dict[str, Culprit] = {}
        for culprit in culprits:
            if culprit.concerns(each.devices):
                blamed.setdefault(culprit.tenant, culprit)
        if blamed:
            found.append(Harm(resource, each.tenant, each.stalled_ms, quiet_ms, tuple(blamed.values())))
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
