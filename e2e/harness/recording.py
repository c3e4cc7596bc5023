"""A pytest plugin: each module of a case says what it is in ``CASE``, and its tests note what they find with
the fixture ``record``. Their outcomes are added, and all is written when the module's tests are over."""

import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

import pytest

from e2e.harness.figures import REPORTS
from e2e.results import Outcome, Recorder
from e2e.results.recorder import write

_OUTCOMES: Final = pytest.StashKey[dict[str, Outcome]]()


@dataclass(frozen=True)
class About:
    """A module's case.

    Attributes:
        number: the specification's, 1 to 7.
        about: what is done, in a sentence.
        variant: where several modules have the same case and number of tenants.
    """

    number: int
    title: str
    about: str
    variant: str = ""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    outcomes = item.session.stash.setdefault(_OUTCOMES, {})
    if report.when == "call" or report.outcome != "passed":
        former = outcomes.get(item.nodeid)
        outcomes[item.nodeid] = Outcome(
            name=item.name,
            text=_text(item),
            outcome=report.outcome if former is None or report.outcome != "passed" else former.outcome,
            seconds=report.duration,
            message=_message(report),
        )
    return report


def _text(item: pytest.Item) -> str:
    function = getattr(item, "function", None)
    if function is not None and function.__doc__:
        return str(function.__doc__).strip().splitlines()[0]
    return item.name.partition("[")[0].removeprefix("test_").replace("_", " ")


def _message(report: pytest.TestReport) -> str:
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message) if crash is not None else str(report.longrepr or "")


def _is_of(nodeid: str, tenants: int) -> bool:
    """A module may run once for each of several numbers of tenants."""
    return bool(re.search(rf"\W{tenants}-tenants\b", nodeid))


@pytest.fixture(scope="module")
def record(request: pytest.FixtureRequest, tenant_count: int) -> Iterator[Recorder]:
    """Where the module's case notes what it finds."""
    about: About = request.module.CASE
    made = Recorder(about.number, about.title, about.about, tenant_count, about.variant)
    start = time.monotonic()
    yield made
    outcomes = request.session.stash.setdefault(_OUTCOMES, {})
    prefix = f"{request.node.nodeid}::"
    mine = [
        outcome
        for nodeid, outcome in outcomes.items()
        if nodeid.startswith(prefix) and _is_of(nodeid, tenant_count)
    ]
    write(made.case(seconds=time.monotonic() - start, tests=mine), REPORTS)
