"""Runaway CPU of one container: high for minutes without a break.

One that others keep from the CPU makes no break: on a full node a runaway gets its share, and less while it
yields, but it wants no less.
"""

from typing import Final

from tenantquota.domain.findings import Finding, Kind, Stage

STRETCH_SECONDS: Final = 10.0
GAP_SECONDS: Final = 15.0
"""Without a sample for longer than that, the evidence begins anew."""
OVER_STRETCHES: Final = 3
"""A runaway that is below the threshold for so long is over."""


class Cpu:
    """The mean of each stretch of ten seconds, against the threshold.

    Args:
        percent: of one core, or of the CPU limit where that is less.
        seconds: for how long.
    """

    __slots__ = (
        "_began",
        "_bound",
        "_last",
        "_means",
        "_of",
        "_over",
        "_since",
        "_stretches",
        "_sum",
        "_under",
        "_waited",
        "_weight",
        "finding",
    )

    def __init__(self, percent: float, seconds: float) -> None:
        self.finding: Finding | None = None
        self._of = percent
        self._bound = percent
        """The threshold in percent of a core, as it was last."""
        self._stretches = max(1, round(seconds / STRETCH_SECONDS))
        self._forget()

    def _forget(self) -> None:
        self._over = self._under = 0
        """Stretches over, and under, the threshold, one after another."""
        self._means = 0.0
        """The sum of those that were over."""
        self._began: float | None = None
        self._since = 0.0
        """When the first of them began."""
        self._last = self._sum = self._waited = self._weight = 0.0

    def add(
        self, seconds: float, percent: float, limit_percent: float | None, waited_percent: float = 0.0
    ) -> bool:
        """Takes a sample; whether there is something new to judge.

        Args:
            waited_percent: for how much of the time since the last sample its threads waited for a CPU,
                summed over them.
        """
        began = self._began
        if began is None or seconds - self._last > GAP_SECONDS:
            self._forget()
            self._began = self._last = seconds
            return False
        elapsed = seconds - self._last  # a sample tells of the time before it
        self._sum += percent * elapsed
        if waited_percent:
            whole = 100.0 if limit_percent is None else min(100.0, limit_percent)
            self._waited += max(0.0, min(waited_percent, whole - percent)) * elapsed
        self._weight += elapsed
        self._last = seconds
        if seconds - began < STRETCH_SECONDS:
            return False
        mean = self._sum / self._weight
        whole = 100.0 if limit_percent is None else min(100.0, limit_percent)
        self._bound = self._of * whole / 100
        if mean > self._bound:
            if not self._over:
                self._since = began
            self._over, self._under, self._means = self._over + 1, 0, self._means + mean
        elif mean + self._waited / self._weight <= self._bound:
            self._under += 1
            if self.finding is None or self._under >= OVER_STRETCHES:
                self._over, self._means = 0, 0.0
        self._began, self._sum, self._waited, self._weight = seconds, 0.0, 0.0, 0.0
        return True

    def judge(self, seconds: float) -> Finding | None:
        """The finding that holds now."""
        if self._over * 2 < self._stretches or not self._over:
            return None
        stage = Stage.CONFIRMED if self._over >= self._stretches else Stage.SUSPECTED
        if stage is Stage.SUSPECTED and self._under:
            return None
        was, mean = self.finding, self._means / self._over
        same = was is not None and was.stage is stage
        return Finding(
            Kind.CPU,
            stage,
            was.since_seconds if was is not None else self._since,
            was.at_seconds if was is not None and same else seconds,
            mean * 0.6,
            self._bound,
            mean,
            self._over,
            self._over,
        )
