"""What lines and bars have in common: the paper, the y axis with its grid, and limits across it."""

import xml.etree.ElementTree as ET
from typing import Final, NamedTuple

from e2e.report.charts import axis
from e2e.report.charts.axis import Scale
from e2e.report.charts.svg import add, apart, cut, width
from e2e.report.words import figure, with_unit
from e2e.results import Chart

OFF_THE_CHART: Final = 3
"""So many times what was measured, a limit would leave the figures flat at the bottom of a linear axis; it is
written at the top instead."""
LABEL_HEIGHT: Final = 13.0
RIGHT: Final = 14.0


class Size(NamedTuple):
    """Of the paper, in CSS pixels where it is shown unscaled."""

    name: str
    width: float
    plot_height: float
    x_ticks: int
    y_ticks: int


WIDE: Final = Size("wide", width=960, plot_height=250, x_ticks=11, y_ticks=6)
NARROW: Final = Size("narrow", width=350, plot_height=200, x_ticks=5, y_ticks=5)


class Frame:
    """The y axis, drawn; ``left`` to ``right`` and ``top`` to ``bottom`` is where figures go."""

    def __init__(self, chart: Chart, size: Size, *, above: float, below: float, label: str) -> None:
        """
        Args:
            above, below: room for what stands over and under the plot.
            label: what a screen reader says of the picture.
        """
        self.chart = chart
        self.size = size
        values = [y for line in chart.lines for _, y in line.points]
        self._inside, self._outside = _limits(chart, values)
        values = values + list(self._inside.values())
        ticks = (axis.decades if chart.logarithmic else axis.from_zero)(values, size.y_ticks)
        labels = [figure(tick) for tick in ticks]
        self.top = above + 12 + (LABEL_HEIGHT * len(self._outside))
        self.bottom = self.top + size.plot_height
        self.left = max(width(text) for text in labels) + 10
        self.right = size.width - RIGHT
        self.y = Scale(ticks[0], ticks[-1], self.bottom, self.top, chart.logarithmic)
        height = self.bottom + below
        self.svg = ET.Element(
            "svg", {"viewBox": f"0 0 {size.width:g} {height:g}", "class": size.name, "role": "img"}
        )
        add(self.svg, "title", label)
        add(self.svg, "desc", _description(chart))
        self._above = above
        for tick, text in zip(ticks, labels, strict=True):
            at = self.y(tick)
            add(self.svg, "line", class_="grid", x1=self.left, x2=self.right, y1=at, y2=at)
            add(self.svg, "text", text, class_="tick", x=self.left - 6, y=at + 4, text_anchor="end")

    def limits(self) -> None:
        """Drawn last, over the figures."""
        for number, (name, value) in enumerate(self._outside.items()):
            text = f"\N{UPWARDS ARROW} {self._limit(name, value)}, above this chart"
            y = self.top - 6 - LABEL_HEIGHT * number
            self._label(text, y)
        wanted = [self.y(value) - 4 for value in self._inside.values()]
        places = apart(wanted, LABEL_HEIGHT, self.bottom - 4)
        for (name, value), y in zip(self._inside.items(), places, strict=True):
            at = self.y(value)
            line = add(self.svg, "line", class_="limit", x1=self.left, x2=self.right, y1=at, y2=at)
            add(line, "title", self._limit(name, value))
            self._label(self._limit(name, value), y)

    def _label(self, text: str, y: float) -> None:
        shown = cut(text, self.right - self.left)
        label = add(self.svg, "text", shown, class_="halo limit-name", x=self.right, y=y, text_anchor="end")
        if shown != text:
            add(label, "title", text)

    def _limit(self, name: str, value: float) -> str:
        return f"{name}: {with_unit(figure(value), self.chart.unit)}"


def _limits(chart: Chart, values: list[float]) -> tuple[dict[str, float], dict[str, float]]:
    """Those that are drawn and those too far above for it."""
    most = max(values, default=0.0)
    far = {
        name: value
        for name, value in chart.limits.items()
        if not chart.logarithmic and most > 0 and value > OFF_THE_CHART * most
    }
    return {name: value for name, value in chart.limits.items() if name not in far}, far


def _description(chart: Chart) -> str:
    parts = [chart.note.rstrip(".")] if chart.note else []
    named = [line.name for line in chart.lines if not line.muted]
    if named:
        parts.append(f"Shown: {', '.join(named)}")
    parts += [f"Limit {name}: {figure(value)} {chart.unit}" for name, value in chart.limits.items()]
    parts += [f"{moment.kind} at {figure(moment.at)} {chart.x}" for moment in chart.moments[:12]]
    return ". ".join(parts) + "."
