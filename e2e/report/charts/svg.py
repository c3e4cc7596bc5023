"""Elements of SVG, escaped and well-formed by the standard library's ElementTree."""

import itertools
import xml.etree.ElementTree as ET
from typing import Final

from e2e.report.words import plain

LETTER: Final = 6.3
"""Width of a letter of the charts' text, 11 px high: an estimate, a little over the mean."""


def add(parent: ET.Element, tag: str, /, text: str | None = None, **attributes: str | float) -> ET.Element:
    """Underscores in names become hyphens, and one at the end is dropped (``class_``)."""
    named = {name.rstrip("_").replace("_", "-"): _said(value) for name, value in attributes.items()}
    element = ET.SubElement(parent, tag, named)
    if text is not None:
        element.text = plain(text)
    return element


def _said(value: str | float) -> str:
    return plain(value) if isinstance(value, str) else place(value)


def place(value: float) -> str:
    """A tenth of a pixel is as much as can be seen."""
    return f"{value:.1f}".removesuffix(".0")


def path(points: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{place(x)} {place(y)}" for x, y in points)


def width(text: str) -> float:
    return len(text) * LETTER


def cut(text: str, room: float) -> str:
    """``text``, or what of it fits, its middle left out: names of tenants often differ at their end."""
    letters = max(int(room / LETTER), 3)
    if len(text) <= letters:
        return text
    end = (letters - 1) // 2
    return f"{text[: letters - 1 - end]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - end :]}"


def apart(wanted: list[float], distance: float, last: float) -> list[float]:
    """Places at least ``distance`` from each other, as near to the wanted ones as a walk up and one down
    give, none after ``last``; in the order of ``wanted``."""
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    places = [wanted[at] for at in order]
    for before, after in itertools.pairwise(range(len(places))):
        places[after] = max(places[after], places[before] + distance)
    for at in reversed(range(len(places))):
        places[at] = min(places[at], last if at == len(places) - 1 else places[at + 1] - distance)
    return [places[order.index(at)] for at in range(len(places))]
