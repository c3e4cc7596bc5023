"""What containers use and may use over time, by the cgroup files, for charts.

A script on the node reads the files again and again: looking twice a second so costs next to nothing beside
a command there for each look.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from itertools import pairwise
from types import TracebackType
from typing import Final, Self

from e2e.harness import nodes
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import Container
from e2e.harness.readings import Reading, cpu_use, parse_contents, parse_reading
from e2e.results import Line, Moment, MomentKind

SCRIPT: Final = """
cd /sys/fs/cgroup
paths=()
while read -r path && [ "$path" ]; do paths+=("$path"); done
while :; do
  echo "$EPOCHREALTIME"; grep -sH '' "${paths[@]}"; echo
  read -r -t "$1"
  [ $? -gt 128 ] || exit 0
done
"""
# (a read that times out is the pause; one that finds the end of its input is the end)
MIB: Final = 1 << 20
ABOVE: Final = "/../"
"""In the paths of files that are the pod's and not the container's."""


class Usage:
    """Looks from ``__enter__`` until ``__exit__``. A container's line ends with it.

    Attributes:
        start_seconds: the zero of charts, by the clock that the node shares with this machine.
    """

    def __init__(self, containers: Mapping[str, Container], *, every_seconds: float = 0.5) -> None:
        """
        Args:
            containers: on one node, by the names that their lines get.
        """
        (self._node,) = {container.node for container in containers.values()}
        self._containers = dict(containers)
        self._every_seconds = every_seconds
        self._readings: dict[str, list[Reading]] = {name: [] for name in containers}
        self._weights: dict[str, list[tuple[float, float]]] = {name: [] for name in containers}
        self.moments: list[Moment] = []
        self.start_seconds = 0.0

    def __enter__(self) -> Self:
        cgroups = NodeCgroups(self._node)
        paths = cgroups.paths(self._containers.values())
        paths += [path for item in self._containers.values() for path in cgroups.weight_paths(item)]
        command = [*nodes.command(self._node), "bash", "-c", SCRIPT, "bash", str(self._every_seconds)]
        self.start_seconds = time.time()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        self._process.stdin.write("\n".join(paths) + "\n\n")
        self._process.stdin.flush()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._reader.join()
        self._process.stdout.close()
        self._process.wait()

    def mark(self, kind: MomentKind, text: str = "", *, at_seconds: float | None = None) -> None:
        """Something happened now, or at that time of this machine's clock."""
        at = (time.time() if at_seconds is None else at_seconds) - self.start_seconds
        self.moments.append(Moment(at=round(at, 2), kind=kind, text=text))

    def readings(self, name: str) -> list[Reading]:
        """All of a container's until now."""
        return list(self._readings[name])

    def cpu(self, name: str, *, muted: bool = False) -> Line:
        """In milli-CPU, between one look and the next."""
        pairs = pairwise(self.readings(name))
        points = [(self._x(after), round(cpu_use(before, after).millicores, 1)) for before, after in pairs]
        return Line(name=name, points=points, muted=muted)

    def memory(self, name: str, *, muted: bool = False) -> Line:
        """In MiB."""
        return self.line(name, lambda reading: round(reading.memory_used_bytes / MIB, 2), muted=muted)

    def weight(self, name: str, *, muted: bool = False) -> Line:
        """Of the container's pod: ``cpu.weight``, or ``cpu.shares`` on version 1."""
        return Line(name=name, points=list(self._weights[name]), muted=muted)

    def line(
        self,
        name: str,
        of: Callable[[Reading], float | None],
        *,
        called: str | None = None,
        muted: bool = False,
    ) -> Line:
        """Any figure; where it is None the line has no point."""
        points = [
            (self._x(reading), value)
            for reading in self._readings[name]
            if (value := of(reading)) is not None
        ]
        return Line(name=called or name, points=points, muted=muted)

    def _x(self, reading: Reading) -> float:
        return round(reading.at_seconds - self.start_seconds, 2)

    def _read(self) -> None:
        assert self._process.stdout is not None
        look: list[str] = []
        for line in self._process.stdout:
            if line != "\n":
                look.append(line)
                continue
            self._take(look)
            look = []

    def _take(self, look: Collection[str]) -> None:
        clock, *lines = (line for line in look if ABOVE not in line)
        contents = parse_contents("".join(lines))
        weights = {line.partition(ABOVE)[0].rpartition("/")[2]: line for line in look if ABOVE in line}
        for name, container in self._containers.items():
            with suppress(KeyError):  # it has ended
                reading = parse_reading(float(clock), contents[container.id])
                self._readings[name].append(reading)
                for directory, line in weights.items():
                    if container.id in directory:
                        self._weights[name].append((self._x(reading), float(line.rpartition(":")[2])))
