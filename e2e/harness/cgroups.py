"""The truth: limits and use as the cgroup files on the node hold them, whatever anybody else says.

They are read by a command on the node (`e2e.harness.nodes`): one for any number of containers, since one
costs a tenth of a second. Both cgroup versions; where the kubelet puts its groups (systemd or cgroupfs,
kind's prefix) doesn't matter, since a container is found by its id.
"""

import subprocess
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from e2e.harness import nodes
from e2e.harness.cluster import Container
from e2e.harness.readings import (
    FILES,
    CgroupError,
    Reading,
    container_id,
    parse_contents,
    parse_reading,
)

FIND_SCRIPT: Final = """
cd /sys/fs/cgroup
if [ -e cgroup.controllers ]; then roots=.; else roots='cpu/ cpuacct/ memory/ blkio/ pids/'; fi
find $roots -ignore_readdir_race -type d -regextype posix-extended -regex '.*[0-9a-f]{64}(\\.scope)?' \\
  2> /dev/null || true
"""
READ_SCRIPT: Final = """
cd /sys/fs/cgroup
echo "$EPOCHREALTIME"
xargs grep -sH ''
true
"""
COUNT_SCRIPT: Final = """
cd /sys/fs/cgroup
shopt -s nullglob
while read -r number path; do
  processes=0 files=0
  while read -r pid; do
    open=(/proc/"$pid"/fd/*)
    processes=$((processes + 1)) files=$((files + ${#open[@]}))
  done < "$path/cgroup.procs"
  echo "$number $processes $files"
done
"""
WEIGHT_SCRIPT: Final = """
cd /sys/fs/cgroup
while read -r path; do
  cat "$path/../cpu.weight" 2> /dev/null || cat "cpu/${path#*/}/../cpu.shares"
done
"""
WRITE_SCRIPT: Final = 'cd /sys/fs/cgroup; echo "$2" > "$1"'


@dataclass(frozen=True)
class Count:
    """What a container's processes have, at one moment.

    Attributes:
        open_files: descriptors of all of them.
    """

    processes: int
    open_files: int


class NodeCgroups:
    """The cgroup files of one node's containers."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._directories: dict[str, frozenset[str]] = {}

    def read(self, containers: Iterable[Container]) -> dict[Container, Reading]:
        """
        Raises:
            CgroupError: when the cgroup of one of them is not there (it has ended, or runs elsewhere).
        """
        wanted = sorted(set(containers))
        output = node_bash(self.node, READ_SCRIPT, stdin="\n".join(self.paths(wanted)))
        clock, _, lines = output.partition("\n")
        contents = parse_contents(lines)
        try:
            return {item: parse_reading(float(clock), contents.get(item.id, {})) for item in wanted}
        except KeyError as error:
            raise CgroupError(f"{self.node}: no file {error} in the cgroup of a container") from error

    def paths(self, containers: Iterable[Container]) -> list[str]:
        """The files that their readings are made from, below /sys/fs/cgroup.

        Raises:
            CgroupError: as `read`.
        """
        wanted = sorted(set(containers))
        directories = [path for container in wanted for path in self.directories(container, wanted)]
        return [f"{path}/{file}" for path in directories for file in FILES if _may_have(path, file)]

    def count(self, containers: Iterable[Container]) -> dict[Container, Count]:
        """The containers' processes and open files, from /proc.

        Raises:
            CgroupError: as `read`.
        """
        wanted = sorted(set(containers))
        lines = [f"{number} {min(self.directories(item, wanted))}\n" for number, item in enumerate(wanted)]
        output = node_bash(self.node, COUNT_SCRIPT, stdin="".join(lines))
        counts = (map(int, line.split()) for line in output.splitlines())
        return {wanted[number]: Count(processes, open_files) for number, processes, open_files in counts}

    def write(self, container: Container, file: str, value: str) -> None:
        """Changes one of the container's files, as only root on the node can.

        Args:
            file: its name on this node's cgroup version.

        Raises:
            CgroupError: when the container has no such file, or the kernel refuses the value.
        """
        hierarchy = file.partition(".")[0]
        directories = self.directories(container)
        of_v1 = [path for path in directories if path.startswith(f"{hierarchy}/")]
        node_bash(self.node, WRITE_SCRIPT, f"{(of_v1 or sorted(directories))[0]}/{file}", value)

    def pod_weights(self, containers: Iterable[Container]) -> dict[Container, int]:
        """The CPU weights of the containers' pods: ``cpu.weight``, or ``cpu.shares`` on version 1.

        Raises:
            CgroupError: as `read`.
        """
        wanted = sorted(set(containers))
        directories = [self.directories(item, wanted) for item in wanted]
        output = node_bash(self.node, WEIGHT_SCRIPT, stdin="".join(f"{min(each)}\n" for each in directories))
        return dict(zip(wanted, map(int, output.split()), strict=True))

    def weight_paths(self, container: Container) -> list[str]:
        """Where the weight of the container's pod may be, below /sys/fs/cgroup: one of them is there.

        Raises:
            CgroupError: as `read`.
        """
        return [
            f"{path}/../{file}"
            for path in self.directories(container)
            for file in ("cpu.weight", "cpu.shares")
        ]

    def directories(self, container: Container, beside: Iterable[Container] = ()) -> frozenset[str]:
        """The container's directories below /sys/fs/cgroup; ``beside`` are looked up in the same go."""
        missing = {item.id for item in (container, *beside)} - self._directories.keys()
        if missing:
            found: dict[str, set[str]] = {}
            for path in node_bash(self.node, FIND_SCRIPT).splitlines():
                found.setdefault(container_id(path), set()).add(path)
            self._directories = {key: frozenset(paths) for key, paths in found.items()}
        if container.id not in self._directories:
            raise CgroupError(
                f"node {self.node} has no cgroup of {container} ({container.id[:12]}): has it ended?"
            )
        return self._directories[container.id]


def read_all(containers: Collection[Container]) -> dict[Container, Reading]:
    """The readings of containers on any nodes; see `NodeCgroups.read`."""
    nodes = {container.node for container in containers}
    return {
        container: reading
        for node in sorted(nodes)
        for container, reading in NodeCgroups(node)
        .read(item for item in containers if item.node == node)
        .items()
    }


def node_bash(node: str, script: str, *arguments: str, stdin: str = "", timeout_seconds: float = 60) -> str:
    """What a bash script prints on a node.

    Raises:
        CgroupError: when the way to the node or the script fails.
    """
    command = [*nodes.command(node), "bash", "-c", script, "bash", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, input=stdin, timeout=timeout_seconds
    )
    if done.returncode != 0:
        raise CgroupError(f"a script on node {node} failed with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _may_have(directory: str, file: str) -> bool:
    """A hierarchy of version 1 has the files of its own controller."""
    hierarchy = directory.partition("/")[0]
    return hierarchy in {".", file.partition(".")[0]}
