"""The truth: limits and use as the cgroup files on the node hold them, whatever anybody else says.

They are read by a command on the node (`e2e.harness.nodes`): one for any number of containers, since one
costs a tenth of a second. Both cgroup versions; where the kubelet puts its groups (systemd or cgroupfs,
kind's prefix) doesn't matter, since a container is found by its id.
"""

import re
import subprocess
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from e2e.harness import nodes
from e2e.harness.cluster import Container

CPU_PERIOD_MICROSECONDS: Final = 100_000
"""The kubelet's (``--cpu-cfs-quota-period``)."""
NO_LIMIT_BYTES: Final = 1 << 62
"""cgroup v1 writes "no limit" as the largest multiple of a page that fits, about 2^63."""

FILES: Final = (
    "cpu.max",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.stat",
    "cpuacct.usage",
    "memory.max",
    "memory.limit_in_bytes",
    "memory.current",
    "memory.usage_in_bytes",
    "memory.stat",
    "memory.events",
    "memory.oom_control",
    "io.stat",
    "blkio.throttle.io_service_bytes_recursive",
    "pids.current",
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


class CgroupError(Exception):
    """The node's cgroup files don't hold what was looked for."""


@dataclass(frozen=True)
class Reading:
    """The cgroup of one container at one moment.

    Attributes:
        at_seconds: the node's clock.
        cpu_limit_millicores: None where there is no limit; so for memory.
        cpu_used_seconds: since the container started.
        periods: how many periods of 100 ms it wanted CPU in.
        throttled_periods: in how many of them it ran into its limit.
        memory_used_bytes: page cache included.
        working_set_bytes: without the page cache that is given back first.
        anonymous_bytes: what the program itself asked for; no page cache.
        oom_kills: how many of its processes were killed for want of memory.
        io_read_bytes: from block devices, since the container started; so for written. cgroup v1 counts only
            what was written past the page cache.
        threads: of all its processes.
    """

    at_seconds: float
    cpu_limit_millicores: int | None
    memory_limit_bytes: int | None
    cpu_used_seconds: float
    periods: int
    throttled_periods: int
    memory_used_bytes: int
    working_set_bytes: int
    anonymous_bytes: int
    oom_kills: int
    io_read_bytes: int
    io_written_bytes: int
    threads: int


@dataclass(frozen=True)
class Count:
    """What a container's processes have, at one moment.

    Attributes:
        open_files: descriptors of all of them.
    """

    processes: int
    open_files: int


@dataclass(frozen=True)
class CpuUse:
    """What a container used between two readings."""

    seconds: float
    millicores: float
    periods: int
    throttled_periods: int


def cpu_use(before: Reading, after: Reading) -> CpuUse:
    """The use between two readings of one container."""
    seconds = after.at_seconds - before.at_seconds
    return CpuUse(
        seconds=seconds,
        millicores=(after.cpu_used_seconds - before.cpu_used_seconds) / seconds * 1000,
        periods=after.periods - before.periods,
        throttled_periods=after.throttled_periods - before.throttled_periods,
    )


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


def parse_contents(lines: str) -> dict[str, dict[str, str]]:
    """What ``grep -H '' PATH...`` prints, as container id → file name → content."""
    contents: dict[str, dict[str, str]] = {}
    for line in lines.splitlines():
        path, _, text = line.partition(":")
        directory, _, file = path.rpartition("/")
        files = contents.setdefault(container_id(directory), {})
        files[file] = f"{files[file]}\n{text}" if file in files else text
    return contents


def parse_reading(at_seconds: float, files: Mapping[str, str]) -> Reading:
    """
    Raises:
        KeyError: names the file that is missing.
    """
    stat = _pairs(files["cpu.stat"])
    if "cpu.max" in files or "memory.max" in files:
        quota, period = files["cpu.max"].split()
        memory_used, memory = int(files["memory.current"]), _pairs(files["memory.stat"])
        io = _io_pairs(files.get("io.stat", ""))
        events = _pairs(files["memory.events"])
        return Reading(
            at_seconds=at_seconds,
            cpu_limit_millicores=None if quota == "max" else int(quota) * 1000 // int(period),
            memory_limit_bytes=None if files["memory.max"] == "max" else int(files["memory.max"]),
            cpu_used_seconds=stat["usage_usec"] / 1e6,
            periods=stat["nr_periods"],
            throttled_periods=stat["nr_throttled"],
            memory_used_bytes=memory_used,
            working_set_bytes=memory_used - memory["inactive_file"],
            anonymous_bytes=memory["anon"],
            oom_kills=events["oom_kill"],
            io_read_bytes=sum(device["rbytes"] for device in io),
            io_written_bytes=sum(device["wbytes"] for device in io),
            threads=int(files["pids.current"]),
        )
    memory_used, memory = int(files["memory.usage_in_bytes"]), _pairs(files["memory.stat"])
    operations = [
        line.split()[-2:] for line in files["blkio.throttle.io_service_bytes_recursive"].splitlines()
    ]
    quota_us, limit = int(files["cpu.cfs_quota_us"]), int(files["memory.limit_in_bytes"])
    return Reading(
        at_seconds=at_seconds,
        cpu_limit_millicores=None if quota_us < 0 else quota_us * 1000 // int(files["cpu.cfs_period_us"]),
        memory_limit_bytes=None if limit > NO_LIMIT_BYTES else limit,
        cpu_used_seconds=int(files["cpuacct.usage"]) / 1e9,
        periods=stat["nr_periods"],
        throttled_periods=stat["nr_throttled"],
        memory_used_bytes=memory_used,
        working_set_bytes=memory_used - memory["total_inactive_file"],
        anonymous_bytes=memory["total_rss"],
        oom_kills=_pairs(files["memory.oom_control"])["oom_kill"],
        io_read_bytes=sum(int(size) for operation, size in operations if operation == "Read"),
        io_written_bytes=sum(int(size) for operation, size in operations if operation == "Write"),
        threads=int(files["pids.current"]),
    )


def _pairs(content: str) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split() for line in content.splitlines())}


def _io_pairs(content: str) -> list[dict[str, int]]:
    """``io.stat``: a line for each device, ``MAJOR:MINOR rbytes=N wbytes=N ...``."""
    return [
        {key: int(value) for key, _, value in (pair.partition("=") for pair in line.split()[1:])}
        for line in content.splitlines()
        if "=" in line
    ]


def _may_have(directory: str, file: str) -> bool:
    """A hierarchy of version 1 has the files of its own controller."""
    hierarchy = directory.partition("/")[0]
    return hierarchy in {".", file.partition(".")[0]}


def container_id(path: str) -> str:
    """Whose directory it is.

    Raises:
        CgroupError: it is no container's.
    """
    found = re.search(r"([0-9a-f]{64})(?:\.scope)?$", path)
    if found is None:
        raise CgroupError(f"{path} names no container")
    return found.group(1)
