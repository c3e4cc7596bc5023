"""Weights, idle and limits, by the very script, from files that look like a node's."""

from pathlib import Path

import pytest

from e2e.harness import controls, nodes
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import Container
from e2e.harness.controls import Controls, ControlWatch
from e2e.harness.readings import CgroupError

ID = "c0ffee" * 10 + "beef"
CONTAINER = Container("acme", "agent", "agent", "node", ID, 0)
V1 = {"cpu.cfs_quota_us": "50000", "cpu.idle": "0", "../cpu.shares": "102"}
V2 = {"cpu.max": "50000 100000", "cpu.idle": "0", "../cpu.weight": "4"}


class Group:
    """A container's cgroup in a pod's, of the version whose files it has."""

    def __init__(self, root: Path, directory: str, files: dict[str, str]) -> None:
        self.directory = root / directory / ID
        self.directory.mkdir(parents=True)
        self.write(files)

    def write(self, files: dict[str, str]) -> None:
        for file, text in files.items():
            (self.directory / file).write_text(f"{text}\n")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(controls, "SCRIPT", controls.SCRIPT.replace("/sys/fs/cgroup", str(tmp_path)))
    monkeypatch.setattr(nodes, "command", lambda _node: [])
    where = frozenset(f"{hierarchy}/kubepods/pod0/{ID}" for hierarchy in (".", "cpu", "memory"))
    monkeypatch.setattr(NodeCgroups, "directories", lambda *_: where)
    return tmp_path


@pytest.mark.parametrize(
    ("files", "directory", "weight"),
    [(V1, "cpu/kubepods/pod0", 102), (V2, "kubepods/pod0", 4)],
    ids=["v1", "v2"],
)
def test_each_look_has_what_is_in_the_files_then(
    root: Path, files: dict[str, str], directory: str, weight: int
) -> None:
    group = Group(root, directory, files)
    with ControlWatch([CONTAINER]) as watch:
        assert watch.now() == {CONTAINER: Controls(weight, idle=False, limit_milli=500)}
        group.write({"cpu.idle": "1"})
        assert watch.now() == {CONTAINER: Controls(weight, idle=True, limit_milli=500)}


@pytest.mark.parametrize(
    ("files", "none"), [(V1, {"cpu.cfs_quota_us": "-1"}), (V2, {"cpu.max": "max 100000"})], ids=["v1", "v2"]
)
def test_no_limit_and_a_kernel_without_idle(root: Path, files: dict[str, str], none: dict[str, str]) -> None:
    group = Group(root, "cpu/kubepods/pod0", files | none)
    (group.directory / "cpu.idle").unlink()
    with ControlWatch([CONTAINER]) as watch:
        found = watch.now()[CONTAINER]
    assert (found.idle, found.limit_milli) == (None, 0)


def test_a_container_that_has_ended_is_named(root: Path) -> None:
    group = Group(root, "kubepods/pod0", V2)
    with ControlWatch([CONTAINER]) as watch:
        watch.now()
        for file in group.directory.iterdir():
            file.unlink()
        with pytest.raises(CgroupError, match=r"no cgroup of acme/agent.*has it ended"):
            watch.now()


def test_a_node_out_of_reach_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Group(root, "kubepods/pod0", V2)
    monkeypatch.setattr(controls, "SCRIPT", "sleep 60")
    with ControlWatch([CONTAINER], late_seconds=0.1) as watch, pytest.raises(CgroupError, match="node ended"):
        watch.now()
    monkeypatch.setattr(controls, "SCRIPT", "exit 1")
    with ControlWatch([CONTAINER]) as watch, pytest.raises(CgroupError, match="node ended"):
        watch.now()
