"""A tenant on a node of arithmetic, around the real decision: containers that use min(demand, limit), an
agent that reports means over 10 s when ``domain.reporting`` says so, and a controller that looks when it is
told or has said that it would."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf

from tenantquota.domain.cpu_budget import HOLD_SECONDS, Clock, Consumer, Key, Standing, Verdict, decide
from tenantquota.domain.reporting import USAGE_SECONDS, Held, Told, Usage, reason_to_write, usage_changed

WINDOW_SECONDS = 10
HEARTBEAT_SECONDS = 30
RESYNC_SECONDS = 15

Demand = Callable[[int], int]
"""Second → milli-CPU."""


def on_off(milli: int, period_seconds: int, *, phase_seconds: int = 0) -> Demand:
    return lambda second: milli if (second + phase_seconds) % period_seconds < period_seconds / 2 else 0


def steady(milli: int, *, until: float = inf, then: int = 0) -> Demand:
    return lambda second: milli if second < until else then


@dataclass
class Simulation:
    budget_milli: int
    normal_milli: int
    demands: Mapping[Key, Demand]
    second: int = 0
    limits: dict[Key, int] = field(default_factory=dict)
    used: deque[dict[Key, int]] = field(default_factory=lambda: deque(maxlen=WINDOW_SECONDS))
    sums: list[int] = field(default_factory=list)
    """Used in each second."""
    changes: list[tuple[int, Key, int]] = field(default_factory=list)
    """Second, container and new limit."""
    verdict: Verdict | None = None
    standing: Standing | None = None

    def __post_init__(self) -> None:
        self.limits = dict.fromkeys(self.demands, self.normal_milli)
        self._told: dict[Key, int] = {}
        self._told_held: Told | None = None
        self._told_at = 0
        self._usage_due = 0.0
        self._look_at = 0.0
        self._changed: dict[Key, int] = {}
        self._hold_changed = 0
        self._fits_since: int | None = None

    def run(self, seconds: int) -> "Simulation":
        for _ in range(seconds):
            used = {key: min(of(self.second), self.limits[key]) for key, of in self.demands.items()}
            self.used.append(used)
            self.sums.append(sum(used.values()))
            self.second += 1
            if self._agent() or self.second >= self._look_at:
                self._controller()
        return self

    def restart(self) -> None:
        """The controller dies and comes back: only what the status holds is left."""
        self._changed = dict.fromkeys(self.standing.caps if self.standing else (), self.second)
        self._hold_changed, self._fits_since = self.second, None
        self._look_at = 0.0

    def mean(self, second: int) -> float:
        """Of the sum over the 10 s before."""
        window = self.sums[max(0, second - WINDOW_SECONDS) : second]
        return sum(window) / len(window)

    def _agent(self) -> bool:
        held = Told({"/".join(k): Held("t", "n", k[0], k[0], k[1], n, 0) for k, n in self.limits.items()})
        reason = reason_to_write(self._told_held, held, float(self.second - self._told_at), HEARTBEAT_SECONDS)
        if reason is None and self.second < self._usage_due:
            return False
        means = {key: sum(each[key] for each in self.used) // len(self.used) for key in self.demands}
        self._usage_due = self.second + USAGE_SECONDS
        before, now = ({"t": Usage(sum(of.values()), 0)} for of in (self._told, means))
        if reason is None and not usage_changed(before, now):
            return False
        self._told, self._told_held, self._told_at = means, held, self.second
        return True

    def _controller(self) -> None:
        clock = Clock(
            fits_seconds=0.0 if self._fits_since is None else self.second - self._fits_since,
            changed_seconds=self.second - self._hold_changed,
            left_seconds=HOLD_SECONDS,
        )
        consumers = [
            Consumer(
                key,
                self.normal_milli,
                floor_milli=20,
                used_milli=self._told.get(key),
                changed_seconds=self.second - self._changed[key] if key in self._changed else inf,
            )
            for key in self.demands
        ]
        self.verdict = decide(self.budget_milli, consumers, self.standing, clock)
        self.standing = self.verdict.standing
        if not self.verdict.fits:
            self._fits_since = None
        elif self._fits_since is None:
            self._fits_since = self.second
        for key in self.demands:
            limit = self.verdict.caps.get(key, self.normal_milli)
            if limit != self.limits[key]:
                self.limits[key] = limit
                self._changed[key] = self._hold_changed = self.second
                self.changes.append((self.second, key, limit))
        self._look_at = self.second + min(RESYNC_SECONDS, self.verdict.again_seconds or inf)

    def gaps(self) -> list[int]:
        """Between two changes of one container's limit, in seconds."""
        by_key: dict[Key, list[int]] = {}
        for second, key, _ in self.changes:
            by_key.setdefault(key, []).append(second)
        return [b - a for seconds in by_key.values() for a, b in pairwise(seconds)]
