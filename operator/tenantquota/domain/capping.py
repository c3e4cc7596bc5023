"""CPU limits for those who yield while others go on waiting for them.

Least weight doesn't free everybody (``relief``): a lift is bounded by what nobody requests, weights don't
count between QoS classes, and not every kernel has idle groups (see decisions 23 and 27). Whoever yields then
gets a limit that leaves a good part of the CPUs' time to the others. It goes no lower than that, is given
back in steps once nobody waits, and ends with the yield. CPU is milli-CPU, which is also ms a second.
"""

from collections.abc import Iterable, Mapping
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
    """The harm that it is for, in words."""

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


def step(
    caps: Mapping[str, Cap],
    yields: Mapping[str, Yield],
    pressed: Mapping[str, str],
    allowances: Mapping[str, int],
    consumers: Mapping[str, Iterable[Consumer]],
    now: float,
) -> dict[str, Cap]:
    """The caps a second later, by tenant.

    Args:
        yields: of the tenants whose weights are lowered.
        pressed: by tenant, the harm that it does in this second, in words.
        allowances: by tenant, of those that do harm.
        consumers: by tenant.
    """
    found = {}
    for tenant, of in yields.items():
        before = caps.get(tenant)
        own = list(consumers.get(tenant, ()))
        if tenant in pressed:
            after = _pressed(before, of, pressed[tenant], allowances[tenant], own, now)
        else:
            after = before and _calm(before, own, now)
        if after is not None:
            found[tenant] = after
    return found


def _pressed(
    before: Cap | None, of: Yield, message: str, allowance: int, own: list[Consumer], now: float
) -> Cap | None:
    used = round(sum(each.used_milli for each in own))
    if before is None:
        limits = limits_within(own, allowance)
        if now - of.since < AFTER_SECONDS or not limits:
            return None
        return Cap(of.tenant, now, now, now, FIRST_PATIENCE_SECONDS, False, allowance, used, limits, message)
    waited = before._replace(calm_since=now, message=message)
    evades = used > EVADES_FACTOR * before.allowance_milli
    if now - before.changed < STEP_SECONDS or not (before.raised or evades):
        return waited
    patience = min(LONGEST_PATIENCE_SECONDS, before.patience_seconds * (2 if before.raised else 1))
    limits = limits_within(own, allowance)
    return waited._replace(
        changed=now, patience_seconds=patience, raised=False, allowance_milli=allowance, limits=limits
    )


def _calm(before: Cap, own: list[Consumer], now: float) -> Cap:
    due = now - before.calm_since >= before.patience_seconds and now - before.changed >= STEP_SECONDS
    if not (before.active and due):
        return before
    allowance = round(before.allowance_milli * STEP_FACTOR)
    held = [each._replace(throttled=each.throttled or each.key in before.limits) for each in own]
    limits = limits_within(held, allowance) if allowance < before.wanted_milli else {}
    return before._replace(changed=now, raised=True, allowance_milli=allowance, limits=limits)


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
