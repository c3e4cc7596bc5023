"""Processes that outlive whoever started them: found by a pid file or by a mark, and ended."""

import os
import signal
import time
from pathlib import Path

from e2e.cluster.console import StepError

END_SECONDS = 60.0
PROC = Path("/proc")


def running_pid(pid_file: Path, program: str) -> int | None:
    """The process that a pid file names, if it runs that program.

    A pid file outlives a hard stop, and its number may since belong to something else.
    """
    try:
        pid = int(pid_file.read_text())
        name = (PROC / str(pid) / "comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if name == program and not gone(pid) else None


def carrying(name: str, value: str) -> list[int]:
    """The processes that were started with an environment variable of that value, apart from this one."""
    mark = f"{name}={value}".encode()
    found = []
    for folder in PROC.iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
        if mark in environment:
            found.append(int(folder.name))
    return found


def command_line(pid: int) -> str:
    """The command of a process; empty if it has ended."""
    try:
        return (
            (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
    except (FileNotFoundError, ProcessLookupError):
        return ""


def end(pid: int, patience: float = END_SECONDS) -> None:
    """Ends a process by SIGTERM, and by SIGKILL if it is still there after `patience` seconds.

    Raises:
        StepError: if it survives even that.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if gone(pid):
                return
            time.sleep(0.05)
    raise StepError(f"process {pid} does not end", hint=f"See /proc/{pid}/status.")


def gone(pid: int) -> bool:
    """Whether a process has ended, or only waits for its parent to take notice of that."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
