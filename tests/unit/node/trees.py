"""Fixture trees: what a node has at /sys/fs/cgroup, as plain files with the content of real ones."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Driver = Literal["systemd", "cgroupfs", "kind"]

V1_FILES: Final[Mapping[str, Mapping[str, str]]] = {
    "cpu": {
        "cgroup.procs": "841\n",
        "cpu.stat": "nr_periods 120\nnr_throttled 100\nthrottled_time 21000000000\nnr_bursts 0\n",
        "cpu.cfs_quota_us": "25000\n",
        "cpu.cfs_period_us": "100000\n",
    },
    "cpuacct": {"cgroup.procs": "841\n", "cpuacct.usage": "3000000000\n"},
    "memory": {
        "cgroup.procs": "841\n",
        "memory.usage_in_bytes": "11440128\n",
        "memory.max_usage_in_bytes": "12000000\n",
        "memory.limit_in_bytes": "134217728\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        "memory.stat": "cache 929792\ninactive_file 5\ntotal_cache 929792\ntotal_inactive_file 118784\n",
    },
    "blkio": {
        "cgroup.procs": "841\n",
        "blkio.throttle.io_service_bytes_recursive": (
            "254:0 Read 4096\n254:0 Write 8192\n254:0 Total 12288\nTotal 12288\n"
        ),
    },
    "pids": {"cgroup.procs": "841\n", "tasks": "841\n859\n", "pids.current": "2\n"},
    "unified": {
        "cgroup.procs": "841\n",
        "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=700\n",
        "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=800\n",
        "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=900\n",
    },
}
V2_FILES: Final[Mapping[str, str]] = {
    "cgroup.procs": "841\n",
    "cgroup.threads": "841\n859\n",
    "pids.current": "2\n",
    "cpu.stat": (
        "usage_usec 3000000\nuser_usec 1\nsystem_usec 2\n"
        "nr_periods 120\nnr_throttled 100\nthrottled_usec 21000000\nnr_bursts 0\nburst_usec 0\n"
    ),
    "cpu.max": "25000 100000\n",
    "cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=700\n",
    "memory.current": "11440128\n",
    "memory.peak": "12000000\n",
    "memory.max": "134217728\n",
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 2\noom_group_kill 0\n",
    "memory.stat": "anon 10510336\nfile 929792\ninactive_anon 0\ninactive_file 118784\n",
    "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=800\n",
    "io.stat": "254:0 rbytes=4096 wbytes=8192 rios=1 wios=1 dbytes=0 dios=0\n",
    "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=900\n",
}
_PARENTS: Final[Mapping[Driver, str]] = {
    "systemd": "kubepods.slice",
    "cgroupfs": "kubepods",
    "kind": "kubelet.slice/kubelet-kubepods.slice",
}


def path_of(driver: Driver, qos: str, pod_uid: str, container_id: str) -> str:
    """Where a container is, relative to the hierarchy's root. ``qos`` is empty for Guaranteed."""
    parent = _PARENTS[driver]
    if driver == "cgroupfs":
        return "/".join(part for part in (parent, qos, f"pod{pod_uid}", container_id) if part)
    prefix = parent.rpartition("/")[2].removesuffix(".slice")
    if qos:
        prefix += f"-{qos}"
        parent += f"/{prefix}.slice"
    pod = f"{prefix}-pod{pod_uid.replace('-', '_')}.slice"
    return f"{parent}/{pod}/cri-containerd-{container_id}.scope"


@dataclass(frozen=True)
class Node:
    """A node's cgroup file system below ``root``."""

    root: Path
    version: int
    driver: Driver = "systemd"
    hybrid: bool = True
    """Version 1: with a ``unified`` hierarchy beside."""

    def boot(self) -> "Node":
        """Makes the hierarchies' roots and the kubelet's directories."""
        for root in self._roots().values():
            (root / _PARENTS[self.driver]).mkdir(parents=True)
            (root / "cgroup.procs").write_text("1\n")
            (root / "system.slice" / "cron.service").mkdir(parents=True)
        if self.version == 2:
            (self.root / "cgroup.controllers").write_text("cpu io memory pids\n")
        else:
            self.count_io()
        return self

    def count_io(self, content: str = "254:0 Read 4096\nTotal 4096\n") -> None:
        (self.root / "blkio" / "blkio.throttle.io_service_bytes_recursive").write_text(content)

    def add(self, pod_uid: str, container_id: str, qos: str = "burstable") -> "Cgroup":
        """A container with the content of V1_FILES or V2_FILES."""
        path = path_of(self.driver, qos, pod_uid, container_id)
        directories = {}
        for controller, root in self._roots().items():
            directory = directories[controller] = root / path
            directory.mkdir(parents=True)
            files = V2_FILES if self.version == 2 else V1_FILES[controller]
            for name, content in files.items():
                (directory / name).write_text(content)
        return Cgroup(container_id, pod_uid, directories)

    def _roots(self) -> dict[str, Path]:
        if self.version == 2:
            return {"": self.root}
        return {name: self.root / name for name in V1_FILES if self.hybrid or name != "unified"}


@dataclass(frozen=True)
class Cgroup:
    """A container's directories."""

    id: str
    pod_uid: str
    directories: Mapping[str, Path]

    def file(self, name: str) -> Path:
        return next(path / name for path in self.directories.values() if (path / name).exists())

    def write(self, name: str, content: str | bytes) -> None:
        """As the kernel does it, in place: an open descriptor sees it."""
        self.file(name).write_bytes(content if isinstance(content, bytes) else content.encode())

    def remove(self) -> None:
        for path in self.directories.values():
            for file in path.iterdir():
                file.unlink()
            path.rmdir()

    @contextmanager
    def replaced(self) -> Iterator[None]:
        """Removes it; what is made inside has inode numbers of its own, as in a cgroup file system, where
        they aren't used again: one that is open isn't free."""
        descriptors = [os.open(path, os.O_RDONLY) for path in self.directories.values()]
        self.remove()
        try:
            yield
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def remove_pod(self) -> None:
        self.remove()
        for path in self.directories.values():
            path.parent.rmdir()
