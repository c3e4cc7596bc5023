"""Lines over time, with spans shaded and moments marked."""

import itertools
import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import Final

from e2e.report.charts import axis
from e2e.report.charts.axis import Scale
from e2e.report.charts.frame import LABEL_HEIGHT, Frame, Size
from e2e.report.charts.svg import add, cut, path, width
from e2e.report.words import figure, unit_name, with_unit
from e2e.results import Chart, Line, Moment

STYLES: Final = 6
"""Lines that differ in colour and in dashes; see the page's style."""
SPAN_STYLES: Final = {"quiet": 0, "not held": 1, "held": 2}
"""Those that most charts have look the same in all; others take what is left."""
MOMENT_ROWS: Final = 6
MUTED_PIXELS: Final = 3
COLUMN_PIXELS: Final = 10
BELOW: Final = 36.0


def draw_lines(chart: Chart, size: Size, label: str) -> ET.Element:
    low, high = _extent(chart)
    rows = _rows(chart.moments, Scale(low, high, 40, size.width - 14), size.width - 14)
    used = 1 + max((row for row in rows if row is not None), default=-1)
    frame = Frame(chart, size, above=used * LABEL_HEIGHT, below=BELOW, label=label)
    x = Scale(low, high, frame.left, frame.right)
    _spans(frame, x)
    _x_axis(frame, x)
    for line in sorted(chart.lines, key=lambda line: not line.muted):
        _line(frame, x, line)
    _moments(frame, x, rows)
    frame.limits()
    _columns(frame, x)
    return frame.svg


def _extent(chart: Chart) -> tuple[float, float]:
    places = [x for line in chart.lines for x, _ in line.points]
    places += [place for span in chart.spans for place in (span.start, span.end)]
    places += [moment.at for moment in chart.moments]
    low, high = min(places), max(places)
    return (low, high) if high > low else (low, low + 1)


def span_styles(chart: Chart) -> dict[str, int]:
    """By the spans' names, in order of their first."""
    names = dict.fromkeys(span.name for span in chart.spans)
    known = {SPAN_STYLES[name] for name in names if name in SPAN_STYLES}
    free = itertools.cycle([style for style in (3, 0, 1, 2) if style not in known] or [3])
    return {name: SPAN_STYLES[name] if name in SPAN_STYLES else next(free) for name in names}


def line_styles(chart: Chart) -> dict[int, int]:
    """By the number of a line that isn't muted."""
    named = [number for number, line in enumerate(chart.lines) if not line.muted]
    return {number: style % STYLES for style, number in enumerate(named)}


def _spans(frame: Frame, x: Scale) -> None:
    styles = span_styles(frame.chart)
    for span in frame.chart.spans:
        start, end = x(span.start), x(span.end)
        shape = add(
            frame.svg,
            "rect",
            class_=f"span s{styles[span.name]}",
            x=start,
            y=frame.top,
            width=max(end - start, 0.5),
            height=frame.bottom - frame.top,
        )
        add(shape, "title", f"{span.name}: {figure(span.start)} to {figure(span.end)} {frame.chart.x}")


def _x_axis(frame: Frame, x: Scale) -> None:
    chart = frame.chart
    add(frame.svg, "line", class_="axis", x1=frame.left, x2=frame.right, y1=frame.bottom, y2=frame.bottom)
    for tick in axis.within(x.low, x.high, frame.size.x_ticks, seconds=chart.x == "s"):
        add(
            frame.svg,
            "text",
            figure(tick),
            class_="tick",
            x=x(tick),
            y=frame.bottom + 16,
            text_anchor="middle",
        )
    add(
        frame.svg,
        "text",
        unit_name(chart.x),
        class_="tick",
        x=frame.right,
        y=frame.bottom + 31,
        text_anchor="end",
    )


def _line(frame: Frame, x: Scale, line: Line) -> None:
    if not line.points:
        return
    number = next(at for at, each in enumerate(frame.chart.lines) if each is line)
    style = "muted" if line.muted else f"l{line_styles(frame.chart)[number]}"
    buckets = int((frame.right - frame.left) / (MUTED_PIXELS if line.muted else 1))
    places = [(x(at), frame.y(value)) for at, value in axis.thinned(line.points, buckets)]
    if len(places) == 1:
        shape = add(frame.svg, "circle", class_=f"dot {style}", cx=places[0][0], cy=places[0][1], r=3)
    else:
        shape = add(frame.svg, "path", class_=f"line {style}", d=path(places))
    add(shape, "title", line.name)


def moment_text(moment: Moment, unit: str) -> str:
    time = with_unit(figure(moment.at), unit) if unit == "s" else figure(moment.at)
    return f"{moment.kind} {time}"


def _rows(moments: Sequence[Moment], x: Scale, right: float) -> list[int | None]:
    """The row over the plot of each moment's label; None where there is no room for one."""
    ends = [-math.inf] * MOMENT_ROWS
    rows: list[int | None] = []
    for moment in sorted(moments, key=lambda moment: moment.at):
        room = width(moment_text(moment, "s"))
        start = min(x(moment.at), right - room)
        row = next((row for row, end in enumerate(ends) if start > end), None)
        if row is not None:
            ends[row] = start + room + 8
        rows.append(row)
    return rows


def _moments(frame: Frame, x: Scale, rows: Sequence[int | None]) -> None:
    moments = sorted(frame.chart.moments, key=lambda moment: moment.at)
    lines, labels = add(frame.svg, "g"), add(frame.svg, "g")
    for moment, row in zip(moments, rows, strict=True):
        text = moment_text(moment, frame.chart.x)
        at = x(moment.at)
        kind = moment.kind.value.replace(" ", "-")
        top = frame.top if row is None else 14.0 + row * LABEL_HEIGHT
        group = add(lines, "g", class_=f"moment {kind}")
        add(group, "title", f"{text} {moment.text}".strip())
        add(group, "line", x1=at, x2=at, y1=top - (0 if row is None else 8), y2=frame.bottom)
        if row is not None:
            start = min(at + 4, frame.right - width(text) + 4)
            add(labels, "text", text, class_=f"halo moment {kind}", x=start, y=top)


def _columns(frame: Frame, x: Scale) -> None:
    """What the lines that have a name are at, where the pointer is; works without a script."""
    named = [line for line in frame.chart.lines if not line.muted and len(line.points) > 1][:STYLES]
    if not named:
        return
    count = int((frame.right - frame.left) / COLUMN_PIXELS)
    step = (x.high - x.low) / count
    columns = add(frame.svg, "g", class_="columns")
    for number in range(count):
        start = x.low + number * step
        lines = [_at(line, start, start + step, frame.chart.unit) for line in named]
        said = [line for line in lines if line]
        if said:
            column = add(
                columns,
                "rect",
                x=x(start),
                y=frame.top,
                width=(frame.right - frame.left) / count,
                height=frame.bottom - frame.top,
            )
            unit = "\N{NO-BREAK SPACE}s" if frame.chart.x == "s" else ""
            add(column, "title", "\n".join([f"{figure(start)} to {figure(start + step)}{unit}", *said]))


def _at(line: Line, start: float, end: float, unit: str) -> str:
    values = [y for at, y in line.points if start <= at < end]
    if not values:
        return ""
    least, most = with_unit(figure(min(values)), unit), with_unit(figure(max(values)), unit)
    return f"{cut(line.name, 300)}: {least}" + (f" to {most}" if most != least else "")
