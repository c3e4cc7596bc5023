"""Bars side by side; what they are compared with stands wide and pale behind them."""

import xml.etree.ElementTree as ET
from typing import Final

from e2e.report.charts.frame import Frame, Size
from e2e.report.charts.lines import line_styles
from e2e.report.charts.svg import add, cut, width
from e2e.report.words import figure, with_unit
from e2e.results import Chart

LEVEL_ROOM: Final = 6.0
"""Between two names that are written level."""
SLANTED_LETTERS: Final = 18
LETTER_HEIGHT: Final = 12.0


def draw_bars(chart: Chart, size: Size, label: str) -> ET.Element:
    room = (size.width - 60) / len(chart.bars)
    level = all(width(name) + LEVEL_ROOM <= room for name in chart.bars)
    longest = max(min(len(name), SLANTED_LETTERS) for name in chart.bars)
    below = 26.0 if level else 18.0 + width("n" * longest)
    frame = Frame(chart, size, above=0, below=below, label=label)
    room = (frame.right - frame.left) / len(chart.bars)
    _bars(frame, room)
    add(frame.svg, "line", class_="axis", x1=frame.left, x2=frame.right, y1=frame.y(0), y2=frame.y(0))
    _names(frame, room, level=level)
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


def _names(frame: Frame, room: float, *, level: bool) -> None:
    every = 1 if level else -(-LETTER_HEIGHT // room)  # rounded up
    for number, name in enumerate(frame.chart.bars):
        if number % every:
            continue
        x = frame.left + (number + 0.5) * room
        if level:
            add(frame.svg, "text", name, class_="tick", x=x, y=frame.bottom + 18, text_anchor="middle")
            continue
        y = frame.bottom + 10
        text = add(
            frame.svg,
            "text",
            cut(name, width("n" * SLANTED_LETTERS)),
            class_="tick",
            x=x + 4,
            y=y,
            text_anchor="end",
            transform=f"rotate(-90 {x + 4:.1f} {y:.1f})",
        )
        add(text, "title", name)
