"""When requests are due."""

import heapq
import random
from collections.abc import Iterator, Sequence

from e2e.load.plan import Target


def due(targets: Sequence[Target], seconds: float, seed: int) -> Iterator[tuple[float, int]]:
    """Every request of a load: seconds since its start and the target's index, in order of time.

    Each target has exactly one request in each of its intervals of ``1 / requests_per_second``.
    """
    each = [_of(index, target, seconds, f"{seed}/{index}") for index, target in enumerate(targets)]
    return heapq.merge(*each)


def _of(index: int, target: Target, seconds: float, seed: str) -> Iterator[tuple[float, int]]:
    chance = random.Random(seed)  # noqa: S311 - no secret
    interval = 1 / target.requests_per_second
    for turn in range(int(seconds * target.requests_per_second)):
        yield (turn + chance.random()) * interval, index
