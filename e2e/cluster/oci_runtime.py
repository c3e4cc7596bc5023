"""An OCI runtime for a host that lacks CAP_SYS_RESOURCE: takes that out of a request, then runs runc.

A container that asks for a capability outside the host's bounding set does not start, and a privileged one
asks for all of them. Lowering an OOM score needs the same capability. dockerd runs a copy of this file, made
by `install`, so it imports nothing of this project.

The request comes as JSON (https://github.com/opencontainers/runtime-spec/blob/main/config.md): `config.json`
in the bundle for `create` and `run`, the file named by `--process` for `exec`.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CAPABILITY = "CAP_SYS_RESOURCE"
CAPABILITY_BIT = 24  # linux/capability.h


def host_status() -> str:
    """This process's `/proc/self/status`."""
    return Path("/proc/self/status").read_text()


def host_lacks_capability(status: str) -> bool:
    """Whether the bounding set in the text of a `/proc/PID/status` leaves out CAP_SYS_RESOURCE.

    Raises:
        ValueError: if the text has no CapBnd line.
    """
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapBnd":
            return not int(value, 16) >> CAPABILITY_BIT & 1
    raise ValueError("no CapBnd line in the process status")


def lower(process: dict[str, Any]) -> dict[str, Any]:
    """A copy of a request's `process` without the capability and without an OOM score below 0."""
    lowered = dict(process)
    if "capabilities" in lowered:
        lowered["capabilities"] = {
            name: [capability for capability in names if capability != CAPABILITY]
            for name, names in lowered["capabilities"].items()
        }
    if lowered.get("oomScoreAdj", 0) < 0:
        del lowered["oomScoreAdj"]
    return lowered


def option(arguments: Sequence[str], *names: str) -> str | None:
    """The value of the last option of these names, written as `--name VALUE` or `--name=VALUE`."""
    value = None
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        head, separator, rest = argument.partition("=")
        if head in names:
            value = rest if separator else following
    return value


def command(arguments: Sequence[str]) -> str | None:
    """Which of the commands that carry a request this is, if any."""
    return next((argument for argument in arguments if argument in ("create", "run", "exec")), None)


def rewrite(arguments: Sequence[str]) -> None:
    """Lowers the request that the arguments of one runc call name, in its file."""
    verb = command(arguments)
    if verb in ("create", "run"):
        path = Path(option(arguments, "--bundle", "-b") or ".", "config.json")
        spec = json.loads(path.read_text())
        path.write_text(json.dumps({**spec, "process": lower(spec["process"])}))
    elif verb == "exec" and (given := option(arguments, "--process", "-p")):
        path = Path(given)
        path.write_text(json.dumps(lower(json.loads(path.read_text()))))


def install(target: Path) -> None:
    """Makes an executable copy of this file, which the checkout may not outlive.

    Isolated and without site-packages, Python starts in half the time, and it does so for every container.
    """
    target.write_text(f"#!{sys.executable} -IS\n{Path(__file__).read_text()}")
    target.chmod(0o755)


if __name__ == "__main__":
    rewrite(sys.argv[1:])
    os.execvp("runc", ["runc", *sys.argv[1:]])  # noqa: S606 - no shell is wanted
