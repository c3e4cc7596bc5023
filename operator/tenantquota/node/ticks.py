"""When to sample: once a period on a clock that never goes back, and how well that was kept."""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

LATE_SECONDS: Final = 0.05
"""A tick that begins later than this after it was due counts as late."""
ERROR_BOUNDS_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_REMEMBERED: Final = 600


class Ticks:
    """Iterates over ticks; each step waits until the next one is due.

    The schedule doesn't drift: a late tick doesn't move those after it. A tick that is due while an earlier
    one still runs is missed, not made up for.

    Args:
        wait: sleeps so many seconds; true ends the iteration (``threading.Event.wait``).
        clock: in seconds.
    """

    def __init__(
        self,
        period_seconds: float,
        wait: Callable[[float], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._period = period_seconds
        self._wait = wait
        self._clock = clock
        self._errors: deque[float] = deque(maxlen=_REMEMBERED)
        self.begun = 0
        self.late = 0
        """Of those, how many began more than LATE_SECONDS after they were due."""
        self.missed = 0
        """Due, and never begun."""
        self.error_counts = [0] * (len(ERROR_BOUNDS_SECONDS) + 1)
        """How often the time between two ticks missed the period by at most each of ERROR_BOUNDS_SECONDS (and
        by more than the one before); at last, by more than all."""
        self.error_sum_seconds = 0.0

    def __iter__(self) -> Iterator[int]:
        """Yields how many ticks were due before, missed ones included."""
        start = self._clock()
        number = 0
        previous: float | None = None
        while not self._wait(max(0.0, start + number * self._period - self._clock())):
            now = self._clock()
            passed = max(0, int((now - start) // self._period) - number)
            self.missed += passed
            number += passed
            self.late += now - start - number * self._period > LATE_SECONDS
            if previous is not None:
                self._note(abs(now - previous - self._period))
            previous = now
            self.begun += 1
            yield number
            number += 1

    def _note(self, error_seconds: float) -> None:
        self._errors.append(error_seconds)
        self.error_counts[bisect_left(ERROR_BOUNDS_SECONDS, error_seconds)] += 1
        self.error_sum_seconds += error_seconds

    def period_error_seconds(self, quantile: float = 0.99) -> float | None:
        """Of the last ten minutes: by how much the time between two ticks was not a period."""
        errors = sorted(self._errors)
        return errors[min(len(errors) - 1, int(quantile * len(errors)))] if errors else None
