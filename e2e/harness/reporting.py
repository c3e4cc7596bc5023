"""A pytest plugin: writes the report of a session's cases when it ends, however it ends."""

import shlex
import time
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from e2e import report
from e2e.harness.figures import machine
from e2e.harness.recording import KUBERNETES, about, outcomes, recorded
from e2e.report import words
from e2e.results import Case, Run
from e2e.results.recorder import DIRECTORY


class Start(NamedTuple):
    """
    Attributes:
        former: reports of cases that were there before, with the time of their last change in nanoseconds.
    """

    at: datetime
    monotonic: float
    former: dict[Path, int]


_START: Final = pytest.StashKey[Start]()
_REPORTED: Final = pytest.StashKey[tuple[Run, report.Paths]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    former = _case_files(session.config.getoption("reports"))
    session.stash[_START] = Start(datetime.now(UTC), time.monotonic(), former)


# innermost: after the fixtures' ends, which write what the cases noted, and before the terminal's summary
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int | pytest.ExitCode) -> Generator[None]:
    yield
    is_worker = hasattr(session.config, "workerinput")  # of pytest-xdist: whoever started it reports
    if is_worker or session.config.option.collectonly:
        return
    directory: Path = session.config.getoption("reports")
    start = session.stash[_START]
    cases = list(recorded(session).values()) or _written_by_workers(directory, start)
    if not cases and not any(about(item) for item in session.items):
        return  # a session without cases has no report
    run = Run(
        started=start.at.isoformat(timespec="seconds"),
        seconds=time.monotonic() - start.monotonic,
        command=shlex.join(["pytest", *session.config.invocation_params.args]),
        machine=machine(session.stash.get(KUBERNETES, "unknown")),
        cases=cases,
        incomplete=_incomplete(session, exitstatus, cases),
    )
    session.config.stash[_REPORTED] = run, report.write(run, directory)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _REPORTED not in config.stash:
        return
    run, paths = config.stash[_REPORTED]
    headline, counts = words.headline(run), words.counts(run)
    terminalreporter.section("isolation report")
    colour = {words.Tone.GOOD: "green", words.Tone.BAD: "red", words.Tone.OPEN: "yellow"}[headline.tone]
    terminalreporter.write_line(headline.text, bold=True, **{colour: True})
    for sentence in headline.sentences:
        terminalreporter.write_line(sentence)
    terminalreporter.write_line(
        f"{counts.cases.good} of {words.many(counts.cases.all, 'case')} passed;"
        f" {counts.bounds.good} of {counts.bounds.all} of the specification's bounds met,"
        f" {counts.goals.good} of {counts.goals.all} of the project's own"
    )
    terminalreporter.write_line(f"{paths.html}  (and {paths.json.name}, {paths.junit.name})")


def _case_files(reports: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted((reports / DIRECTORY).glob("*.json"))}


def _written_by_workers(reports: Path, start: Start) -> list[Case]:
    """Files that are new or have changed since the session began."""
    changed = [path for path, at in _case_files(reports).items() if start.former.get(path) != at]
    return [Case.model_validate_json(path.read_text()) for path in changed]


def _incomplete(session: pytest.Session, exitstatus: int | pytest.ExitCode, cases: list[Case]) -> str:
    """Why the cases aren't the whole of what was asked for; empty when they are."""
    over = outcomes(session)
    if len(over) < len(session.items):
        reason = session.shouldstop or session.shouldfail or "interrupted"
        return f"{len(over)} of {words.many(len(session.items), 'test')} ran: {reason}."
    elsewhere = [
        item.name for item in session.items if about(item) is None and over[item.nodeid].outcome == "failed"
    ]
    if elsewhere:
        return f"Failed outside of the cases: {', '.join(elsewhere)}."
    if exitstatus != pytest.ExitCode.OK and all(case.passed for case in cases):
        return f"pytest ended with code {int(exitstatus)}, which no case accounts for."
    return ""
