"""What the isolation cases found, as data: cases record it, the report shows it."""

from e2e.results.model import (
    Bound,
    Case,
    Chart,
    Line,
    Moment,
    MomentKind,
    Outcome,
    Run,
    Source,
    Span,
    Verdict,
    VerdictState,
)
from e2e.results.recorder import BoundMissedError, Recorder

__all__ = [
    "Bound",
    "BoundMissedError",
    "Case",
    "Chart",
    "Line",
    "Moment",
    "MomentKind",
    "Outcome",
    "Recorder",
    "Run",
    "Source",
    "Span",
    "Verdict",
    "VerdictState",
]
