"""Windows for the eye."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from e2e.load.plan import Sample
from e2e.results import Chart, Line, Moment, Span
from e2e.validation.statistics import percentile
from e2e.validation.verdict import PERCENTS, Validation
from e2e.validation.windows import Kind, Window


def over_time(
    answered: Mapping[str, Sequence[Sample]],
    windows: Iterable[Window],
    moments: Sequence[Moment] = (),
    *,
    step_seconds: float = 1.0,
    title: str = "How long quiet tenants' customers wait",
) -> Chart:
    """Median, p95 and the longest of the requests that were due in each step."""
    steps: defaultdict[int, list[float]] = defaultdict(list)
    for some in answered.values():
        for due, ms in some:
            steps[int(due / step_seconds)].append(ms)

    def line(name: str, percent: float) -> Line:
        points = [(step * step_seconds, percentile(steps[step], percent)) for step in sorted(steps)]
        return Line(name=name, points=[(x, round(y, 2)) for x, y in points])

    return Chart(
        title=title,
        unit="ms",
        lines=[line("median", 50), line("p95", 95), line("longest", 100)],
        spans=[
            Span(start=window.start, end=window.start + window.seconds, name=str(window.kind))
            for window in windows
        ],
        moments=list(moments),
        logarithmic=True,
        note="Each point is the requests that were due in one second, of all quiet tenants together.",
    )


def by_kind(found: Validation) -> Chart:
    """The percentiles of each kind of window, as bars."""
    names = [f"p{percent}" for percent in PERCENTS]
    lines = []
    for kind in Kind:
        if (each := found.summaries.get(kind)) is not None:
            values = (each.p50, each.p95, each.p99)
            lines.append(
                Line(name=str(kind), points=[(float(index), value) for index, value in enumerate(values)])
            )
    return Chart(
        title="Latency without noise, with noise that nobody holds, and held",
        unit="ms",
        x="",
        lines=lines,
        bars=names,
        note="The nearer the bars of held are to those of quiet, the better the isolation.",
    )
