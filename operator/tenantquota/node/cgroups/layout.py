"""Where a node's cgroups are: the version, the hierarchies, and how the kubelet names its directories.

With the systemd driver a container is at ``kubepods.slice/kubepods-burstable.slice/
kubepods-burstable-pod<uid with _>.slice/cri-containerd-<id>.scope``, with cgroupfs at
``kubepods/burstable/pod<uid>/<id>``; Guaranteed pods are one level up. A kubelet with ``--cgroup-root``
(kind's has ``/kubelet``) puts all that below another directory, whose name the systemd driver also puts
before each: ``kubelet.slice/kubelet-kubepods.slice/…``.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tenantquota.node.cgroups.v1 import CONTROLLERS, UNIFIED

_KUBEPODS: Final = re.compile(r"(?:.+-)?kubepods(?:\.slice)?")
_QOS: Final = re.compile(r"(?:.+-)?(?:burstable|besteffort)(?:\.slice)?")
_POD: Final = re.compile(r"(?:.+-)?pod([0-9a-f_-]{32,36})(?:\.slice)?")
_CONTAINER: Final = re.compile(r"(?:(?:cri-containerd|crio|docker)-)?([0-9a-f]{64})(?:\.scope)?")
_DEPTH: Final = 4
"""Directories between a hierarchy's root and kubepods, at most; kind has one."""

_LOOK_IN: Final = ("pids", "cpuacct", "memory")
"""Version 1: the hierarchy in which containers are looked for, the first that is there. They have the fewest
files, and listing is what it costs."""


class LayoutError(Exception):
    """Not the cgroup file system of a Kubernetes node; the message says what is missing."""


class Layout(NamedTuple):
    """What the node has."""

    version: int
    """1 or 2."""
    roots: Mapping[str, str]
    """Version 1: the directory of each controller, and of ``unified`` if there is one. Version 2: empty."""
    look_in: str
    """The hierarchy in which containers are looked for."""


def find_layout(root: Path) -> Layout:
    """The hierarchies below ``root``, which is what the node has at /sys/fs/cgroup.

    Raises:
        LayoutError: there are none, or controllers are missing.
    """
    if (root / "cgroup.controllers").exists():
        return Layout(2, {}, str(root))
    roots = {name: found for name in CONTROLLERS if (found := _hierarchy(root, name))}
    if missing := [name for name in CONTROLLERS if name not in roots]:
        raise LayoutError(
            f"{root}: neither a cgroup2 file system nor version 1's {', '.join(missing)}; "
            "mount the node's /sys/fs/cgroup there"
        )
    if unified := _hierarchy(root, UNIFIED):
        roots[UNIFIED] = unified
    return Layout(1, roots, next(roots[name] for name in _LOOK_IN if name in roots))


def _hierarchy(root: Path, name: str) -> str | None:
    """The mount point of a version 1 controller, which it may share: ``cpu`` is often ``cpu,cpuacct``."""
    for path in (root / name, *sorted(root.glob(f"*{name}*"))):
        if name in path.name.split(",") and (path / "cgroup.procs").exists():
            return str(path.resolve())
    return None


def find_kubepods(look_in: str) -> list[str]:
    """The kubelet's directories of pods, relative to a hierarchy's root. Empty before it has made them."""
    found: list[str] = []
    level = [""]
    for _ in range(_DEPTH):
        level = [path for parent in level for path in _subdirectories(look_in, parent)]
        found += [path for path in level if _KUBEPODS.fullmatch(path.rpartition("/")[2])]
        level = [path for path in level if path not in found]
    return found


def _subdirectories(root: str, path: str) -> list[str]:
    try:
        with os.scandir(f"{root}/{path}") as entries:
            return [f"{path}/{entry.name}".lstrip("/") for entry in entries if entry.is_dir()]
    except OSError:
        return []


def is_qos(name: str) -> bool:
    """The directory of a QoS class's pods."""
    return _QOS.fullmatch(name) is not None


def pod_uid(name: str) -> str | None:
    """The pod whose directory it is, None if none. Of a static pod it is the hash of its manifest."""
    found = _POD.fullmatch(name)
    return found[1].replace("_", "-") if found else None


def is_pod(path: str) -> bool:
    """The directory of a pod, relative to a hierarchy's root: below kubepods, and of one of its classes or of
    none."""
    *above, name = path.split("/")
    if pod_uid(name) is None or {"", ".", ".."} & set(above):
        return False
    if above and is_qos(above[-1]):
        above.pop()
    return 0 < len(above) <= _DEPTH and _KUBEPODS.fullmatch(above[-1]) is not None


def is_container(path: str) -> bool:
    """The directory of a pod's container (or sandbox), relative to a hierarchy's root."""
    above, _, name = path.rpartition("/")
    return container_id(name) is not None and is_pod(above)


def container_id(name: str) -> str | None:
    """The container (or sandbox) whose directory it is, None if none."""
    found = _CONTAINER.fullmatch(name)
    return found[1] if found else None
