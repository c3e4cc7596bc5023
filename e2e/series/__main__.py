"""The command line of a series; see the package."""

import argparse
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from e2e.harness.figures import REPORTS
from e2e.report.files import NAME
from e2e.results import Run
from e2e.series import report
from e2e.validation.pooling import pooled

DIRECTORY: Final = "series"
"""Under the reports: a directory for each run, by its number, and the page over all."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0 when every run passed."""
    parser = argparse.ArgumentParser(
        prog="python -m e2e.series", description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
    parser.add_argument("runs", nargs="?", type=int, metavar="RUNS", help="how many")
    parser.add_argument(
        "--of", nargs="+", type=Path, metavar="E2E_JSON", help="of reports that are there already"
    )
    parser.add_argument(
        "--reports", type=Path, default=REPORTS, help="where reports go (default: %(default)s)"
    )
    options, rest = parser.parse_known_args(arguments)
    if (options.runs is None) == (options.of is None) or (options.of and rest):
        parser.error("give either a number of runs, with pytest's options, or --of and files")
    if options.runs is not None and options.runs < 1:
        parser.error("RUNS must be at least 1")
    directory: Path = options.reports / DIRECTORY
    try:
        found = [_read(path) for path in options.of] if options.of else _run(options.runs, rest, directory)
    except _UnreadableError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not found:
        print("error: no run ended with a report", file=sys.stderr)
        return 2
    text = report.page(found, pooled(found))
    if options.of:
        print(text)
    else:
        written = directory / f"{DIRECTORY}.md"
        written.write_text(text, encoding="utf-8")
        print(f"{sum(run.passed for run in found)} of {options.runs} passed. {written}")
    complete = options.runs is None or len(found) == options.runs
    return 0 if complete and all(run.passed for run in found) else 1


class _UnreadableError(ValueError):
    """A file is no report; the text says which, and what is wrong with it."""


def _run(count: int, pytest_options: Sequence[str], directory: Path) -> list[Run]:
    """One after another; those that failed too. When interrupted the run at work ends in order, uncounted."""
    found: list[Run] = []
    shutil.rmtree(
        directory, ignore_errors=True
    )  # else runs of a longer series of before would stay among these
    interrupted = threading.Event()
    # a handler, for pytest inherits a signal that is ignored, and has namespaces to remove
    former = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        for number in range(1, count + 1):
            print(f"--- run {number} of {count}", flush=True)
            ended = _once(pytest_options, directory / f"{number:02d}")
            if interrupted.is_set():
                print(f"--- run {number} of {count}: interrupted", flush=True)
                break
            if ended is None:
                print(f"--- run {number} of {count}: no report; nothing more is begun", flush=True)
                break
            found.append(ended)
            print(f"--- {report.line(number, ended)}", flush=True)
    finally:
        signal.signal(signal.SIGINT, former)
    return found


def _once(pytest_options: Sequence[str], reports: Path) -> Run | None:
    """None where it ended without a report, as when the cluster lacks what the suite needs."""
    path = reports / f"{NAME}.json"
    command = [sys.executable, "-m", "pytest", *pytest_options, f"--reports={reports}"]
    subprocess.run(command, check=False)
    return _read(path) if path.exists() else None


def _read(path: Path) -> Run:
    try:
        return Run.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise _UnreadableError(f"{path} is no report of the isolation cases: {first}") from error


if __name__ == "__main__":
    sys.exit(main())
