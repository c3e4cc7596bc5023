"""The moment when a new limit stands in a container's cgroup file, to a few milliseconds.

A script on the node reads the files in turn until each holds what it should, so that one command there
watches any number of containers, and nothing but file reads lies between the kernel and the clock. Node and
host share that clock where the node is a container of this machine; `LimitWatch` checks it.
"""

import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from math import ceil
from types import TracebackType
from typing import Final, Self

from e2e.harness import nodes
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import Container
from e2e.harness.readings import CPU_PERIOD_MICROSECONDS, CgroupError

SWEEP_PAUSE_SECONDS: Final = 0.005

SCRIPT: Final = """
cd /sys/fs/cgroup
declare -A file want
while read -r number path value; do file[$number]=$path; want[$number]=$value; done
echo "watching $EPOCHREALTIME"
exec {never}<> <(:)
end=$((SECONDS + $1))
while ((${#file[@]} && SECONDS < end)); do
  for number in "${!file[@]}"; do
    value=; { read -r value _ < "${file[$number]}"; } 2> /dev/null
    if [ "$value" = "${want[$number]}" ]; then
      echo "$number $EPOCHREALTIME"
      unset "file[$number]"
    fi
  done
  read -r -t "$2" -u "$never"
done
"""
# (a read from a pipe that nobody writes to is a pause without a process)


class LimitsMissingError(AssertionError):
    """Not every container had its new limit in time."""


@dataclass(frozen=True)
class Limit:
    """What the cgroup file of a container should come to hold; give one of them."""

    cpu_millicores: int | None = None
    memory_bytes: int | None = None

    def first_word(self) -> tuple[tuple[str, str], str]:
        """The file's name on cgroup v1 and on v2, and its first word."""
        if self.cpu_millicores is not None:
            microseconds = self.cpu_millicores * CPU_PERIOD_MICROSECONDS // 1000
            return ("cpu.cfs_quota_us", "cpu.max"), str(microseconds)
        if self.memory_bytes is not None:
            return ("memory.limit_in_bytes", "memory.max"), str(self.memory_bytes)
        raise ValueError("give a CPU or a memory limit")


class LimitWatch:
    """Watches from `__enter__` on; `arrivals` waits and tells.

    Example::

        with LimitWatch({container: Limit(cpu_millicores=300)}) as watch:
            start = time.time()
            ...                       # edit the quota
            arrived = watch.arrivals()
    """

    def __init__(self, wanted: Mapping[Container, Limit], *, deadline_seconds: float = 60) -> None:
        if not wanted:
            raise ValueError("no container to watch")
        self._wanted = dict(wanted)
        self._deadline_seconds = deadline_seconds
        self._watches: list[_NodeWatch] = []

    def __enter__(self) -> Self:
        with ExitStack() as started:
            for node in sorted({container.node for container in self._wanted}):
                wanted = {item: limit for item, limit in self._wanted.items() if item.node == node}
                watch = _NodeWatch(node, wanted, self._deadline_seconds)
                started.callback(watch.close)
                watch.await_start()
                self._watches.append(watch)
            self._close = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close.close()

    def arrivals(self) -> dict[Container, float]:
        """When each container had its limit, in seconds since the epoch.

        Raises:
            LimitsMissingError: names the containers that hadn't within the deadline.
        """
        arrived = {item: clock for watch in self._watches for item, clock in watch.arrivals().items()}
        late = sorted(self._wanted.keys() - arrived.keys())
        if late:
            raise LimitsMissingError(
                f"after {self._deadline_seconds:.0f} s {len(late)} of {len(self._wanted)} cgroups still lack"
                f" their new limit: {', '.join(map(str, late[:10]))}{', ...' if len(late) > 10 else ''}"
            )
        return arrived


class _NodeWatch:
    """The script on one node."""

    def __init__(self, node: str, wanted: Mapping[Container, Limit], deadline_seconds: float) -> None:
        self._node = node
        self._containers = list(wanted)
        command = [*nodes.command(node), "bash", "-c", SCRIPT, "bash"]
        arguments = [str(ceil(deadline_seconds)), str(SWEEP_PAUSE_SECONDS)]
        lines = self._lines(wanted)
        self._started = time.time()
        self._process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(lines)
        self._process.stdin.close()
        self._output = self._process.stdout

    def await_start(self) -> None:
        word, _, clock = self._output.readline().partition(" ")
        if word != "watching":
            raise CgroupError(f"the watch on node {self._node} didn't start: {word} {clock}")
        if not self._started <= float(clock) <= time.time():
            raise CgroupError(
                f"node {self._node} has another clock than this machine, so times would mean nothing"
            )

    def arrivals(self) -> dict[Container, float]:
        pairs = (line.split() for line in self._output)
        return {self._containers[int(number)]: float(clock) for number, clock in pairs}

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._output.close()

    def _lines(self, wanted: Mapping[Container, Limit]) -> str:
        """``NUMBER FILE FIRST_WORD`` for each container."""
        cgroups = NodeCgroups(self._node)
        lines = []
        for number, (container, limit) in enumerate(wanted.items()):
            (v1, v2), word = limit.first_word()
            directories = cgroups.directories(container, wanted)
            on_v1 = [path for path in directories if path.startswith(f"{v1.partition('.')[0]}/")]
            path = f"{on_v1[0]}/{v1}" if on_v1 else f"{min(directories)}/{v2}"
            lines.append(f"{number} {path} {word}")
        return "\n".join(lines) + "\n"
