"""``spec.budget.cpu``: what all agents of a tenant use together, as a mean over about 10 s.

While the sum is over the budget, the largest users are sized down to a common level at which the rest fits;
light users keep their limits. It is given back in steps once the sum is well below. What a capped container
would use without its cap nobody knows: its usage is no demand. But what it uses can't grow faster than its
cap, whatever its load is like: usage under a cap of c is the mean of min(demand, c), which is concave in c.
So a step that fits by that proportion fits in truth. Milli-CPU and seconds throughout.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final

from tenantquota.domain.quantities import format_cpu
from tenantquota.domain.shares import common_level

Key = tuple[str, str]
"""A pod's name and a container's. By name: a pod that is made anew under its name keeps its cap."""

AIM: Final = 0.95
"""Of the budget: where caps put the sum, so that noise doesn't size down again at once."""
FITS: Final = 0.9
"""Of the budget: below it the sum counts as fitting, above nothing is given back."""
STEP_SECONDS: Final = 5.0
"""The least time between two changes of one container's limit."""
GIVE_BACK_SECONDS: Final = 12.0
"""From a change until the container is given back more: reports tell means over 10 s, and come within a
second or two after a mean has moved."""
LARGEST_STEP: Final = 2.0
"""By how much a cap grows in one step at most."""
FIRST_PATIENCE_SECONDS: Final = 10.0
LONGEST_PATIENCE_SECONDS: Final = 80.0
"""For how long the sum has to fit before a step is given back. Each time that it proves too early, twice as
long, so that a load that is on and off is let go of a few times and then held; yet all is given back within
2 minutes of its end."""
PROBATION_SECONDS: Final = 60.0
"""From the last step until the hold is over, patience forgotten."""
HEARD_SECONDS: Final = 10.0
"""A hold is renewed only by reports that came so lately. Agents report every 8 s while somebody is held
(``reporting.HOLD_PERIOD_SECONDS``)."""
HOLD_SECONDS: Final = 18.0
"""For how long a hold lasts that no fresh report backs: with the time above less than 30 s, by which no hold
may outlive its cause."""
RENEW_SECONDS: Final = 9.0
"""A hold is renewed when less than this is left of it, which is a write."""
LOOK_SECONDS: Final = 5.0
"""How often a held tenant is looked at though nothing is heard."""
GRAIN_MILLI: Final = 10
"""Caps are whole percents of a CPU, as systemd's cgroup driver rounds limits; also the kernel's least."""
MOST_HELD: Final = 500
"""Containers that a hold can cap: it stands in the TenantQuota's status. The largest users go first."""
NAMES_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Consumer:
    """One container of the tenant."""

    key: Key
    normal_milli: int
    """The limit that the quota decides."""
    floor_milli: int
    """The least limit that it can be given; ``normal_milli`` where it can't be given another."""
    used_milli: int | None
    """The mean over the last 10 s; None: not known."""
    backed: bool = True
    """The agent of its node reports."""
    heard: bool = True
    """It did so in the last HEARD_SECONDS."""
    changed_seconds: float = inf
    """Since its limit last changed."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A hold as it stands."""

    caps: Mapping[Key, int]
    recovering: bool = False
    """Something has been given back since it was last sized down."""
    patience_seconds: float = FIRST_PATIENCE_SECONDS
    evidence: str = ""
    """What was measured when it was last sized down, in words."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How long ago things were. After a restart of the controller nothing is long ago, which only delays."""

    fits_seconds: float = 0.0
    """For how long the sum has fitted."""
    changed_seconds: float = 0.0
    """Since a cap last changed."""
    left_seconds: float = HOLD_SECONDS
    """Until the hold expires; 0 or less: it has."""
    of_caps: Mapping[Key, float] = field(default_factory=dict)
    """Since each container's cap changed, where it did lately."""
    of_pods: Mapping[str, float] = field(default_factory=dict)
    """Since each pod was resized, where it was lately."""

    def since_change(self, key: Key) -> float:
        return min(self.of_caps.get(key, inf), self.of_pods.get(key[0], inf))


JUST_STARTED: Final = Clock()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a tenant's budget comes to."""

    budget_milli: int
    used_milli: int
    """The sum, each counted up to its present limit."""
    known: bool
    """Somebody reports."""
    normal: Mapping[Key, int] = field(default_factory=dict)
    """Each container's limit without a hold."""
    standing: Standing | None = None
    renew: bool = False
    again_seconds: float | None = None
    """When to look again though nothing is heard."""

    @property
    def over(self) -> bool:
        return self.used_milli > self.budget_milli

    @property
    def fits(self) -> bool:
        return self.known and self.used_milli <= FITS * self.budget_milli

    @property
    def caps(self) -> Mapping[Key, int]:
        return self.standing.caps if self.standing else {}


