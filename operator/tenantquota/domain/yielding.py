"""When a tenant yields, when it no longer does, and who is lifted meanwhile.

A tenant that *yields* keeps its limits and runs on what others leave: its pods' cgroups get the least weight,
and those of tenants that wait within their share a multiple of that (see ``weights``). It costs a tenant
nothing while nobody else wants the CPU, so demand over the share is reason enough, before anyone is harmed.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tenantquota.domain.contention import Activity, Over

AT_ONCE_FACTOR: Final = 1.5
"""Demand of so many times the share is acted upon in the same second; less, in the second one in a row."""
BURST_MS: Final = 100.0
"""What a tenant takes beyond its share must come to so much, some requests of an agent, before it yields:
where many tenants share few CPUs, a share is less than a second in which two customers ask. It is half
forgotten in each second in which the tenant takes from nobody."""
QUIET_SECONDS: Final = 5.0
"""A tenant yields until it was within its share for so long…"""
LONGEST_QUIET_SECONDS: Final = 12.0
"""…and twice as long each time it starts again soon, up to this: the time to full give-back is 15 s."""
SOON_SECONDS: Final = 60.0
WAITS_MS: Final = 1.0
"""A tenant whose threads waited less in a second needs no lift."""
LIFTED_SECONDS: Final = 10.0
"""A tenant that was lifted stays so until it did nothing for so long: while it is lifted, it hardly waits."""


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
    surplus_ms: Mapping[str, float] = {}
    """What each took beyond its share of late, as far as it isn't forgotten."""

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
    surplus_ms = _taken(state.surplus_ms, over)
    for tenant, evidence in over.items():
        former = yields.get(tenant)
        if (former is not None and former.active) or not evidence.takes:
            continue
        if surplus_ms[tenant] < BURST_MS:
            continue
        if evidence.factor < AT_ONCE_FACTOR and tenant not in state.suspects:
            suspects[tenant] = Suspect(now)
            continue
        quiet = QUIET_SECONDS if former is None else min(LONGEST_QUIET_SECONDS, 2 * former.quiet_seconds)
        yields[tenant] = Yield(tenant, now, now, quiet, evidence)
        begun.append(yields[tenant])
    return State(yields, suspects, surplus_ms), Changes(tuple(begun), tuple(ended))


def _taken(former: Mapping[str, float], over: Mapping[str, Over]) -> dict[str, float]:
    """What each has taken by now, by tenant; those who took next to nothing are left out."""
    now = {tenant: each.surplus_ms for tenant, each in over.items() if each.takes}
    found = {tenant: ms / 2 for tenant, ms in former.items() if tenant not in now and ms >= 1.0}
    return found | {tenant: former.get(tenant, 0.0) + ms for tenant, ms in now.items()}


def lifted(
    former: Mapping[str, float], activities: Iterable[Activity], state: State, now: float
) -> dict[str, float]:
    """The tenants to be lifted above those that yield, and when each last had need of it: those that wait
    while within their share, whoever makes them. None while nobody yields.

    Args:
        former: the same of a second ago.
    """
    yielding = state.active
    if not yielding:
        return {}
    found = {
        tenant: since
        for tenant, since in former.items()
        if tenant not in yielding and now - since < LIFTED_SECONDS
    }
    for each in activities:
        needs = each.waiting_ms >= WAITS_MS or (each.tenant in found and each.used_ms >= WAITS_MS)
        if needs and each.tenant not in yielding and each.tenant not in state.suspects:
            found[each.tenant] = now
    return found
