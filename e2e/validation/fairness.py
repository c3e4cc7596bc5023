"""How evenly CPU was shared, against what each tenant was entitled to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from tenantquota.domain.shares import water_level


def jain(values: Sequence[float]) -> float:
    """Jain's index: 1 when all have the same, 1/n when one has all (Jain, Chiu and Hawe, 1984)."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


def variation(values: Sequence[float]) -> float:
    """The coefficient of variation: standard deviation over mean, of these and no sample of more."""
    if not values or not (mean := sum(values) / len(values)):
        return 0.0
    return float((sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5 / mean)


def most_over_mean(values: Sequence[float]) -> float:
    """How many times the mean the largest is."""
    mean = sum(values) / len(values) if values else 0.0
    return max(values) / mean if mean else 1.0


@dataclass(frozen=True)
class Use:
    """One tenant's CPU over some time, in ms a second.

    Attributes:
        used: by its cgroups.
        waited: for which its threads waited for a CPU: what it wanted is both together.
        weight: ``spec.weight``.
    """

    used: float
    waited: float
    weight: int = 100

    @property
    def wanted(self) -> float:
        return self.used + self.waited


def entitlements(uses: Mapping[str, Use], capacity_ms: float) -> dict[str, float]:
    """What each tenant was due, in ms a second: all that it wanted, or its share by weight of what there was.

    Args:
        capacity_ms: a second's, of all CPUs together, without what the system took.
    """
    level = water_level(capacity_ms, {tenant: (use.wanted, use.weight) for tenant, use in uses.items()})
    return {tenant: min(use.wanted, level * use.weight) for tenant, use in uses.items()}


def parts(uses: Mapping[str, Use], capacity_ms: float) -> dict[str, float]:
    """What each tenant got of what it was due; 1 is exactly that. Who was due nothing is left out."""
    due = entitlements(uses, capacity_ms)
    return {tenant: use.used / due[tenant] for tenant, use in uses.items() if due[tenant] > 0}


def greed(uses: Mapping[str, Use], capacity_ms: float) -> float:
    """How many times its share the greediest had while others waited: of those that wanted more than their
    share. 0 when there was enough for all."""
    level = water_level(capacity_ms, {tenant: (use.wanted, use.weight) for tenant, use in uses.items()})
    if level in (inf, 0.0):
        return 0.0
    return max((use.used / (level * use.weight) for use in _wanting(uses.values(), level)), default=0.0)


def _wanting(uses: Iterable[Use], level: float) -> Iterable[Use]:
    return (use for use in uses if use.wanted > level * use.weight)
