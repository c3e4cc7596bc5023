"""Where a case notes what it finds."""

from pathlib import Path
from typing import Any, Final

from e2e.results.model import Bound, Case, Chart, Source, Verdict

DIRECTORY: Final = "results"
"""Under ``reports/``: one file for each case of the latest run."""


class BoundMissedError(AssertionError):
    """A figure is outside of the specification's bound."""


class Recorder:
    """One case while it runs. What is noted stays noted, whatever fails after it."""

    def __init__(self, number: int, title: str, about: str, tenants: int, variant: str = "") -> None:
        self._identity = {
            "number": number,
            "title": title,
            "about": about,
            "tenants": tenants,
            "variant": variant,
        }
        self.bounds: list[Bound] = []
        self.charts: list[Chart] = []
        self.notes: list[str] = []
        self.verdict: Verdict | None = None
        self.figures: dict[str, Any] = {}

    def bound(
        self,
        what: str,
        measured: float,
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        goal: float | None = None,
    ) -> None:
        """Notes a figure beside the specification's bound, and beside the project's own where that is
        stricter.

        Args:
            goal: on the same side as the specification's.

        Raises:
            BoundMissedError: when the specification's is missed.
        """
        bound = Bound(what=what, measured=measured, unit=unit, at_most=at_most, at_least=at_least)
        self.bounds.append(bound)
        if goal is not None:
            self.goal(
                what,
                measured,
                unit,
                at_most=None if at_most is None else goal,
                at_least=None if at_least is None else goal,
            )
        if not bound.met:
            side = f"at most {at_most:g}" if at_most is not None else f"at least {at_least:g}"
            raise BoundMissedError(f"{what}: {measured:g} {unit}, should be {side} {unit}")

    def goal(
        self,
        what: str,
        measured: float,
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Notes a figure beside the project's own bound, where the specification has none."""
        self.bounds.append(
            Bound(
                what=what,
                measured=measured,
                unit=unit,
                at_most=at_most,
                at_least=at_least,
                source=Source.GOAL,
            )
        )

    def case(self, **rest: Any) -> Case:
        """What was noted until now; ``rest`` are further fields of a Case."""
        return Case(
            **self._identity,
            bounds=self.bounds,
            charts=self.charts,
            notes=self.notes,
            verdict=self.verdict,
            figures=self.figures,
            **rest,
        )


def write(case: Case, reports: Path) -> Path:
    """To ``reports/results/case_N[_VARIANT]_T_tenants.json``; returns that path."""
    variant = f"_{case.variant.replace(' ', '_')}" if case.variant else ""
    path = reports / DIRECTORY / f"case_{case.number}{variant}_{case.tenants}_tenants.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(case.model_dump_json(indent=2) + "\n")
    return path
