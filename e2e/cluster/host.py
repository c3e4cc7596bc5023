"""Debian packages and the project's Python environment."""

import hashlib
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from e2e.cluster.console import Console, StepError, output_of, succeeds
from e2e.cluster.settings import Settings


def missing_packages(packages: Iterable[str], installed: str) -> list[str]:
    """The packages that are not among the lines of `dpkg-query -W -f '${db:Status-Abbrev}${Package}\\n'`."""
    there = {line.split()[1] for line in installed.splitlines() if line.startswith("ii ")}
    return [package for package in packages if package not in there]


def install_packages(packages: Iterable[str], reason: str, console: Console) -> None:
    """Installs those Debian packages that are not there yet, and says so.

    Raises:
        StepError: where that is not possible, with the command to run instead.
    """
    wanted = list(packages)
    if not shutil.which("apt-get"):
        raise StepError(
            f"{reason} needs {', '.join(wanted)}, and there is no apt-get here",
            hint="Install what Debian has in those packages by your system's own means.",
        )
    missing = missing_packages(
        wanted, output_of(["dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n"])
    )
    if not missing:
        return
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    hint = f"Run as root: apt-get update && apt-get install {' '.join(missing)}"
    if root and not succeeds([*root, "true"]):
        raise StepError(f"{reason} needs the packages {', '.join(missing)}", hint=hint)
    console.say(f"installing for {reason}: {' '.join(missing)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    console.run("apt-get update", [*root, "apt-get", "update"], step="packages", hint=hint, env=env)
    console.run(
        "apt-get install",
        [*root, "apt-get", "install", "--yes", *missing],
        step="packages",
        hint=hint,
        env=env,
    )


def ensure_python(settings: Settings, console: Console) -> None:
    """Makes `.venv` hold this project and its tools; nothing to do while what it was made from is unchanged.

    Raises:
        StepError: when an installation fails.
    """
    root = settings.repository
    environment, stamp = root / ".venv", root / ".venv" / "made-from"
    inputs = b"".join((root / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    made_from = hashlib.sha256(inputs + str(root).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == made_from:
        return
    python = environment / "bin" / "python"
    if not succeeds([python, "-c", "import pip"]):
        if not succeeds([sys.executable, "-c", "import ensurepip, venv"]):
            install_packages(["python3-venv"], "a Python environment", console)
        console.run("making .venv", [sys.executable, "-m", "venv", "--clear", environment], step="python")
    console.run(
        "installing the project into .venv",
        [python, "-m", "pip", "install", "--constraint", "constraints.txt", "--editable", ".[dev]"],
        step="python",
        hint="pip must reach a package index; see `pip config list`.",
        cwd=root,
    )
    stamp.write_text(made_from)


def link_command(target: Path, folder: Path, name: str) -> bool:
    """Makes `folder/name` a link to `target`, and says whether it was not one before."""
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / name
    if link.is_symlink() and link.readlink() == target:
        return False
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    return True