def decide(
    budget_milli: int, consumers: Collection[Consumer], before: Standing | None, clock: Clock = JUST_STARTED
) -> Verdict:
    """The caps of a tenant's containers, from what they use and the hold that stands."""
    caps = _still_held(consumers, before, clock)
    counted = {c.key: min(c.used_milli or 0, caps.get(c.key, c.normal_milli)) for c in consumers}
    known = any(c.used_milli is not None for c in consumers)
    verdict = Verdict(budget_milli, sum(counted.values()), known, {c.key: c.normal_milli for c in consumers})
    if verdict.over:
        lowered = _sized_down(budget_milli, consumers, caps, counted)
        standing = _after_sizing_down(verdict, lowered, caps, before, counted)
    elif before is not None:
        raised = caps
        if verdict.fits and clock.fits_seconds >= before.patience_seconds and _all_backed(consumers):
            raised = _given_back(AIM * budget_milli - verdict.used_milli, consumers, caps, counted)
        standing = _after_giving_back(raised, caps, before, clock)
    else:
        standing = None
    heard = {c.key for c in consumers if c.heard}
    return replace(
        verdict,
        standing=standing,
        renew=standing is not None and clock.left_seconds < RENEW_SECONDS and standing.caps.keys() <= heard,
        again_seconds=_again(verdict, standing, consumers, clock),
    )


def _still_held(consumers: Iterable[Consumer], before: Standing | None, clock: Clock) -> dict[Key, int]:
    """The caps that go on: of containers that are there and would get more without. A hold that has expired
    goes on only where a fresh report backs it."""
    if before is None:
        return {}
    return {
        c.key: max(before.caps[c.key], c.floor_milli)
        for c in consumers
        if c.key in before.caps
        and max(before.caps[c.key], c.floor_milli) < c.normal_milli
        and (c.backed or clock.left_seconds > 0)
    }


def _all_backed(consumers: Iterable[Consumer]) -> bool:
    """Where a node is silent, the sum is not known, and nothing is given back on it."""
    return all(c.backed for c in consumers)


def _sized_down(
    budget_milli: int, consumers: Iterable[Consumer], caps: Mapping[Key, int], counted: Mapping[Key, int]
) -> dict[Key, int]:
    """The caps with the largest users at the level at which all fit, or at their floors."""
    level = common_level(((counted[c.key], c.floor_milli) for c in consumers), AIM * budget_milli)
    level -= level % GRAIN_MILLI
    lowered = dict(caps)
    for consumer in sorted(consumers, key=lambda c: (-counted[c.key], c.key)):
        key, cap = consumer.key, max(level, consumer.floor_milli)
        free = key in lowered or len(lowered) < MOST_HELD
        if counted[key] > cap and free and consumer.changed_seconds >= STEP_SECONDS:
            lowered[key] = cap
    return lowered


def _given_back(
    room_milli: float, consumers: Iterable[Consumer], caps: Mapping[Key, int], counted: Mapping[Key, int]
) -> dict[Key, int]:
    """The caps after one step up, by as much as the room allows even if every load grows with its cap."""
    held = sum(counted[key] for key in caps)
    factor = min(LARGEST_STEP, 1 + room_milli / held) if held else LARGEST_STEP
    raised = dict(caps)
    for consumer in sorted(consumers, key=lambda c: (caps.get(c.key, 0), c.key)):
        key = consumer.key
        if key not in caps or consumer.changed_seconds < GIVE_BACK_SECONDS:
            continue
        cap = int(caps[key] * factor)
        cap = min(max(cap - cap % GRAIN_MILLI, caps[key] + GRAIN_MILLI), consumer.normal_milli)
        growth = counted[key] * (cap - caps[key]) / caps[key]
        if growth > room_milli:
            continue
        room_milli -= growth
        if cap == consumer.normal_milli:
            del raised[key]
        else:
            raised[key] = cap
    return raised


def _after_sizing_down(
    verdict: Verdict,
    lowered: Mapping[Key, int],
    caps: Mapping[Key, int],
    before: Standing | None,
    counted: Mapping[Key, int],
) -> Standing | None:
    if lowered == caps:
        return None if before is None else replace(before, caps=caps)
    evidence = _evidence(verdict, counted)
    if before is None:
        return Standing(lowered, evidence=evidence)
    patience = before.patience_seconds
    if before.recovering:
        patience = min(LONGEST_PATIENCE_SECONDS, 2 * patience)
    return Standing(lowered, recovering=False, patience_seconds=patience, evidence=evidence)


def _after_giving_back(
    raised: Mapping[Key, int], caps: Mapping[Key, int], before: Standing, clock: Clock
) -> Standing | None:
    if not raised and not before.caps and clock.changed_seconds >= PROBATION_SECONDS:
        return None
    return replace(before, caps=raised, recovering=before.recovering or not raised or raised != caps)


def _again(
    verdict: Verdict, standing: Standing | None, consumers: Iterable[Consumer], clock: Clock
) -> float | None:
    """When the next thing may be due; for a hold at the latest after LOOK_SECONDS, to renew it, or when it
    expires."""
    due = [LOOK_SECONDS, clock.left_seconds] if standing is not None else []
    if verdict.over:
        due += (STEP_SECONDS - c.changed_seconds for c in consumers)
    elif verdict.fits and standing is not None and standing.caps:
        due.append(standing.patience_seconds - clock.fits_seconds)
        due += (GIVE_BACK_SECONDS - c.changed_seconds for c in consumers if c.key in standing.caps)
    return min((seconds for seconds in due if seconds > 0), default=None)


def _evidence(verdict: Verdict, counted: Mapping[Key, int]) -> str:
    largest = sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:NAMES_SHOWN]
    named = ", ".join(f"{pod}/{container} {format_cpu(used)}" for (pod, container), used in largest if used)
    users, used, budget = (
        sum(1 for used in counted.values() if used),
        format_cpu(verdict.used_milli),
        format_cpu(verdict.budget_milli),
    )
    return f"{used} used by {users} containers, of a budget of {budget} (mean over 10 s; most by {named})"
