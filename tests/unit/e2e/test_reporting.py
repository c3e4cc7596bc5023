"""What a session of cases leaves behind, run as pytest runs it."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from e2e.harness import progress, recording, reporting, selection
from e2e.results import Run

pytest_plugins = ["pytester"]

PLUGINS = [selection, recording, reporting, progress]
"""Loaded here, so that each session of its own finds them in memory."""

CONFTEST = f"""
from types import SimpleNamespace
import pytest

pytest_plugins = {[plugin.__name__ for plugin in PLUGINS]}

@pytest.fixture(scope="session")
def cluster():
    return SimpleNamespace(version="v1.99.0")

def pytest_generate_tests(metafunc):
    if "tenant_count" in metafunc.fixturenames:
        counts = [2, 20]
        metafunc.parametrize("tenant_count", counts, scope="module", ids=lambda count: str(count))
"""
CASE = """
from e2e.harness.recording import About
CASE = About(5, "Noisy neighbours", "Two hogs.")
"""
RECORDS = (
    CASE
    + """
def test_it_holds(record, tenant_count):
    record.bound("held after", tenant_count / 10, "s", at_most=60, goal=1)

def test_it_gives_back(record):
    \"\"\"It gives back.\"\"\"
"""
)


class Session:
    """One session of pytest in a directory of its own."""

    def __init__(self, pytester: pytest.Pytester, **modules: str) -> None:
        self._pytester = pytester
        pytester.makeini(
            "[pytest]\nasyncio_default_fixture_loop_scope = function\nmarkers =\n    variant: of a case\n"
        )
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(**modules)
        self.reports = pytester.path / "reports"

    def run(self, *arguments: str) -> tuple[pytest.RunResult, Run]:
        done = self._pytester.runpytest_inprocess(
            f"--reports={self.reports}", *arguments, no_reraise_ctrlc=True
        )
        return done, Run.model_validate_json((self.reports / "e2e.json").read_text())


@pytest.fixture(autouse=True)
def _repository_is_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))


def test_a_session_ends_with_its_report(pytester: pytest.Pytester) -> None:
    done, run = Session(pytester, test_case_5=RECORDS).run()
    assert run.passed
    assert [(case.tenants, len(case.tests), len(case.bounds)) for case in run.cases] == [
        (2, 2, 2),
        (20, 2, 2),
    ]
    assert run.machine["kubernetes"] == "v1.99.0"
    assert run.command.startswith("pytest --reports=")
    assert run.cases[0].tests[1].text == "It gives back."
    done.stdout.fnmatch_lines(
        [
            "[[]*s[]] 1 of 4  case 5, 2 tenants: it holds ... passed, *",
            "All 2 cases passed",
            "2 of 2 cases passed; 2 of 2 of the specification's bounds met, 1 of 2 of the project's own",
            "*reports/e2e.html  (and e2e.json, e2e.xml)",
        ]
    )
    ET.parse(pytester.path / "reports" / "e2e.html")  # noqa: S314 - our own


def test_cases_of_former_sessions_are_left_out(pytester: pytest.Pytester) -> None:
    session = Session(pytester, test_case_5=RECORDS, test_case_6=RECORDS.replace("About(5", "About(6"))
    _, both = session.run()
    _, one = session.run("test_case_6.py")
    assert {case.number for case in both.cases} == {5, 6}
    assert {case.number for case in one.cases} == {6}
    assert (session.reports / "results" / "case_5_2_tenants.json").exists()


def test_a_variant_that_nobody_asked_for_is_not_missed(pytester: pytest.Pytester) -> None:
    variant = RECORDS.replace('"Two hogs."', '"Many hogs.", variant="many"')
    session = Session(
        pytester,
        test_case_5=RECORDS,
        test_case_5_many=variant + "import pytest\npytestmark = pytest.mark.variant\n",
    )
    done, without = session.run()
    assert without.passed
    assert {case.variant for case in without.cases} == {""}
    done.stdout.fnmatch_lines(["* 1 of 4  case 5, 2 tenants: it holds ... passed, *"])
    _, both = session.run("--variants")
    assert {case.variant for case in both.cases} == {"", "many"}


def test_a_missed_bound_fails_its_case(pytester: pytest.Pytester) -> None:
    done, run = Session(pytester, test_case_5=RECORDS.replace("at_most=60, goal=1", "at_most=1.5")).run()
    assert not run.passed
    assert [case.passed for case in run.cases] == [True, False]
    assert "held after: 2 s, should be at most 1.5 s" in run.cases[1].tests[0].message
    done.stdout.fnmatch_lines(["1 of 2 cases failed"])


def test_a_case_that_never_came_to_record_is_in_the_report(pytester: pytest.Pytester) -> None:
    broken = CASE + (
        "import pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def tenants():\n    raise RuntimeError('no room')\n"
        "def test_it(tenants, record): pass\n"
    )
    _, run = Session(pytester, test_case_5=broken).run()
    assert [(case.passed, case.tests[0].outcome) for case in run.cases] == [(False, "failed")] * 2
    assert "no room" in run.cases[0].tests[0].message


def test_what_fails_after_the_last_test_is_seen(pytester: pytest.Pytester) -> None:
    late = RECORDS + (
        "import pytest\n"
        "@pytest.fixture(scope='session', autouse=True)\n"
        "def left_over():\n    yield\n    raise RuntimeError('a pod is left')\n"
    )
    _, run = Session(pytester, test_case_5=late).run()
    assert not run.passed
    assert "a pod is left" in run.cases[-1].tests[-1].message


def test_an_interrupted_session_says_so(pytester: pytest.Pytester) -> None:
    stopped = RECORDS.replace('"""It gives back."""', "raise KeyboardInterrupt")
    done, run = Session(pytester, test_case_5=stopped).run()
    assert run.incomplete == "1 of 4 tests ran: interrupted."
    assert [len(case.bounds) for case in run.cases] == [2]
    done.stdout.fnmatch_lines(["The run is not complete", "1 of 4 tests ran: interrupted."])


def test_a_failure_outside_of_the_cases_is_not_lost(pytester: pytest.Pytester) -> None:
    session = Session(pytester, test_case_5=RECORDS, test_other="def test_other(): assert False\n")
    assert session.run()[1].incomplete == "Failed outside of the cases: test_other."


def test_a_module_that_cannot_be_collected_makes_the_run_incomplete(pytester: pytest.Pytester) -> None:
    session = Session(pytester, test_case_5=RECORDS, test_case_6="import nothing_of_that_name\n")
    assert "0 of 4 tests ran" in session.run()[1].incomplete


def test_without_a_case_there_is_no_report(pytester: pytest.Pytester) -> None:
    session = Session(pytester, test_other="def test_it(): pass\n")
    pytester.runpytest_inprocess(f"--reports={session.reports}").assert_outcomes(passed=1)
    assert not session.reports.exists()


def test_workers_leave_the_report_to_their_session(pytester: pytest.Pytester) -> None:
    _, run = Session(pytester, test_case_5=RECORDS).run("--numprocesses=1")
    assert run.passed
    assert [case.tenants for case in run.cases] == [20, 2] or [case.tenants for case in run.cases] == [2, 20]
