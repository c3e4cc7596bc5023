"""Bars side by side; what they are compared with stands wide and pale behind them."""

import itertools
import xml.etree.ElementTree as ET
from typing import Final

from e2e.report.charts.frame import Frame, Size
from e2e.report.charts.lines import line_styles
from e2e.report.charts.svg import LETTER, add, cut, place, width
from e2e.report.words import figure, with_unit
from e2e.results import Chart

WIDE_ENOUGH: Final = 90.0
"""To write a name level, cut where it is longer."""
LEVEL_ROOM: Final = 6.0
"""Between two names that are written level."""
UPRIGHT_LETTERS: Final = 18
LETTER_HEIGHT: Final = 12.0


def draw_bars(chart: Chart, size: Size, label: str) -> ET.Element:
    room = (size.width - 60) / len(chart.bars)
    names = short(chart.bars)
    level = room >= WIDE_ENOUGH or all(width(name) + LEVEL_ROOM <= room for name in names)
    longest = max(min(len(name), UPRIGHT_LETTERS) for name in names)
    below = 26.0 if level else 18.0 + longest * LETTER
    frame = Frame(chart, size, above=0, below=below, label=label)
    room = (frame.right - frame.left) / len(chart.bars)
    _bars(frame, room)
    add(frame.svg, "line", class_="axis", x1=frame.left, x2=frame.right, y1=frame.y(0), y2=frame.y(0))
    _names(frame, room, names, level=level)
    frame.limits()
    return frame.svg


def _bars(frame: Frame, room: float) -> None:
    chart = frame.chart
    styles = line_styles(chart)
    gap = min(room * 0.2, 24)
    thick = min((room - gap) / max(len(styles), 1), 64)
    behind = min(room - gap / 2, thick * max(len(styles), 1) + gap / 2)
    order = sorted(range(len(chart.lines)), key=lambda number: not chart.lines[number].muted)
    for number in order:
        line = chart.lines[number]
        for at, value in line.points:
            if not 0 <= at < len(chart.bars):
                continue
            middle = frame.left + (at + 0.5) * room
            if line.muted:
                start, wide, style = middle - behind / 2, behind, "behind"
            else:
                start = middle + (list(styles).index(number) - len(styles) / 2) * thick
                wide, style = thick * (0.9 if len(styles) > 1 else 1), f"b{styles[number]}"
            _bar(frame, start, wide, value, style, f"{chart.bars[int(at)]}, {line.name}")


def _bar(frame: Frame, start: float, wide: float, value: float, style: str, name: str) -> None:
    zero, at = frame.y(0), frame.y(value)
    shape = add(
        frame.svg,
        "rect",
        class_=f"bar {style}",
        x=start,
        y=min(zero, at),
        width=max(wide, 0.8),
        height=max(abs(zero - at), 0.5),
    )
    add(shape, "title", f"{name}: {with_unit(figure(value), frame.chart.unit)}")


def short(names: list[str]) -> list[str]:
    """Without the words at their start that all have, such as the run that made a tenant's namespace."""
    words = [name.split("-") for name in names]
    alike = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    common = len(list(alike))
    if common >= min(map(len, words)):
        return names
    return ["-".join(each[common:]) for each in words]


def _names(frame: Frame, room: float, names: list[str], *, level: bool) -> None:
    every = 1 if level else -(-LETTER_HEIGHT // room)  # rounded up
    for number, name in enumerate(names):
        if number % every:
            continue
        x = frame.left + (number + 0.5) * room
        if level:
            text = add(frame.svg, "text", cut(name, room - LEVEL_ROOM), class_="tick", text_anchor="middle")
            text.attrib |= {"x": place(x), "y": place(frame.bottom + 18)}
        else:
            text = add(
                frame.svg, "text", cut(name, UPRIGHT_LETTERS * LETTER), class_="tick", text_anchor="end"
            )
            text.set("transform", f"translate({place(x + 4)} {place(frame.bottom + 10)}) rotate(-90)")
        add(text, "title", frame.chart.bars[number])
