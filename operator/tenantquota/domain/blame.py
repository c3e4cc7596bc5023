"""When a harm is told, and until when: one second of stalls may be anybody's."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tenantquota.api.stalls import Resource
from tenantquota.domain.dues import Culprit
from tenantquota.domain.stalls import Harm

HARM_SECONDS: Final = 2
"""A harm is told once it was seen in so many seconds more than it wasn't…"""
_MOST_SECONDS: Final = 3
"""…of which no more than these are remembered."""
TOLD_SECONDS: Final = 10.0
"""And for so long after it was last seen: a disk that is felt every few seconds is one harm, not ten."""


class Pair(NamedTuple):
    """Who makes whom stall for what."""

    resource: Resource
    culprit: str
    victim: str


class Blame(NamedTuple):
    """A harm that is told. Times are seconds of a clock that never goes back."""

    since: float
    last: float
    harm: Harm
    """As of ``last``."""

    def culprit(self, tenant: str) -> Culprit:
        return next(each for each in self.harm.culprits if each.tenant == tenant)


class State(NamedTuple):
    """All that is remembered from second to second."""

    seen: Mapping[Pair, int] = {}
    """Grows by one in each second with the harm, falls by one in each without."""
    blames: Mapping[Pair, Blame] = {}


def step(state: State, harms: Iterable[Harm], now: float) -> tuple[State, list[Harm]]:
    """The state a second later, and the harms that are new in it.

    Args:
        harms: those of this second.
    """
    of_now = {Pair(harm.resource, each.tenant, harm.victim): harm for harm in harms for each in harm.culprits}
    seen = {}
    for pair in state.seen.keys() | of_now.keys():
        count = state.seen.get(pair, 0)
        count = min(_MOST_SECONDS, count + 1) if pair in of_now else count - 1
        if count > 0:
            seen[pair] = count
    blames = {pair: each for pair, each in state.blames.items() if now - each.last < TOLD_SECONDS}
    new = []
    for pair, harm in of_now.items():
        if seen[pair] < HARM_SECONDS:
            continue
        if pair not in blames and harm not in new:
            new.append(harm)
        since = blames[pair].since if pair in blames else now
        blames[pair] = Blame(since, now, harm)
    return State(seen, blames), new
