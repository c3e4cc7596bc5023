"""When to sample: once a period on a clock that never goes back, and how well that was kept."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

LATE_SECONDS: Final = 0.05
"""A tick that begins later than this after it was due counts as late."""
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
                self._errors.append(abs(now - previous - self._period))
            previous = now
            self.begun += 1
            yield number
            number += 1

    def period_error_seconds(self, quantile: float = 0.99) -> float | None:
        """Of the last ten minutes: by how much the time between two ticks was not a period."""
        errors = sorted(self._errors)
        return errors[min(len(errors) - 1, int(quantile * len(errors)))] if errors else None
