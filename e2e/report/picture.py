"""The charts of one case as a picture of its own, for a document:

python -m e2e.report.picture reports/e2e.json --case 4 --until 125 > docs/isolation.svg
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pydantic import ValidationError

from e2e.report.charts import Drawn, draw
from e2e.report.charts.frame import WIDE
from e2e.report.charts.svg import width
from e2e.report.page import TEMPLATES
from e2e.results import Case, Chart, Run

MARGIN: Final = 20.0
TITLE_HEIGHT: Final = 44.0
LEGEND_HEIGHT: Final = 34.0
KEY_WIDTH: Final = 27.0
KEYS_APART: Final = 24.0


class _Key(NamedTuple):
    style: str
    name: str
    x: float


class _Panel(NamedTuple):
    """One chart; all in CSS pixels."""

    title: str
    title_at: float
    picture: Markup
    picture_at: float
    width: float
    height: float
    legend: list[_Key]
    legend_at: float


def picture(case: Case) -> str:
    """Its charts, one below the other, as an SVG document that needs nothing else.

    Raises:
        ValueError: there is nothing to draw.
    """
    panels: list[_Panel] = []
    below = 0.0
    for chart in case.charts:
        drawn = draw(chart)
        if drawn.pictures:
            panels.append(_panel(chart, drawn, below))
            below = panels[-1].legend_at + LEGEND_HEIGHT
    if not panels:
        raise ValueError(f"case {case.number} has no chart with anything in it")
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("picture.svg.j2").render(
        title=case.title, panels=panels, margin=MARGIN, width=WIDE.width + 2 * MARGIN, height=below
    )


def cropped(chart: Chart, until: float) -> Chart:
    """A chart over time, up to that second of it; one of bars is left as it is."""
    if chart.bars:
        return chart
    lines = [
        line.model_copy(update={"points": [(x, y) for x, y in line.points if x <= until]})
        for line in chart.lines
    ]
    spans = [
        span.model_copy(update={"end": min(span.end, until)}) for span in chart.spans if span.start < until
    ]
    moments = [moment for moment in chart.moments if moment.at <= until]
    return chart.model_copy(update={"lines": lines, "spans": spans, "moments": moments})


def _panel(chart: Chart, drawn: Drawn, above: float) -> _Panel:
    wide = drawn.pictures[0]
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', wide)
    assert found  # the frame gives it
    inside = wide[wide.index(">") + 1 : wide.rindex("</svg>")]
    keys: list[_Key] = []
    right = MARGIN
    for key in drawn.legend:
        keys.append(_Key(key.style, key.name, right))
        right += KEY_WIDTH + width(key.name) + KEYS_APART
    return _Panel(
        title=f"{chart.title}, {chart.unit}" if chart.unit else chart.title,
        title_at=above + 26,
        picture=Markup(inside),  # noqa: S704 - taken out of what is escaped
        picture_at=above + TITLE_HEIGHT,
        width=float(found[1]),
        height=float(found[2]),
        legend=keys,
        legend_at=above + TITLE_HEIGHT + float(found[2]) + 8,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.report.picture", description=(__doc__ or "").splitlines()[0].rstrip(":")
    )
    parser.add_argument("report", type=Path, metavar="E2E_JSON")
    parser.add_argument("--case", type=int, required=True, help="its number")
    parser.add_argument(
        "--until", type=float, metavar="SECONDS", help="of the charts over time (default: all)"
    )
    options = parser.parse_args(arguments)
    try:
        run = Run.model_validate_json(options.report.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        parser.error(f"{options.report} is no report of the isolation cases: {str(error).splitlines()[0]}")
    case = next((case for case in run.cases if case.number == options.case and case.charts), None)
    if case is None:
        parser.error(f"{options.report} has no case {options.case} with charts")
    if options.until is not None:
        case = case.model_copy(update={"charts": [cropped(chart, options.until) for chart in case.charts]})
    try:
        drawn = picture(case)
    except ValueError as error:
        parser.error(f"{options.report}: {error}")
    sys.stdout.write(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
