"""The report of a run: one HTML file that needs nothing beside it, and the same as JSON and as JUnit's XML.

``words`` says things, ``charts`` draws them, ``page`` puts them together; nothing here measures or decides.
"""

from e2e.report.files import Paths, write

__all__ = ["Paths", "write"]
