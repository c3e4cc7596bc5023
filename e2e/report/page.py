"""The HTML page. All that it needs is in it: style, charts, text; it loads nothing and runs nothing."""

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from e2e.report import words
from e2e.report.charts import draw
from e2e.results import Case, Run, Source, VerdictState

TEMPLATES: Final = Path(__file__).parent / "templates"
MACHINE_NAMES: Final = {
    "kubernetes": "Kubernetes",
    "kernel": "Kernel",
    "cgroup": "Cgroup version",
    "cores": "Cores",
    "processor": "Processor",
    "memory_gib": "Memory, GiB",
    "load_average": "Load average at the end, 1, 5 and 15 min",
    "commit": "Commit",
}
VERDICT_TONES: Final = {
    VerdictState.ISOLATED: words.Tone.GOOD,
    VerdictState.NOT_ISOLATED: words.Tone.BAD,
    VerdictState.CANNOT_TELL: words.Tone.OPEN,
}


def page(run: Run) -> str:
    """The report of ``run``, a document that is well-formed as XML too."""
    cases = sorted(run.cases, key=lambda case: (case.number, case.variant, case.tenants))
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            cases=[(case, anchor(case)) for case in cases],
            headline=words.headline(run),
            counts=words.counts(run),
            left_out=words.left_out(run),
            tenants=sorted({case.tenants for case in cases}),
            machine=_machine(run.machine),
        )
    )


def anchor(case: Case) -> str:
    """The id of the case's section."""
    letters = f"case-{case.number}-{case.variant}-{case.tenants}"
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in letters)


def _machine(machine: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (
            MACHINE_NAMES.get(key, key.replace("_", " ").capitalize()),
            ", ".join(map(str, value)) if isinstance(value, list) else str(value),
        )
        for key, value in machine.items()
    ]


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_writable,
    )
    environment.globals.update(words=words, draw=draw, Source=Source, tone_of=VERDICT_TONES)
    return environment


def _writable(value: Any) -> Any:
    return words.plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
