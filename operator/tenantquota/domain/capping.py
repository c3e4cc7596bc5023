"""CPU limits for those who yield while others go on waiting for them, or are latency-sensitive.

Least weight doesn't free everybody (``relief``): a lift is bounded by what nobody requests, weights don't
count between QoS classes, and not every kernel has idle groups (see decisions 23 and 27). Whoever yields then
gets a limit that leaves a good part of the CPUs' time to the others. It goes no lower than that, is given
back in steps once nobody waits, and ends with the yield.

While a latency-sensitive tenant is at work, whoever yields gets what its pods request and hardly more. On a
node that is full, be it of idle groups, the kernel hardly looks for another CPU when a thread wakes on a busy
one (``SIS_UTIL`` in kernel/sched/fair.c; decision 37). CPU is milli-CPU, which is also ms a second.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from tenantquota.domain.contention import DEFAULT_WEIGHT, OTHERS_MS, Second
from tenantquota.domain.shares import common_level
from tenantquota.domain.yielding import Yield

AFTER_SECONDS: Final = 5.0
"""Weights are in force within a second; a victim that went on waiting for so long has shown that they aren't
enough, and its waits were more than requests that coincide."""
SHARE_PART: Final = 0.5
"""Of the share, so that others find a CPU free for half of the time."""
STEP_SECONDS: Final = 5.0
"""The least time between two changes."""
STEP_FACTOR: Final = 1.5
"""By how much the limits grow in one step."""
FIRST_PATIENCE_SECONDS: Final = 10.0
LONGEST_PATIENCE_SECONDS: Final = 80.0
"""For how long nobody waits until a step is given back. Each time that it proves too early, twice as long."""
EVADES_FACTOR: Final = 1.2
"""A tenant that uses so many times its allowance does it in containers that have no limit yet."""
REQUESTED_LEAST_MILLI: Final = 100
"""Who gets what its pods request gets so much at least: an agent that requests next to nothing must go on
answering its probes. Measured on two CPUs: beside two hogs with 100m or 40m each, requests of 20 ms of CPU
had a p95 of 39 and 44 ms, beside none 45, beside two that ran idle without a limit 58 (decision 37)."""
GRAIN_MILLI: Final = 10
"""Whole percents of a CPU, as systemd's cgroup driver rounds limits; also the kernel's least."""


class Consumer(NamedTuple):
    """One container of a tenant that yields."""

    key: str
    """Its id."""
    used_milli: float
    floor_milli: int
    """What its pod requests: that was set aside for it."""
    throttled: bool
    """It wanted more than its limit."""


class Press(NamedTuple):
    """Why a tenant is to have lower limits in this second.

    Attributes:
        message: for whom, in words.
        allowance_milli: what its containers may use together; None: what their pods request, and no more.
    """

    message: str
    allowance_milli: int | None


class Cap(NamedTuple):
    """What the containers of one tenant may use on one node. Times are seconds of a clock that never goes
    back."""

    tenant: str
    since: float
    changed: float
    calm_since: float
    """When somebody last waited for it."""
    patience_seconds: float
    raised: bool
    """Something was given back since it was last lowered."""
    allowance_milli: int
    """For all of them together."""
    wanted_milli: int
    """What they used when it began; an allowance of so much holds nobody."""
    limits: Mapping[str, int]
    """By container; none while all is given back."""
    message: str
    """The harm, or the latency-sensitive tenant, that it is for, in words."""
    to_requests: bool = False
    """They get what their pods request."""

    @property
    def active(self) -> bool:
        return bool(self.limits)


def allowance_milli(second: Second, tenant: str, share_milli: float) -> int:
    """What a tenant may use that is capped: half of its share, but no less than its weight is worth among all
    that use CPU in this second.

    Args:
        share_milli: what it is entitled to where others want less than their weight is worth.
    """
    weights = {each.tenant: each.weight for each in second.tenants if each.demand_ms >= OTHERS_MS}
    weight = weights.setdefault(tenant, DEFAULT_WEIGHT)
    return round(max(second.tenants_ms * weight / sum(weights.values()), SHARE_PART * share_milli))


def sensitive_at_work(
    second: Second | None, sensitive: Collection[str], lifted: Collection[str]
) -> str | None:
    """The latency-sensitive tenant for whom CPUs are to be free, the first by name. There is none while all
    of them that wait within their share use next to nothing together: a program that sleeps wakes now and
    then, and waits for those who fill the node."""
    if second is None:
        return None
    of = {each.tenant: each.used_ms for each in second.tenants if each.tenant in sensitive}
    waiting = sorted(tenant for tenant in of if tenant in lifted)
    at_work = sum(of[tenant] for tenant in waiting) >= OTHERS_MS
    return waiting[0] if at_work else None


def step(
    caps: Mapping[str, Cap],
    yields: Mapping[str, Yield],
    pressed: Mapping[str, Press],
    consumers: Mapping[str, Iterable[Consumer]],
    now: float,
) -> dict[str, Cap]:
    """The caps a second later, by tenant.

    Args:
        yields: of the tenants whose weights are lowered.
        pressed: by tenant, of those that do harm in this second or have a sensitive neighbour at work.
        consumers: by tenant.
    """
    found = {}
    for tenant, of in yields.items():
        before = caps.get(tenant)
        own = list(consumers.get(tenant, ()))
        if tenant in pressed:
            after = _pressed(before, of, pressed[tenant], own, now)
        else:
            after = before and _calm(before, own, now)
        if after is not None:
            found[tenant] = after
    return found


def _pressed(before: Cap | None, of: Yield, press: Press, own: list[Consumer], now: float) -> Cap | None:
    used = round(sum(each.used_milli for each in own))
    to_requests = press.allowance_milli is None
    if press.allowance_milli is None:
        allowance = max(REQUESTED_LEAST_MILLI, sum(each.floor_milli for each in own))
        limits = limits_within(_wanting_all(own, before), allowance)
    else:
        allowance = press.allowance_milli
        limits = limits_within(own, allowance)
    if before is None:
        if now - of.since < AFTER_SECONDS or not limits:
            return None
        patience = FIRST_PATIENCE_SECONDS
        return Cap(
            of.tenant, now, now, now, patience, False, allowance, used, limits, press.message, to_requests
        )
    waited = before._replace(calm_since=now, message=press.message)
    evades = used > EVADES_FACTOR * before.allowance_milli
    stricter = to_requests and not before.to_requests
    if now - before.changed < STEP_SECONDS or not (before.raised or evades or stricter):
        return waited
    patience = min(LONGEST_PATIENCE_SECONDS, before.patience_seconds * (2 if before.raised else 1))
    return waited._replace(
        changed=now,
        patience_seconds=patience,
        raised=False,
        allowance_milli=allowance,
        limits=limits,
        to_requests=to_requests,
    )


def _calm(before: Cap, own: list[Consumer], now: float) -> Cap:
    due = now - before.calm_since >= before.patience_seconds and now - before.changed >= STEP_SECONDS
    if not (before.active and due):
        return before
    allowance = round(before.allowance_milli * STEP_FACTOR)
    all_of_it = before.to_requests or allowance >= before.wanted_milli
    limits = {} if all_of_it else limits_within(_wanting_all(own, before), allowance)
    return before._replace(changed=now, raised=True, allowance_milli=allowance, limits=limits)


def _wanting_all(own: Iterable[Consumer], before: Cap | None) -> list[Consumer]:
    """Whoever is limited already would use more, though it was not throttled in this very second."""
    limited = before.limits if before is not None else {}
    return [each._replace(throttled=each.throttled or each.key in limited) for each in own]


def limits_within(own: Iterable[Consumer], allowance: int) -> dict[str, int]:
    """The limits of a tenant's largest users at the common level at which all fit into an allowance; light
    ones have none. What is throttled could use all of it."""
    wants = {}
    for each in own:
        want = round(each.used_milli)
        if each.throttled:
            want = max(want, allowance, each.floor_milli) + 1
        wants[each.key] = want, each.floor_milli
    level = common_level(wants.values(), allowance)
    level = max(GRAIN_MILLI, level - level % GRAIN_MILLI)
    return {key: max(level, floor) for key, (want, floor) in wants.items() if want > max(level, floor)}
