"""What a person sees while long steps run: a line at the start, one every 15 seconds, one at the end.

A step that takes less than a second says nothing. The output of a step goes to a log file of its own; when
the step fails, the end of that file is shown, with its path and what to do.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

HEARTBEAT_SECONDS = 15.0
SILENT_SECONDS = 1.0
TAIL_LINES = 20
LINE_WIDTH = 100


class StepError(Exception):
    """A step that failed.

    Attributes:
        hint: what the person at the terminal can do about it.
        log: the file with the step's output, if it has one.
    """

    def __init__(self, message: str, *, hint: str = "", log: Path | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        self.log = log


def duration(seconds: float) -> str:
    """Elapsed time as a person reads it: `7 s`, `2 min 05 s`, `1 h 01 min`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def last_line(log: Path, width: int = LINE_WIDTH) -> str:
    """What a command wrote last to a growing log, cut to `width` characters; "" if nothing yet."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").replace("\r", "\n").splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return "" if last.startswith("$ ") else last[:width]


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last `lines` lines of a file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


class Console:
    """Runs commands and says so."""

    def __init__(
        self,
        logs: Path,
        *,
        out: IO[str] | None = None,
        silent: float = SILENT_SECONDS,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Args:
        logs: the folder for log files.
        out: where lines go; standard output by default.
        silent: how long a step may take, in seconds, before a line says that it runs.
        heartbeat: seconds from one such line to the next.
        """
        self._logs = logs
        self._out = out or sys.stdout
        self._silent = silent
        self._heartbeat = heartbeat
        self._start = time.monotonic()
        self._written: set[Path] = set()

    def say(self, text: str) -> None:
        """Prints one line, with the time since the start before it."""
        elapsed = int(time.monotonic() - self._start)
        print(f"[{elapsed // 60:2d}:{elapsed % 60:02d}] {text}", file=self._out, flush=True)

    def log(self, step: str) -> Path:
        """The path of the step's log file, which is emptied the first time that this run asks for it."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{step}.log"
        if log not in self._written:
            self._written.add(log)
            log.write_text("")
        return log

    def run(
        self,
        title: str,
        command: Sequence[str | Path],
        *,
        step: str,
        hint: str = "",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: str | None = None,
    ) -> None:
        """Runs a command to its end, its output in the step's log.

        Args:
            title: what is being done, for the person at the terminal.
            step: names the log file; steps of one name append to it within a run of this program.
            hint: what to do should it fail.
            env: variables on top of this process's own.

        Raises:
            StepError: when it ends with another code than 0, or cannot be started.
        """
        log = self.log(step)
        with log.open("a") as output:
            print(f"$ {' '.join(map(str, command))}", file=output, flush=True)
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(env or {})},
                    cwd=cwd,
                    text=True,
                    start_new_session=True,
                )
            except OSError as error:
                raise StepError(f"{title}: cannot run {command[0]}: {error.strerror}", hint=hint) from error
            try:
                _feed(process, stdin)
                code = self.wait(process, title, log)
            finally:
                end_group(process)
        if code != 0:
            raise StepError(f"{title}: failed with exit code {code}", hint=hint, log=log)

    def wait(self, process: subprocess.Popen[str], title: str, log: Path) -> int:
        """Waits for a process that was just started, says how it goes, and returns its exit code.

        Args:
            log: the file that its output goes to.
        """
        started = time.monotonic()
        try:
            return process.wait(self._silent)
        except subprocess.TimeoutExpired:
            self.say(f"{title} (log: {log})")
        while True:
            try:
                code = process.wait(self._heartbeat)
            except subprocess.TimeoutExpired:
                news = last_line(log)
                self.say(f"{title}: {duration(time.monotonic() - started)}{news and f', at: {news}'}")
            else:
                outcome = "done in" if code == 0 else "failed after"
                self.say(f"{title}: {outcome} {duration(time.monotonic() - started)}")
                return code


def _feed(process: subprocess.Popen[str], stdin: str | None) -> None:
    if stdin is None or process.stdin is None:
        return
    # a process that ends before it has read all says why in its exit code and its log
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(stdin)


def end_group(process: subprocess.Popen[str]) -> None:
    """Ends a process that was started in a session of its own, and its children, if it still runs."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def output_of(
    command: Sequence[str | Path], *, timeout: float = 60, stdin: str | None = None, cwd: Path | None = None
) -> str:
    """What a short command prints.

    Raises:
        StepError: when it fails, cannot be started or takes longer than `timeout` seconds.
    """
    shown = " ".join(map(str, command))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=timeout, input=stdin, cwd=cwd
        )
    except FileNotFoundError as error:
        raise StepError(f"{command[0]}: no such command") from error
    except subprocess.TimeoutExpired as error:
        raise StepError(f"{shown}: no answer within {duration(timeout)}") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip()
        raise StepError(f"{shown}: {said or f'exit code {error.returncode}'}") from error
    return done.stdout.strip()


def succeeds(command: Sequence[str | Path], *, timeout: float = 60) -> bool:
    """Whether a short command ends with code 0 within `timeout` seconds."""
    try:
        output_of(command, timeout=timeout)
    except StepError:
        return False
    return True
