"""Leaks and runaways of one container, found while its samples come in.

Memory, open files and processes leak when their floor grows (see ``floors``): fast ones are found within a
minute, slow ones within a quarter of an hour. CPU runs away when it stays high. A finding is *suspected*
after half the evidence, *confirmed* with all of it, and *ended* once it was given back or grows no more.
docs/decisions/0019-leaks-are-growing-floors.md explains the figures of the rules.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from tenantquota.domain.findings import DEFAULTS, NO_LIMITS, Finding, Kind, Limits, Stage, Thresholds
from tenantquota.domain.floors import Growth, Scale, floor_of
from tenantquota.domain.runaways import Cpu

FAST_PART: Final = 0.55
MEASURED_PART: Final = 0.65
"""Of a threshold, what a stretch must have grown by: a leak of just that rate doesn't grow evenly. Fast ones
least: a MiB at a time, 50 a minute are one or two in each two seconds."""

# A stretch must be so long that a leak of the rate grows in each, though programs take memory in pieces:
# pages by the hundred, a heap's arenas by the MiB. So each rate is looked at finely, which is quick and keeps
# bursts apart, and coarsely, for leaks that come in pieces.
FAST: Final = Scale(2.0, 24, 0.7, jump_stretches=45)
FAST_PIECES: Final = Scale(10.0, 12, 0.75, jump_stretches=12, jump_part=2.0)
SLOW: Final = Scale(5.0, 128, 0.65)
SLOW_PIECES: Final = Scale(30.0, 30, 0.75)
COUNTED: Final = Scale(9.0, 4, 1.0, sampled=True)
"""Files and processes are counted every 10 s."""
START_SECONDS: Final = 10.0
"""For so long only CPU counts. What a program takes as it begins, for many seconds on a busy node, would be
part of the evidence, and isn't given back with what grows and falls later: the first sawtooth after it would
leak."""
COUNTED_SLOW: Final = Scale(29.0, 20, 0.75)
COUNTED_SLOW_PART: Final = 0.1
"""Of the threshold, what a slow leak of files or processes grows by."""

STOPPED_SECONDS: Final = 300.0
SLOW_STOPPED_SECONDS: Final = 900.0
"""What has not grown for so long grows no more."""
GIVEN_BACK_PART: Final = 0.9
"""Of what a leak took; when that is back, it is over. Less may be something else that ended."""
TOLD_SECONDS: Final = 10.0
"""So often is a finding that goes on brought up to date."""
KNOWN_SECONDS: Final = 3600.0
"""Up to the level of a finding that has ended, growth is no news for so long."""

Changes = tuple[Finding, ...]


class Leaks:
    """What is known of one container: some kilobytes, whatever comes."""

    __slots__ = (
        "_began",
        "_cpu",
        "_last",
        "_memory",
        "_open_files",
        "_processes",
        "_thresholds",
        "findings",
    )

    def __init__(self, thresholds: Thresholds = DEFAULTS) -> None:
        self.findings: dict[Kind, Finding] = {}
        """Those that are suspected or confirmed."""
        self._thresholds = thresholds
        self._last: float | None = None
        self._began = 0.0
        self._begin()

    def _begin(self) -> None:
        of = self._thresholds
        self._memory, self._open_files, self._processes = (_Growing(rules) for rules in _rules(of))
        self._cpu = Cpu(of.cpu_percent, of.cpu_seconds)

    def restart(self, seconds: float) -> Changes:
        """The container began anew: what was, is over."""
        changes = tuple(
            finding._replace(stage=Stage.ENDED, at_seconds=seconds, limit_in_seconds=None)
            for finding in self.findings.values()
            if finding.stage is Stage.CONFIRMED
        )
        self.findings = {}
        self._last = None
        self._begin()
        return changes

    def observe(
        self,
        seconds: float,
        memory_bytes: float | None,
        cpu_percent: float | None = None,
        open_files: float | None = None,
        processes: float | None = None,
        limits: Limits = NO_LIMITS,
        cpu_waited_percent: float = 0.0,
    ) -> Changes:
        """Takes a sample; the findings whose stage changed with it.

        Args:
            seconds: of any clock; when it goes back, the container is taken for one that began anew.
            memory_bytes: what can't be given back at once (the working set).
            cpu_percent: of one core. None, here and elsewhere: not known this time.
            cpu_waited_percent: for how much of the time its threads waited for a CPU, summed over them.
        """
        changes: Changes = ()
        if self._last is not None and seconds <= self._last:
            if seconds == self._last:
                return changes
            changes = self.restart(seconds)
        if self._last is None:
            self._began = seconds
        self._last = seconds
        if seconds - self._began < START_SECONDS:
            memory_bytes = open_files = processes = None
        if memory_bytes is not None and self._memory.add(seconds, memory_bytes):
            changes += self._settle(seconds, self._memory, limits.memory_bytes)
        if open_files is not None and self._open_files.add(seconds, open_files):
            changes += self._settle(seconds, self._open_files, None)
        if processes is not None and self._processes.add(seconds, processes):
            changes += self._settle(seconds, self._processes, None)
        if cpu_percent is not None and self._cpu.add(
            seconds, cpu_percent, limits.cpu_percent, cpu_waited_percent
        ):
            changes += self._settle(seconds, self._cpu, None)
        return changes

    def _settle(self, seconds: float, of: "_Growing | Cpu", limit: float | None) -> Changes:
        """Brings ``findings`` to what a series says now."""
        before, now = of.finding, of.judge(seconds)
        if before is now:
            return ()
        if now is not None and limit is not None and now.rate_per_minute > 0:
            now = now._replace(limit_in_seconds=max(0.0, limit - now.now) / now.rate_per_minute * 60)
        ended: Changes = ()
        if before is not None and (now is None or now.kind is not before.kind):
            self.findings.pop(before.kind, None)
            if before.stage is Stage.CONFIRMED:
                ended = (before._replace(stage=Stage.ENDED, at_seconds=seconds, limit_in_seconds=None),)
            before = None
        of.finding = now
        if now is None:
            return ended
        self.findings[now.kind] = now
        return ended if before is not None and before.stage is now.stage else (*ended, now)


class _Rule(NamedTuple):
    kind: Kind
    scale: Scale
    least_per_second: float
    """What a stretch must have grown by."""
    finer: int | None = None
    """The rule whose lows are taken for samples; None: the samples themselves are."""


@lru_cache(maxsize=64)
def _rules(of: Thresholds) -> tuple[tuple[_Rule, ...], ...]:
    """Of memory, open files and processes; made once for all containers."""
    fast = FAST_PART * of.memory_fast_bytes_per_minute / 60
    slow = MEASURED_PART * of.memory_slow_bytes_per_minute / 60
    memory = (
        _Rule(Kind.MEMORY_FAST, FAST, fast),
        _Rule(Kind.MEMORY_SLOW, SLOW, slow),
        _Rule(Kind.MEMORY_FAST, FAST_PIECES, fast, finer=1),
        _Rule(Kind.MEMORY_SLOW, SLOW_PIECES, slow, finer=1),
    )
    counted = [
        tuple(
            _Rule(kind, scale, MEASURED_PART * per_minute * part / 60)
            for scale, part in ((COUNTED, 1.0), (COUNTED_SLOW, COUNTED_SLOW_PART))
        )
        for kind, per_minute in (
            (Kind.OPEN_FILES, of.open_files_per_minute),
            (Kind.PROCESSES, of.processes_per_minute),
        )
    ]
    return memory, *counted


class _Growing:
    """One series that leaks when its floor grows.

    Args:
        rules: the faster, the earlier.
    """

    __slots__ = (
        "_base",
        "_coarse",
        "_fine",
        "_floors",
        "_full",
        "_highest",
        "_known",
        "_least",
        "_quiet_since",
        "_rules",
        "_told",
        "_top",
        "finding",
    )

    def __init__(self, rules: tuple[_Rule, ...]) -> None:
        self.finding: Finding | None = None
        self._rules = rules
        self._floors = [floor_of(rule.scale, rule.least_per_second) for rule in rules]
        numbered = list(zip(range(len(rules)), rules, self._floors, strict=True))
        self._fine = [(place, floor) for place, rule, floor in numbered if rule.finer is None]
        self._coarse = [
            (place, floor, rule.finer) for place, rule, floor in numbered if rule.finer is not None
        ]
        self._least = min(rule.least_per_second for rule in rules)
        self._full: list[int] = []
        """The floors of which a stretch ended with the last sample."""
        self._base = 0.0
        """What the floor would be without the leak."""
        self._top = self._quiet_since = self._highest = 0.0
        self._told = 0.0
        """When the finding was brought up to date last."""
        """The highest that the floor was since the finding, and when it last grew."""
        self._known: tuple[float, float] | None = None
        """The highest floor of the last finding, and when that ended."""

    def add(self, seconds: float, value: float) -> bool:
        """Whether there is something new to judge."""
        full = None
        for place, floor in self._fine:
            if floor.add(seconds, value):
                full = [*full, place] if full else [place]
        if full is None:
            return False
        for place, floor, finer in self._coarse:
            if finer in full:
                newest = self._floors[finer].newest
                if newest is not None and floor.add(*newest):
                    full.append(place)
        self._full = full
        return True

    def judge(self, seconds: float) -> Finding | None:
        """The finding that holds now."""
        finding = self.finding
        if finding is None or finding.stage is not Stage.CONFIRMED:
            return self._grown(seconds, None) or self._suspected(seconds)
        finding = self._goes_on(finding, seconds)
        if finding is None or finding.kind is not Kind.MEMORY_SLOW:
            return finding
        return self._grown(seconds, Kind.MEMORY_FAST) or finding

    def _grown(self, seconds: float, kind: Kind | None) -> Finding | None:
        """What is confirmed now."""
        for place in self._full:
            rule = self._rules[place]
            if kind is None or rule.kind is kind:
                growth = self._floors[place].growth()
                if growth is not None:
                    return self._confirmed(rule, growth, seconds)
        return None

    def _suspected(self, seconds: float) -> Finding | None:
        """After half the evidence; once found, it is not looked at in detail while the growth goes on."""
        was = self.finding
        if was is not None and any(
            rule.kind is was.kind and floor.grows(rule.scale.stretches // 2)
            for rule, floor in zip(self._rules, self._floors, strict=True)
        ):
            return was
        for place in self._full:
            rule = self._rules[place]
            if growth := self._floors[place].growth(rule.scale.stretches // 2):
                return self._found(rule, growth, Stage.SUSPECTED, seconds)
        return None

    def _confirmed(self, rule: _Rule, growth: Growth, seconds: float) -> Finding | None:
        if self._known is not None:
            top, at = self._known
            if growth.highest <= top and seconds - at < KNOWN_SECONDS:
                return None
            self._known = None
        self._top, self._quiet_since, self._highest = growth.low_now, seconds, growth.highest
        self._base = growth.low_now - growth.per_second * (growth.until_seconds - growth.since_seconds)
        return self._found(rule, growth, Stage.CONFIRMED, seconds)

    def _found(self, rule: _Rule, growth: Growth, stage: Stage, seconds: float) -> Finding:
        return Finding(
            rule.kind,
            stage,
            growth.since_seconds,
            seconds,
            growth.per_second * 60,
            growth.low_before,
            growth.low_now,
            growth.grown,
            growth.stretches,
        )

    def _goes_on(self, finding: Finding, seconds: float) -> Finding | None:
        """A confirmed finding with what is the case now; None when it is over."""
        newest = self._floors[0].newest
        if newest is None:  # after a gap
            return finding
        low = newest[1]
        if low > self._top and low - self._top > self._least * (seconds - self._quiet_since) / 2:
            self._top, self._quiet_since = low, seconds
        patience = SLOW_STOPPED_SECONDS if finding.kind is Kind.MEMORY_SLOW else STOPPED_SECONDS
        given_back = low < self._top - GIVEN_BACK_PART * (self._top - self._base)
        if given_back or seconds - self._quiet_since >= patience:
            self._known = (max(self._top, self._highest), seconds)
            return None
        if seconds - self._told < TOLD_SECONDS:
            return finding
        self._told = seconds
        return finding._replace(now=low)
