"""Charts as SVG that stands in the page: its colours are the page's, so they follow dark mode and print.

Each is drawn twice, for wide and for narrow screens, since text in a scaled picture shrinks with it.
"""

from e2e.report.charts.drawing import Drawn, draw

__all__ = ["Drawn", "draw"]
