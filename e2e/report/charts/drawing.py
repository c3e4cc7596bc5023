"""A chart with what stands around it: legend and table."""

import statistics
import xml.etree.ElementTree as ET
from typing import NamedTuple

from markupsafe import Markup

from e2e.report.charts.bars import draw_bars
from e2e.report.charts.frame import NARROW, WIDE
from e2e.report.charts.lines import draw_lines, line_styles, moment_text, span_styles
from e2e.report.words import figure, many, unit_name
from e2e.results import Chart, Line


class Key(NamedTuple):
    """
    Attributes:
        style: the page's classes for its swatch.
    """

    style: str
    name: str


class Table(NamedTuple):
    header: list[str]
    rows: list[list[str]]


class Drawn(NamedTuple):
    """
    Attributes:
        pictures: for wide and for narrow screens; none where there is nothing to draw.
        table: the same in figures, for those who don't see it.
        moments: all of them in words, also those without room in the picture.
    """

    pictures: list[Markup]
    legend: list[Key]
    table: Table
    moments: list[str]


def draw(chart: Chart) -> Drawn:
    has_points = any(line.points for line in chart.lines)
    drawer = draw_bars if chart.bars else draw_lines
    label = f"{chart.title}, in {unit_name(chart.unit)}" if chart.unit else chart.title
    pictures = [_markup(drawer(chart, size, label)) for size in (WIDE, NARROW)] if has_points else []
    moments = sorted(chart.moments, key=lambda moment: moment.at)
    return Drawn(
        pictures=pictures,
        legend=_legend(chart),
        table=_bars_table(chart) if chart.bars else _lines_table(chart),
        moments=[f"{moment_text(moment, chart.x)} {moment.text}".strip() for moment in moments],
    )


def _markup(svg: ET.Element) -> Markup:
    # ElementTree has escaped whatever came from outside
    return Markup(ET.tostring(svg, encoding="unicode"))  # noqa: S704


def _legend(chart: Chart) -> list[Key]:
    kind = "bar b" if chart.bars else "line l"
    keys = [Key(f"{kind}{style}", chart.lines[number].name) for number, style in line_styles(chart).items()]
    muted = [line.name for line in chart.lines if line.muted]
    if chart.bars:
        keys += [Key("bar behind", name) for name in muted]
    elif len(muted) == 1:
        keys.append(Key("line muted", muted[0]))
    elif muted:
        keys.append(Key("line muted", f"{many(len(muted), 'further line')}: {muted[0]} to {muted[-1]}"))
    return keys + [Key(f"span s{style}", name) for name, style in span_styles(chart).items()]


def _lines_table(chart: Chart) -> Table:
    unit = f" ({chart.unit})" if chart.unit else ""
    header = ["Line", "Points", *(f"{what}{unit}" for what in ("Least", "Median", "Most", "Last"))]
    return Table(header, [_line_row(line) for line in chart.lines])


def _line_row(line: Line) -> list[str]:
    values = [y for _, y in line.points]
    if not values:
        return [line.name, "0", "", "", "", ""]
    summary = (min(values), statistics.median(values), max(values), values[-1])
    return [line.name, f"{len(values):,}", *(figure(value) for value in summary)]


def _bars_table(chart: Chart) -> Table:
    unit = f" ({chart.unit})" if chart.unit else ""
    values = [dict(line.points) for line in chart.lines]
    rows = [
        [name, *(figure(each[number]) if number in each else "" for each in values)]
        for number, name in enumerate(chart.bars)
    ]
    return Table(["Bar", *(f"{line.name}{unit}" for line in chart.lines)], rows)
