"""When a harm is told, and until when: one second of waiting may be anybody's."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from tenantquota.api.stalls import Resource

HARM_SECONDS: Final = 2
"""A harm is told once it was seen in so many seconds more than it wasn't…"""
_MOST_SECONDS: Final = 3
"""…of which no more than these are remembered."""
TOLD_SECONDS: Final = 10.0
"""And for so long after it was last seen: a neighbour that is felt every few seconds is one harm, not ten."""


class Culprit(Protocol):
    @property
    def tenant(self) -> str: ...

    def _asdict(self) -> dict[str, Any]: ...


class Harm(Protocol):
    """What was seen in one second (``contention.Harm``, ``stalls.Harm``)."""

    @property
    def resource(self) -> Resource: ...

    @property
    def victim(self) -> str: ...

    @property
    def culprits(self) -> Sequence[Culprit]: ...


_AnyHarm = TypeVar("_AnyHarm", bound=Harm)


class Pair(NamedTuple):
    """Who makes whom wait for what."""

    resource: Resource
    culprit: str
    victim: str


class Blame(NamedTuple, Generic[_AnyHarm]):
    """A harm that is told. Times are seconds of a clock that never goes back."""

    since: float
    last: float
    harm: _AnyHarm
    """As of ``last``."""


class State(NamedTuple, Generic[_AnyHarm]):
    """All that is remembered from second to second."""

    seen: Mapping[Pair, int] = {}
    """Grows by one in each second with the harm, falls by one in each without."""
    blames: Mapping[Pair, Blame[_AnyHarm]] = {}


def step(
    state: State[_AnyHarm], harms: Iterable[_AnyHarm], now: float
) -> tuple[State[_AnyHarm], list[_AnyHarm]]:
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
    new: list[_AnyHarm] = []
    for pair, harm in of_now.items():
        if seen[pair] < HARM_SECONDS:
            continue
        if pair not in blames and harm not in new:
            new.append(harm)
        since = blames[pair].since if pair in blames else now
        blames[pair] = Blame(since, now, harm)
    return State(seen, blames), new


def record(harm: Harm, node: str, window: Mapping[str, float]) -> dict[str, Any]:
    """What the audit log says of a harm that is new.

    Args:
        window: what was measured at the victim, by name, with units in the names.
    """
    return {
        "rule": "NeighbourHarmed",
        "resource": harm.resource.value,
        "tenant": harm.victim,
        "node": node,
        "culprits": [each._asdict() for each in harm.culprits],
        "window": dict(window),
    }
