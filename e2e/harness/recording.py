"""A pytest plugin: each module of a case says what it is in ``CASE``, and its tests note what they find with
the fixture ``record``. Their outcomes are added, and all is written when the module's tests are over."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from e2e.harness.cluster import Cluster
from e2e.harness.figures import REPORTS
from e2e.results import Case, Outcome, Recorder
from e2e.results.recorder import write

_OUTCOMES: Final = pytest.StashKey[dict[str, Outcome]]()
_SECONDS: Final = pytest.StashKey[float]()
_WRITTEN: Final = pytest.StashKey[dict["Key", Path]]()
KUBERNETES: Final = pytest.StashKey[str]()
"""The version that the cases ran on."""


class Key(NamedTuple):
    """A module may run once for each of several numbers of tenants.

    Attributes:
        module: its node id.
    """

    module: str
    tenants: int


@dataclass(frozen=True)
class About:
    """A module's case.

    Attributes:
        number: the specification's, 1 to 7.
        about: what is done, in a sentence.
        variant: where several modules have the same case and number of tenants; such a module also has
            the marker ``variant``, without which it always runs.
    """

    number: int
    title: str
    about: str
    variant: str = ""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reports",
        type=Path,
        default=REPORTS,
        metavar="DIRECTORY",
        help="where reports go (default: %(default)s)",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    over = outcomes(item.session)
    # the first that needs a case's fixtures waits for them, which may be most of its time
    seconds = item.stash.get(_SECONDS, 0.0) + report.duration
    item.stash[_SECONDS] = seconds
    if report.when == "call" or report.outcome != "passed":
        former = over.get(item.nodeid)
        over[item.nodeid] = Outcome(
            name=item.name,
            text=_text(item),
            outcome=report.outcome if former is None or report.outcome != "passed" else former.outcome,
            seconds=seconds,
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


def about(item: pytest.Item) -> About | None:
    """What its module says of its case."""
    found = getattr(getattr(item, "module", None), "CASE", None)
    return found if isinstance(found, About) else None


def key(item: pytest.Item) -> Key:
    callspec = getattr(item, "callspec", None)
    tenants = callspec.params.get("tenant_count", 0) if callspec is not None else 0
    return Key(item.nodeid.partition("::")[0], tenants)


def outcomes(session: pytest.Session) -> dict[str, Outcome]:
    """Of the tests that are over, by node id."""
    return session.stash.setdefault(_OUTCOMES, {})


def recorded(session: pytest.Session) -> dict[Key, Case]:
    """What this process' cases have written, with what has become of their tests since.

    A module that failed before its fixture ``record`` was made is in it with the outcomes alone.
    """
    found: dict[Key, Case] = {}
    written = session.stash.setdefault(_WRITTEN, {})
    for item in session.items:
        case, what = key(item), about(item)
        if case in found or what is None:
            continue
        tests = _tests(session, case)
        if case in written:
            noted = Case.model_validate_json(written[case].read_text())
            found[case] = noted.model_copy(update={"tests": tests})
        elif tests:
            made = Recorder(what.number, what.title, what.about, case.tenants, what.variant)
            found[case] = made.case(seconds=sum(test.seconds for test in tests), tests=tests)
    return found


def _tests(session: pytest.Session, case: Key) -> list[Outcome]:
    over = outcomes(session)
    return [over[item.nodeid] for item in session.items if key(item) == case and item.nodeid in over]


@pytest.fixture(scope="module")
def record(request: pytest.FixtureRequest, tenant_count: int, cluster: Cluster) -> Iterator[Recorder]:
    """Where the module's case notes what it finds."""
    what: About = request.module.CASE
    made = Recorder(what.number, what.title, what.about, tenant_count, what.variant)
    request.session.stash.setdefault(KUBERNETES, cluster.version)
    start = time.monotonic()
    yield made
    case = Key(request.node.nodeid, tenant_count)
    noted = made.case(seconds=time.monotonic() - start, tests=_tests(request.session, case))
    path = write(noted, request.config.getoption("reports"))
    request.session.stash.setdefault(_WRITTEN, {})[case] = path
