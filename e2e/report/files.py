"""The three files of a report."""

from pathlib import Path
from typing import Final, NamedTuple

from e2e.report.junit import junit
from e2e.report.page import page
from e2e.results import Run

NAME: Final = "e2e"


class Paths(NamedTuple):
    html: Path
    json: Path
    junit: Path


def write(run: Run, directory: Path, name: str = NAME) -> Paths:
    """Writes ``NAME.html``, ``NAME.json`` (the Run itself, to be read with ``Run.model_validate_json``) and
    ``NAME.xml`` (JUnit) into ``directory``, which is made where it is missing.

    Raises:
        OSError: when they can't be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = Paths(directory / f"{name}.html", directory / f"{name}.json", directory / f"{name}.xml")
    # the data first: it is whole even where something can't be shown
    paths.json.write_text(run.model_dump_json() + "\n", encoding="utf-8")
    paths.junit.write_text(junit(run), encoding="utf-8")
    paths.html.write_text(page(run), encoding="utf-8")
    return paths
