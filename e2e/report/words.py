"""Figures and results in words."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from e2e.results import Bound, Case, Run, Source, Verdict, VerdictState

CASES: Final = frozenset(range(1, 8))
"""The specification's."""
MAIN_BOUNDS: Final = 3
_NOT_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can't say, not even escaped: https://www.w3.org/TR/xml/#charsets."""
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


class Tone(StrEnum):
    GOOD = "good"
    BAD = "bad"
    OPEN = "open"


class Headline(NamedTuple):
    """
    Attributes:
        text: the verdict in a few words.
        sentences: what it rests on; the first has the figures where a case gave a verdict.
    """

    tone: Tone
    text: str
    sentences: list[str]


class Count(NamedTuple):
    """So many of so many."""

    good: int
    all: int


class Counts(NamedTuple):
    cases: Count
    tests: Count
    """Of those that ran."""
    skipped: int
    bounds: Count
    """The specification's."""
    goals: Count


def plain(text: str) -> str:
    """Without what XML can't have, terminal colours among it."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", _COLOURS.sub("", text))


def figure(value: float, beside: float | None = None) -> str:
    """Three digits, or more where ``value`` would otherwise look the same as what it is held against."""
    text = _rounded(value, 3)
    if beside is not None and value != beside:
        for digits in range(4, 17):
            if text != _rounded(beside, 3):
                break
            text = _rounded(value, digits)
    return text


def _rounded(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    if abs(value) < 0.0001:
        return f"{value:.{digits - 1}g}"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    return f"{value:.{digits - whole}f}".rstrip("0").rstrip(".") if digits > whole else f"{value:.0f}"


def with_unit(value: str, unit: str) -> str:
    """With a space that doesn't break, but for milli-CPU, which Kubernetes writes without."""
    if not unit:
        return value
    return value + unit if unit == "m" else f"{value}\N{NO-BREAK SPACE}{unit}"


def unit_name(unit: str) -> str:
    """Where it stands alone."""
    return {"m": "milli-CPU", "s": "seconds"}.get(unit, unit)


def measured(bound: Bound) -> str:
    text = figure(bound.measured, beside=_allowed(bound))
    if bound.unit == "%" and text == "100" and bound.measured < 100:
        text = f"{bound.measured:.5g}"  # a few that weren't are not rounded away
    return with_unit(text, bound.unit)


def allowed(bound: Bound) -> str:
    side = "at most" if bound.at_most is not None else "at least"
    return f"{side} {with_unit(figure(_allowed(bound)), bound.unit)}"


def sentence(bound: Bound) -> str:
    return f"{measured(bound)} ({allowed(bound)}): {'met' if bound.met else 'missed'}"


def used(bound: Bound) -> float:
    """How much of what is allowed: 1 is at the bound, more is missed. At most 2, at least 0."""
    limit = _allowed(bound)
    over, under = (bound.measured, limit) if bound.at_most is not None else (limit, bound.measured)
    if under <= 0 or over < 0:
        return 0.0 if bound.met else 2.0
    share = min(over / under, 2.0)
    return min(share, 1.0) if bound.met else max(share, 1.0)


def main_bounds(case: Case) -> list[Bound]:
    """For a glance: all that the specification has and the case missed, and the tightest of the others."""
    asserted = [bound for bound in case.bounds if bound.source is Source.SPECIFICATION]
    missed = [bound for bound in asserted if not bound.met]
    met = sorted((bound for bound in asserted if bound.met), key=used, reverse=True)
    return missed + met[: max(MAIN_BOUNDS - len(missed), 0)]


def _allowed(bound: Bound) -> float:
    limit = bound.at_most if bound.at_most is not None else bound.at_least
    assert limit is not None  # the model sees to it
    return limit


def case_name(case: Case) -> str:
    variant = f" ({case.variant})" if case.variant else ""
    return f"Case {case.number}: {case.title}{variant}, {many(case.tenants, 'tenant')}"


def many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Such as "0.4 s", "42 s", "3 min 5 s", "1 h 2 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def moment(rfc3339: str) -> str:
    """Such as "25 November 2026, 17:45 UTC"; what is no such time is returned as it is."""
    try:
        time = datetime.fromisoformat(rfc3339)
    except ValueError:
        return rfc3339
    return f"{time.day} {time:%B %Y, %H:%M} {time.tzname() or ''}".strip()


def counts(run: Run) -> Counts:
    tests = [test for case in run.cases for test in case.tests]
    bounds = [bound for case in run.cases for bound in case.bounds]
    asserted = [bound for bound in bounds if bound.source is Source.SPECIFICATION]
    goals = [bound for bound in bounds if bound.source is Source.GOAL]
    skipped = sum(test.outcome == "skipped" for test in tests)
    return Counts(
        cases=Count(sum(case.passed for case in run.cases), len(run.cases)),
        tests=Count(sum(test.outcome == "passed" for test in tests), len(tests) - skipped),
        skipped=skipped,
        bounds=Count(sum(bound.met for bound in asserted), len(asserted)),
        goals=Count(sum(bound.met for bound in goals), len(goals)),
    )


def ran(case: Case) -> bool:
    """Whether any of its tests did. One that hasn't run has not passed, nor has it failed."""
    return any(test.outcome != "skipped" for test in case.tests)


def headline(run: Run) -> Headline:
    """What all cases together say. A verdict of isolation counts only where nothing else failed."""
    verdicts = _verdicts(run)
    found = [verdict.text for verdict in verdicts]
    failed = [case_name(case) for case in run.cases if ran(case) and not case.passed]
    missing = [case_name(case) for case in run.cases if not ran(case)]
    rest = _rest(run, failed, missing)
    states = {verdict.state for verdict in verdicts}
    if VerdictState.NOT_ISOLATED in states:
        return Headline(Tone.BAD, "Tenants are not isolated", found + rest)
    if failed:
        text = f"{len(failed)} of {many(len(run.cases), 'case')} failed"
        return Headline(Tone.BAD, text, rest + found)
    if run.incomplete or missing or not run.cases:
        return Headline(Tone.OPEN, "The run is not complete", rest + found)
    if VerdictState.CANNOT_TELL in states:
        return Headline(Tone.OPEN, "All cases passed; isolation can't be told from noise", found)
    if VerdictState.ISOLATED in states:
        return Headline(Tone.GOOD, "Tenants are isolated", found)
    all_of_them = f"All {len(run.cases)} cases" if len(run.cases) > 1 else "The case"
    return Headline(Tone.GOOD, f"{all_of_them} passed", [])


def _verdicts(run: Run) -> list[Verdict]:
    return [case.verdict for case in run.cases if case.verdict is not None]


def _rest(run: Run, failed: list[str], missing: list[str]) -> list[str]:
    said = [f"Failed: {'; '.join(failed)}."] if failed else []
    if missing:
        said.append(f"Not run: {'; '.join(missing)}.")
    if run.incomplete:
        said.append(run.incomplete)
    elif not run.cases:
        said.append("No case was recorded.")
    return said


def left_out(run: Run) -> str:
    """Which of the specification's cases the run didn't have; empty when it had all."""
    missing = sorted(CASES - {case.number for case in run.cases})
    if not missing or not run.cases:
        return ""
    names = ", ".join(str(number) for number in missing)
    return f"Not part of this run: case{'s' if len(missing) > 1 else ''} {names} of the specification's 7."
