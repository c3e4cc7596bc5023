"""Several runs of the same cases, taken together: many short runs tell what one can't.

A run is to the others what a window is within it (see ``statistics``): intervals come from drawing whole runs
with replacement, and a run's quiet and noisy requests are drawn together, since a machine that is slow for an
hour is slow for both.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple

from e2e.results import Bound, Case, Run, Source, VerdictState
from e2e.validation.latency import Latencies
from e2e.validation.statistics import Estimate, NoiseFloor, TooFewError, noise_floor, percentile, ratio
from e2e.validation.verdict import JUDGED, PERCENTS, judge
from e2e.validation.windows import Kind

AGENTS: Final = "agents"
"""Among a case's figures: its requests of an agent's size."""


class Identity(NamedTuple):
    """What makes cases of several runs the same one."""

    number: int
    variant: str
    tenants: int
    title: str


@dataclass(frozen=True)
class PooledBound:
    """A bound in all runs that measured it.

    Attributes:
        worst: the one that is nearest to its limit, or furthest over it.
        median: of the figures.
        met, runs: in how many of how many.
    """

    worst: Bound
    median: float
    met: int
    runs: int


@dataclass(frozen=True)
class PooledLatency:
    """Requests of all runs; latencies in ms.

    Attributes:
        requests: by kind of window.
        percentiles: by kind of window, by percentile.
        ratios: to quiet, by kind of noisy window, by percentile.
        floor: of p99, halves of the runs' quiet windows against each other; None with too few runs.
        state: None with too few runs.
    """

    requests: Mapping[Kind, int]
    percentiles: Mapping[Kind, Mapping[int, float]]
    ratios: Mapping[Kind, Mapping[int, Estimate]]
    floor: NoiseFloor | None
    state: VerdictState | None


@dataclass(frozen=True)
class PooledCase:
    """
    Attributes:
        passed, runs: in how many of how many.
        failures: why tests failed, with in how many runs, the most frequent first.
        seconds: of each run, in their order.
        latency: None of a case that measures none by kinds of windows.
    """

    identity: Identity
    passed: int
    runs: int
    failures: Mapping[str, int]
    seconds: Sequence[float]
    bounds: Sequence[PooledBound]
    latency: PooledLatency | None


def pooled(runs: Iterable[Run]) -> list[PooledCase]:
    """Each case of any of them, in order of number."""
    found: dict[Identity, list[Case]] = {}
    for run in runs:
        for case in run.cases:
            found.setdefault(Identity(case.number, case.variant, case.tenants, case.title), []).append(case)
    return [_case(identity, found[identity]) for identity in sorted(found)]


def _case(identity: Identity, cases: Sequence[Case]) -> PooledCase:
    failures: dict[str, int] = {}
    for case in cases:
        for test in case.tests:
            if test.outcome == "failed":
                lines = test.message.strip().splitlines() or ["no reason was recorded"]
                text = f"{test.text}: {lines[0]}"
                failures[text] = failures.get(text, 0) + 1
    return PooledCase(
        identity=identity,
        passed=sum(case.passed for case in cases),
        runs=len(cases),
        failures=dict(sorted(failures.items(), key=lambda each: -each[1])),
        seconds=[case.seconds for case in cases],
        bounds=_bounds(cases),
        latency=_latency(cases),
    )


def _bounds(cases: Sequence[Case]) -> list[PooledBound]:
    found: dict[tuple[Source, str], list[Bound]] = {}
    for case in cases:
        for bound in case.bounds:
            found.setdefault((bound.source, bound.what), []).append(bound)
    return [
        PooledBound(
            worst=max(each, key=_beyond),
            median=median(bound.measured for bound in each),
            met=sum(bound.met for bound in each),
            runs=len(each),
        )
        for each in found.values()
    ]


def _beyond(bound: Bound) -> float:
    """How far over its limit; below 0 within it."""
    if bound.at_most is not None:
        return bound.measured - bound.at_most
    assert bound.at_least is not None  # the model sees to it
    return bound.at_least - bound.measured


def _latency(cases: Sequence[Case]) -> PooledLatency | None:
    runs = [found for case in cases if (found := _by_kind(case))]
    if not runs:
        return None
    kinds = [kind for kind in Kind if all(kind in run for run in runs)]
    if Kind.QUIET not in kinds:
        return None
    groups = {kind: [run[kind] for run in runs] for kind in kinds}
    everything = {kind: [ms for run in groups[kind] for ms in run] for kind in kinds}
    ratios: dict[Kind, dict[int, Estimate]] = {}
    floor = None
    with suppress(TooFewError):
        for kind in kinds:
            if kind is not Kind.QUIET:
                ratios[kind] = {
                    percent: ratio(groups[kind], groups[Kind.QUIET], percent, paired=True)
                    for percent in PERCENTS
                }
        floor = noise_floor(groups[Kind.QUIET], JUDGED)
    held = ratios.get(Kind.HELD)
    return PooledLatency(
        requests={kind: len(everything[kind]) for kind in kinds},
        percentiles={
            kind: {percent: percentile(everything[kind], percent) for percent in PERCENTS} for kind in kinds
        },
        ratios=ratios,
        floor=floor,
        state=judge(held[JUDGED], floor) if held and floor else None,
    )


def _by_kind(case: Case) -> dict[Kind, list[float]]:
    """The latencies of a case that records them by kinds of windows; else nothing."""
    summaries = case.figures.get(AGENTS, {}).get("summaries", {})
    return {Kind(kind): Latencies.decoded(each["histogram"]).values_ms() for kind, each in summaries.items()}
