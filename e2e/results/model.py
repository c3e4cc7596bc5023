"""The data of a run. All of it goes to JSON and back without loss; times are seconds, named where not."""

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, model_validator


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Source(StrEnum):
    """Whose bound it is."""

    SPECIFICATION = "specification"
    """Asserted: a case that misses it fails."""
    GOAL = "goal"
    """The project's own, stricter: told, not asserted."""


class Bound(_Data):
    """One figure beside what it may be.

    Attributes:
        what: such as "from onset to hold, the slowest".
        unit: of both figures, such as "s", "ms", "%", "MiB", "m" (milli-CPU); empty for a plain number.
        at_most, at_least: exactly one of them.
    """

    what: str
    measured: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    source: Source = Source.SPECIFICATION

    @model_validator(mode="after")
    def _one_side(self) -> Self:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"{self.what}: give either at_most or at_least")
        return self

    @property
    def met(self) -> bool:
        """Whether the figure is within the bound, the bound itself included."""
        if self.at_most is not None:
            return self.measured <= self.at_most
        assert self.at_least is not None
        return self.measured >= self.at_least


class MomentKind(StrEnum):
    """What happened at a moment."""

    ONSET = "onset"
    """A noisy tenant began."""
    FOUND = "found"
    HELD = "held"
    NAMED = "named"
    """Its quota's status said whom it harms."""
    QUIET = "quiet"
    """The noisy tenant ended."""
    GIVEN_BACK = "given back"
    CRASHED = "crashed"
    BACK = "back"
    """What had crashed or gone is as it was before."""


class Moment(_Data):
    """
    Attributes:
        at: seconds on the chart's axis.
        text: where the kind doesn't say enough, such as the tenant.
    """

    at: float
    kind: MomentKind
    text: str = ""


class Span(_Data):
    """A stretch of a chart with a name, such as "quiet" or "held"; seconds on the chart's axis."""

    start: float
    end: float
    name: str


class Line(_Data):
    """
    Attributes:
        points: (x, y) in order of x. On a chart of bars x is the number of the bar.
        muted: one of many of the same kind, such as one quiet tenant among fifty. On a chart of bars: what
            the others are compared with, such as what each is entitled to; drawn wide, behind them.
    """

    name: str
    points: list[tuple[float, float]]
    muted: bool = False


class Chart(_Data):
    """
    Attributes:
        unit: of y.
        x: what the x axis is; "s" by default, seconds since the chart's start.
        bars: the names of the bars, where it is a chart of bars and not of lines over time.
        limits: horizontal lines, by name, in the unit of y.
        logarithmic: of y.
        note: what to see in it, in a sentence.
    """

    title: str
    unit: str
    lines: list[Line]
    x: str = "s"
    bars: list[str] = []
    moments: list[Moment] = []
    spans: list[Span] = []
    limits: dict[str, float] = {}
    logarithmic: bool = False
    note: str = ""


class Outcome(_Data):
    """One test of a case.

    Attributes:
        outcome: "passed", "failed" or "skipped", as pytest has it; an error while it is set up is "failed".
        text: what it asserts, in words: the first line of its docstring, or its name.
        message: why it failed or was skipped.
    """

    name: str
    text: str
    outcome: str
    seconds: float
    message: str = ""


class VerdictState(StrEnum):
    ISOLATED = "isolated"
    NOT_ISOLATED = "not isolated"
    CANNOT_TELL = "cannot tell"
    """The noise floor or the interval is wider than what is asked."""


class Verdict(_Data):
    """
    Attributes:
        text: one sentence with the figures.
        reasons: further sentences: the intervals, the noise floor, what is left.
    """

    state: VerdictState
    text: str
    reasons: list[str] = []


class Case(_Data):
    """What one case found with so many tenants.

    Attributes:
        number: the specification's, 1 to 7.
        variant: where one case has several, such as "stress-ng".
        figures: whatever else was measured, for those who read the JSON.
    """

    number: int
    title: str
    about: str
    tenants: int
    variant: str = ""
    seconds: float = 0.0
    bounds: list[Bound] = []
    charts: list[Chart] = []
    notes: list[str] = []
    verdict: Verdict | None = None
    tests: list[Outcome] = []
    figures: dict[str, Any] = {}

    @property
    def passed(self) -> bool:
        """Every test did and every asserted bound is met; a case without a test that ran has not passed."""
        ran = [test for test in self.tests if test.outcome != "skipped"]
        kept = all(bound.met for bound in self.bounds if bound.source is Source.SPECIFICATION)
        return bool(ran) and kept and all(test.outcome == "passed" for test in ran)


class Run(_Data):
    """All of it.

    Attributes:
        started: RFC 3339, UTC.
        machine: where it ran; see ``e2e.harness.figures.machine``.
        command: what was run.
        incomplete: why it isn't all that was asked for, in a sentence, such as that it was interrupted.
    """

    started: str
    seconds: float
    command: str
    machine: dict[str, Any]
    cases: list[Case]
    incomplete: str = ""

    @property
    def passed(self) -> bool:
        return bool(self.cases) and not self.incomplete and all(case.passed for case in self.cases)
