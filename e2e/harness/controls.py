"""What the operator sets of containers' CPU, as the cgroup files have it at any moment."""

import subprocess
import threading
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from e2e.harness import nodes
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import Container
from e2e.harness.readings import CPU_PERIOD_MICROSECONDS, CgroupError, parse_contents

SCRIPT: Final = """
cd /sys/fs/cgroup
paths=()
while read -r path && [ "$path" ]; do paths+=("$path"); done
while read -r _; do grep -sH '' "${paths[@]}"; echo; done
"""
LATE_SECONDS: Final = 20.0
"""A node that lets no file be read for so long is out of reach."""
ABOVE: Final = "/../"
"""In the path of a weight, which is the pod's: it is told with the container's."""
CPU: Final = (".", "cpu")
"""The hierarchies with a CPU controller: the only one of version 2, and that of version 1."""


@dataclass(frozen=True)
class Controls:
    """Of one container.

    Attributes:
        weight: its pod's ``cpu.weight``, or ``cpu.shares`` on version 1.
        idle: ``cpu.idle``; None: the kernel, older than 5.15, has no such thing.
        limit_milli: its CPU limit; 0 for none.
    """

    weight: int
    idle: bool | None
    limit_milli: int


class ControlWatch:
    """A script on the node that looks when it is asked, from ``__enter__`` until ``__exit__``: that costs the
    node a hundredth of what a command there does, which tenants under measurement would feel."""

    def __init__(self, containers: Collection[Container], *, late_seconds: float = LATE_SECONDS) -> None:
        """
        Args:
            containers: on one node.
        """
        (self._node,) = {container.node for container in containers}
        self._containers = sorted(containers)
        self._late_seconds = late_seconds

    def __enter__(self) -> Self:
        paths = _paths(self._node, self._containers)
        command = [*nodes.command(self._node), "bash", "-c", SCRIPT, "bash"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._ask("\n".join(paths) + "\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def now(self) -> dict[Container, Controls]:
        """
        Raises:
            CgroupError: a container's cgroup isn't there (any more), or the node is out of reach.
        """
        too_late = threading.Timer(self._late_seconds, self._process.kill)
        too_late.start()
        try:
            found = parse(self._look())
        finally:
            too_late.cancel()
        if missing := [item for item in self._containers if item.id not in found]:
            raise CgroupError(f"node {self._node} has no cgroup of {missing[0]}: has it ended?")
        return {item: found[item.id] for item in self._containers}

    def _look(self) -> list[str]:
        assert self._process.stdout is not None
        lines: list[str] = []
        self._ask("")
        for line in self._process.stdout:
            if line == "\n":
                return lines
            lines.append(line)
        raise CgroupError(f"the look at cgroup files on node {self._node} ended")

    def _ask(self, text: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # whoever reads on finds the end
            self._process.stdin.write(f"{text}\n")
            self._process.stdin.flush()


def parse(lines: Iterable[str]) -> dict[str, Controls]:
    """By container id; those without weight or limit are left out.

    Args:
        lines: ``PATH:LINE``.
    """
    found = {}
    for key, of in parse_contents("".join(lines).replace(ABOVE, "/")).items():
        weight, limit = of.get("cpu.weight", of.get("cpu.shares")), _limit_milli(of)
        if weight is not None and limit is not None:
            idle = of.get("cpu.idle")
            found[key] = Controls(int(weight), None if idle is None else idle == "1", limit)
    return found


def _limit_milli(files: Mapping[str, str]) -> int | None:
    """None where there is no such file."""
    quota = files.get("cpu.max", files.get("cpu.cfs_quota_us"))
    if quota is None:
        return None
    first = quota.split()[0]
    if first == "max" or int(first) < 0:
        return 0
    return int(first) * 1000 // CPU_PERIOD_MICROSECONDS


def _paths(node: str, containers: Collection[Container]) -> list[str]:
    cgroups = NodeCgroups(node)
    return [
        f"{path}/{file}"
        for container in containers
        for path in sorted(cgroups.directories(container, containers))
        if path.partition("/")[0] in CPU
        for file in ("cpu.max", "cpu.cfs_quota_us", "cpu.idle", "../cpu.weight", "../cpu.shares")
    ]
