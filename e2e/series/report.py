"""What several runs say together, in Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Final

from e2e.report import words
from e2e.results import Run, Source
from e2e.validation.pooling import PooledBound, PooledCase, PooledLatency
from e2e.validation.statistics import Estimate
from e2e.validation.verdict import JUDGED, PERCENTS, degradation
from e2e.validation.windows import Kind

KINDS: Final = {
    Kind.QUIET: "quiet",
    Kind.NOT_HELD: "noise that nobody holds",
    Kind.HELD: "noise that is held",
}


def page(runs: Sequence[Run], cases: Sequence[PooledCase]) -> str:
    """All of it.

    Args:
        runs: not empty.
    """
    return "\n".join(
        [
            *_head(runs),
            "",
            *_cases(cases),
            "",
            *(line for case in cases for line in _failures(case)),
            *(line for case in cases if case.latency for line in (*_latency(case, case.latency), "")),
            *(line for case in cases for line in (*_bounds(case), "")),
        ]
    )


def line(number: int, run: Run) -> str:
    """One run, in a line."""
    counts = words.counts(run)
    result = "passed" if run.passed else f"failed: {words.headline(run).text}"
    return (
        f"run {number}: {result}; {counts.tests.good} of {words.many(counts.tests.all, 'test')},"
        f" {counts.bounds.good} of {counts.bounds.all} bounds, {words.duration(run.seconds)}"
    )


def _head(runs: Sequence[Run]) -> list[str]:
    passed = sum(run.passed for run in runs)
    seconds = [run.seconds for run in runs]
    commits = ", ".join(dict.fromkeys(str(run.machine.get("commit", "unknown")) for run in runs))
    return [
        f"# {words.many(len(runs), 'run')} of the isolation cases: {passed} passed",
        "",
        f"{words.moment(runs[0].started)} to {words.moment(runs[-1].started)}, commit {commits}.",
        f"Median {words.duration(median(seconds))}, {words.duration(min(seconds))} to"
        f" {words.duration(max(seconds))}.",
        "",
        *(f"- {line(number, run)}" for number, run in enumerate(runs, 1)),
    ]


def _cases(cases: Sequence[PooledCase]) -> list[str]:
    return _table(
        ["case", "tenants", "passed", "seconds: median, least to most"],
        (
            [
                _name(case),
                str(case.identity.tenants),
                f"{case.passed} of {case.runs}",
                f"{median(case.seconds):.0f}, {min(case.seconds):.0f} to {max(case.seconds):.0f}",
            ]
            for case in cases
        ),
    )


def _failures(case: PooledCase) -> list[str]:
    if not case.failures:
        return []
    told = (f"- {words.plain(text)} ({count} of {case.runs})" for text, count in case.failures.items())
    return [f"## Failed: {_name(case)}", "", *told, ""]


def _latency(case: PooledCase, latency: PooledLatency) -> list[str]:
    rows = [
        [
            KINDS[kind],
            str(latency.requests[kind]),
            *(f"{latency.percentiles[kind][percent]:.1f}" for percent in PERCENTS),
            *(_ratio(latency.ratios.get(kind, {}).get(percent)) for percent in PERCENTS),
        ]
        for kind in latency.requests
    ]
    against = [f"p{percent} against quiet" for percent in PERCENTS]
    said = [f"## {_name(case)}: latency from when each request was due, ms", ""]
    said += _table(["", "requests", *(f"p{percent}" for percent in PERCENTS), *against], rows)
    if latency.floor and latency.state:
        said += [
            "",
            f"By p{JUDGED}: {latency.state}. Two halves of the quiet windows differ by up to"
            f" {degradation(latency.floor.most)}; intervals of 95 % are over runs.",
        ]
    return said


def _ratio(of: Estimate | None) -> str:
    if of is None:
        return ""
    return f"{degradation(of.value)} ({degradation(of.low)} to {degradation(of.high)})"


def _bounds(case: PooledCase) -> list[str]:
    return [
        f"## {_name(case)}: bounds",
        "",
        *_table(
            ["", "whose", "allowed", "median", "worst", "met"],
            (_bound(bound) for bound in case.bounds),
        ),
    ]


def _bound(bound: PooledBound) -> list[str]:
    unit = bound.worst.unit
    return [
        bound.worst.what,
        "specification" if bound.worst.source is Source.SPECIFICATION else "own goal",
        words.allowed(bound.worst),
        words.with_unit(words.figure(bound.median), unit),
        words.measured(bound.worst),
        f"{bound.met} of {bound.runs}",
    ]


def _name(case: PooledCase) -> str:
    variant = f" ({case.identity.variant})" if case.identity.variant else ""
    return f"{case.identity.number}. {case.identity.title}{variant}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    ruled = "|".join("---" for _ in head)
    return [_row(head), f"|{ruled}|", *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
