"""A series of runs: every run counts, what failed is told, and it ends where nothing more can come of it."""

from pathlib import Path

import pytest

from e2e.results import Outcome, Run
from e2e.series import report
from e2e.series.__main__ import main
from e2e.validation.pooling import pooled
from tests.unit.e2e.report_sample import sample

SUITE = """
import os, signal, sys
from pathlib import Path

import pytest

@pytest.hookimpl
def pytest_addoption(parser):
    parser.addoption("--reports", type=Path)
    parser.addoption("--text", type=Path)

def pytest_sessionfinish(session):
    into = session.config.getoption("reports")
    into.mkdir(parents=True, exist_ok=True)
    (into / "e2e.json").write_text(session.config.getoption("text").read_text())
"""


@pytest.fixture
def suite(tmp_path: Path) -> list[str]:
    """Options of a suite that ends with the report of a run which passed."""
    (tmp_path / "suite").mkdir()
    (tmp_path / "suite" / "conftest.py").write_text(SUITE)
    (tmp_path / "suite" / "test_it.py").write_text("def test_it(): pass\n")
    (tmp_path / "run.json").write_text(sample().model_dump_json())
    return [str(tmp_path / "suite"), f"--text={tmp_path / 'run.json'}", "-q", "-p", "no:cacheprovider"]


def failed() -> Run:
    """The sample, with one test more that failed."""
    run = sample()
    test = Outcome(name="test_all", text="All is held", outcome="failed", seconds=1, message="one wasn't")
    first, *rest = run.cases
    return run.model_copy(update={"cases": [first.model_copy(update={"tests": [*first.tests, test]}), *rest]})


def test_each_run_is_kept_and_all_are_told(
    suite: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sample().passed
    former = tmp_path / "reports" / "series" / "03"
    former.mkdir(parents=True)
    (former / "e2e.json").write_text("of a longer series before")
    assert main(["2", f"--reports={tmp_path / 'reports'}", *suite]) == 0
    kept = sorted((tmp_path / "reports" / "series").glob("*/e2e.json"))
    assert [path.parent.name for path in kept] == ["01", "02"]
    assert "2 of 2 passed" in capfd.readouterr().out
    page = (tmp_path / "reports" / "series" / "series.md").read_text()
    assert page.startswith("# 2 runs of the isolation cases: 2 passed\n")


def test_a_run_that_failed_is_not_lost_among_those_that_passed(suite: list[str], tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(failed().model_dump_json())
    assert main(["2", f"--reports={tmp_path}", *suite]) == 1
    page = (tmp_path / "series" / "series.md").read_text()
    assert "0 passed" in page.splitlines()[0]
    assert "- All is held: one wasn't (2 of 2)" in page


def test_without_a_report_nothing_more_is_begun(
    tmp_path: Path, suite: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """As where the cluster lacks what the suite needs; a former series' report is not taken for it."""
    former = tmp_path / "series" / "01" / "e2e.json"
    former.parent.mkdir(parents=True)
    former.write_text(sample().model_dump_json())
    (tmp_path / "suite" / "conftest.py").write_text("raise RuntimeError('no cluster')\n")
    assert main(["3", f"--reports={tmp_path}", *suite]) == 2
    said = capfd.readouterr()
    assert "run 1 of 3: no report; nothing more is begun" in said.out
    assert "run 2" not in said.out
    assert "error: no run ended with a report" in said.err


def test_interrupted_the_run_at_work_ends_in_order_and_does_not_count(
    tmp_path: Path, suite: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """The signal comes to pytest as well: here while its second run is at work, which it still reports."""
    (tmp_path / "suite" / "test_it.py").write_text(
        "import os, signal\n"
        "def test_it(request):\n"
        "    if request.config.getoption('reports').name == '02':\n"
        "        os.kill(os.getppid(), signal.SIGINT)\n"
        "        raise KeyboardInterrupt\n"
    )
    assert main(["3", f"--reports={tmp_path}", *suite]) == 1
    out = capfd.readouterr().out
    assert "run 2 of 3: interrupted" in out
    assert "1 of 3 passed" in out
    assert (tmp_path / "series" / "02" / "e2e.json").exists()


def test_reports_that_are_there_already_are_pooled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(2)]
    for path in paths:
        path.write_text(sample().model_dump_json())
    assert main(["--of", *map(str, paths)]) == 0
    assert capsys.readouterr().out.startswith("# 2 runs")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give either a number of runs"),
        (["2", "--of", "x.json"], "give either a number of runs"),
        (["0"], "RUNS must be at least 1"),
        (["twenty"], "invalid int value: 'twenty'"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_report_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("{}")
    assert main(["--of", str(tmp_path / "x.json")]) == 2
    assert f"{tmp_path / 'x.json'} is no report of the isolation cases" in capsys.readouterr().err


def test_the_page_has_every_case_and_bound() -> None:
    run = sample()
    page = report.page([run, run], pooled([run, run]))
    for case in run.cases:
        assert case.title in page
        for bound in case.bounds:
            assert bound.what in page
