"""A pytest plugin: a line for each test when it starts, since some take minutes, and how it ended."""

import time
from collections.abc import Generator
from typing import Final

import pytest

from e2e.harness.recording import about, key
from e2e.report.words import duration

NAME: Final = "e2e-progress"
Status = tuple[str, str, str | tuple[str, dict[str, bool]]]
"""Of a test, as pytest has it: category, letter, word."""


def pytest_sessionstart(session: pytest.Session) -> None:
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    spread = session.config.getoption("numprocesses", None)
    if terminal is not None and session.config.get_verbosity() == 0 and not spread:
        session.config.pluginmanager.register(Progress(terminal), NAME)


class Progress:
    """In place of the names of files and the dots. What ``--quiet`` and ``--verbose`` show stays as it is."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal
        self._start = self._began = time.monotonic()
        self._names: dict[str, str] = {}
        terminal.showfspath = False

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        width = len(str(len(session.items)))
        for number, item in enumerate(session.items, start=1):
            what = about(item)
            variant = f" ({what.variant})" if what and what.variant else ""
            case = f"case {what.number}{variant}, {key(item).tenants} tenants: " if what else ""
            name = item.name.partition("[")[0].removeprefix("test_").replace("_", " ") if what else item.name
            self._names[item.nodeid] = f"{number:{width}} of {len(session.items)}  {case}{name}"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._terminal.ensure_newline()
        self._began = time.monotonic()
        since_start = self._began - self._start
        self._terminal.write(f"[{since_start:6.1f} s] {self._names[nodeid]} ... ", flush=True)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> Generator[None, Status, Status]:
        category, letter, word = yield
        if letter and isinstance(report, pytest.TestReport):
            letter = f"{category}, {duration(time.monotonic() - self._began)}\n"
        return category, letter, word
