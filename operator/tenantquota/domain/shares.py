"""What a tenant is entitled to of a node's CPU: weighted max-min fairness between tenants, not pods."""

from collections.abc import Iterable, Mapping
from math import inf


def water_level(capacity: float, demands: Mapping[str, tuple[float, int]]) -> float:
    """The share of each unit of weight where tenants want more than there is.

    Who wants less than its share gets all that it wants, and what it leaves is shared by the others in the
    ratio of their weights (max-min fairness; Bertsekas and Gallager, Data Networks, 6.5.2).

    Args:
        capacity: to be shared, in any unit of rate, such as ms of CPU a second.
        demands: by tenant, what it wants, in that unit, and its weight.

    Returns:
        A tenant's share is this times its weight. Infinite where there is enough for all.
    """
    weight_left = sum(weight for _, weight in demands.values())
    left = capacity
    for demand, weight in sorted(demands.values(), key=lambda each: each[0] / each[1]):
        level = max(0.0, left) / weight_left
        if demand > level * weight:
            return level
        left -= demand
        weight_left -= weight
    return inf


def common_level(used: Iterable[tuple[int, int]], room_milli: float) -> int:
    """Water-filling: the highest level to which the largest users can be cut so that all fit.

    Args:
        used: what each uses, and the floor below which it can't be cut.
    """
    users = list(used)

    def fits(level: int) -> bool:
        return sum(min(use, max(level, floor)) for use, floor in users) <= room_milli

    low, high = 0, max((use for use, _ in users), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
