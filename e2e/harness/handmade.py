"""Containers as the kernel sees them, made by hand: real cgroups in the kubelet's shapes, real processes.

For what must be proven against a kernel and needs no cluster: takes root, and either cgroup version. Other
cgroups are left alone; all that is made is below one directory of its own, and goes at the end.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
V1_HIERARCHIES: Final = ("cpu", "cpuacct", "memory", "blkio", "pids", "unified")
V2_CONTROLLERS: Final = "+cpu +memory +io +pids"
PERIOD_US: Final = 100_000
_REMOVAL_SECONDS: Final = 10.0


def cgroup_version() -> int:
    """Of this machine."""
    return 2 if (CGROUP_ROOT / "cgroup.controllers").exists() else 1


@dataclass(frozen=True)
class Container:
    """One cgroup (on version 1, one per hierarchy) and the processes started in it."""

    id: str
    pod_uid: str
    directories: tuple[Path, ...]
    processes: list[subprocess.Popen[str]] = field(default_factory=list, compare=False)

    def file(self, name: str) -> Path:
        """The path of one of its files, in whichever hierarchy has it."""
        return next(path / name for path in self.directories if (path / name).exists())

    def run(self, command: Sequence[str]) -> subprocess.Popen[str]:
        """Starts a command in it; its standard output and input are pipes."""
        files = [str(directory / "cgroup.procs") for directory in self.directories]

        def enter() -> None:
            for file in files:
                descriptor = os.open(file, os.O_WRONLY)
                os.write(descriptor, b"0")
                os.close(descriptor)

        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=enter,  # noqa: PLW1509 - no other thread holds a lock that this needs
        )
        self.processes.append(process)
        return process

    def python(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Starts a Python script in it, and waits until it has printed a line."""
        process = self.run([sys.executable, "-S", "-c", script, *arguments])
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError(f"the workload ended with {process.wait()} before it was ready")
        return process

    def end(self) -> None:
        """Kills its processes and waits until the kernel has forgotten them."""
        for process in self.processes:
            process.kill()
        for id_ in (int(line) for path in self.directories for line in _lines(path / "cgroup.procs")):
            _kill(id_)
        for process in self.processes:
            process.communicate()
        self.processes.clear()

    def remove(self) -> None:
        """Ends it and removes its cgroup."""
        self.end()
        for path in self.directories:
            _remove(path)


class Kubelet:
    """Makes pods' and containers' cgroups as a kubelet and runc would.

    Args:
        driver: the shape of the names: ``systemd``, ``cgroupfs``; both below a directory of our own, as with
            the kubelet's ``--cgroup-root``.
    """

    def __init__(self, driver: str = "systemd", *, qos: str = "burstable") -> None:
        top = f"tqtest{secrets.token_hex(4)}"
        self.driver = driver
        self.version = cgroup_version()
        roots = [CGROUP_ROOT / name for name in V1_HIERARCHIES] if self.version == 1 else [CGROUP_ROOT]
        self._roots = [root for root in roots if (root / "cgroup.procs").exists()]
        self._prefix = f"{top}-kubepods" if driver == "systemd" else ""
        self._top = f"{top}.slice" if driver == "systemd" else top
        self._parent = self._path([self._top], "kubepods", qos)
        self._made: list[Path] = []
        self.containers: list[Container] = []
        for root in self._roots:
            self._make(root, self._parent)

    def start(
        self,
        *,
        pod_uid: str | None = None,
        container_id: str | None = None,
        cpu_milli: int | None = None,
        memory_bytes: int | None = None,
    ) -> Container:
        """A container without processes, in a pod of its own unless ``pod_uid`` names one."""
        uid = pod_uid or str(uuid.uuid4())
        id_ = container_id or secrets.token_hex(32)
        if self.driver == "systemd":
            pod = f"{self._parent.rpartition('/')[2].removesuffix('.slice')}-pod{uid.replace('-', '_')}.slice"
            leaf = f"cri-containerd-{id_}.scope"
        else:
            pod, leaf = f"pod{uid}", id_
        path = f"{self._parent}/{pod}/{leaf}"
        container = Container(id_, uid, tuple(self._make(root, path) for root in self._roots))
        self.set_limits(container, cpu_milli=cpu_milli, memory_bytes=memory_bytes)
        self.containers.append(container)
        return container

    def set_limits(
        self, container: Container, *, cpu_milli: int | None = None, memory_bytes: int | None = None
    ) -> None:
        """Writes the limits that are given."""
        if cpu_milli is not None:
            quota = cpu_milli * PERIOD_US // 1000
            if self.version == 1:
                container.file("cpu.cfs_quota_us").write_text(str(quota))
            else:
                container.file("cpu.max").write_text(f"{quota} {PERIOD_US}")
        if memory_bytes is not None:
            name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
            container.file(name).write_text(str(memory_bytes))

    def have_io_counted(self, path: Path) -> None:
        """Sets a throttle rule that throttles nothing on the disk of ``path``: see the node agent's
        ``IoAccounting``."""
        device = path.stat().st_dev
        container = self.start()
        rule = container.file("blkio.throttle.write_bps_device")
        rule.write_text(f"{os.major(device)}:{os.minor(device)} {1 << 50}")

    def remove(self) -> None:
        """Ends all containers and removes every directory that was made."""
        for container in self.containers:
            container.end()
        for path in reversed(self._made):
            _remove(path)
        self._made.clear()
        self.containers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def _path(self, parts: list[str], *names: str) -> str:
        """systemd repeats the parents' names in each child's."""
        prefix = parts[0].removesuffix(".slice")
        for name in names:
            prefix = f"{prefix}-{name}"
            parts = [*parts, f"{prefix}.slice" if self.driver == "systemd" else name]
        return "/".join(parts)

    def _make(self, root: Path, path: str) -> Path:
        directory = root
        for name in path.split("/"):
            if self.version == 2:
                (directory / "cgroup.subtree_control").write_text(V2_CONTROLLERS)
            directory = directory / name
            if not directory.exists():
                directory.mkdir()
                self._made.append(directory)
        return directory


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _kill(process_id: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)


def _remove(path: Path) -> None:
    """A cgroup can be removed once its processes are gone for good, which takes the kernel a moment."""
    deadline = time.monotonic() + _REMOVAL_SECONDS
    while True:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
