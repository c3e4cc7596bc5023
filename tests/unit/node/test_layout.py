"""Where containers are: every shape that kubelets give it."""

from pathlib import Path

import pytest

from tenantquota.node.cgroups import layout
from tenantquota.node.cgroups.layout import LayoutError, find_kubepods, find_layout
from tests.unit.node.trees import Driver, Node, path_of

UID = "23e3e477-15b0-43f5-851a-c4409d617a05"
ID = "c0ffee" * 10 + "beef"


@pytest.mark.parametrize("driver", ["systemd", "cgroupfs", "kind"])
@pytest.mark.parametrize("qos", ["", "burstable", "besteffort"])
def test_names_are_understood_in_every_shape(driver: Driver, qos: str) -> None:
    names = path_of(driver, qos, UID, ID).split("/")
    assert layout.container_id(names[-1]) == ID
    assert layout.pod_uid(names[-2]) == UID
    assert layout.is_qos(names[-3]) == bool(qos)


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        ("kubepods-burstable-poda26733cc4ee58e7008beb3bb32babb44.slice", "a26733cc4ee58e7008beb3bb32babb44"),
        ("poda26733cc4ee58e7008beb3bb32babb44", "a26733cc4ee58e7008beb3bb32babb44"),
        ("kubepods-burstable.slice", None),
        ("podman.slice", None),
        (f"pod{UID}-more", None),
        (f"pod{UID}.scope", None),
    ],
)
def test_pods(name: str, uid: str | None) -> None:
    """A static pod's is the hash of its manifest."""
    assert layout.pod_uid(name) == uid


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (ID, True),
        (f"cri-containerd-{ID}.scope", True),
        (f"crio-{ID}.scope", True),
        (f"docker-{ID}.scope", True),
        (f"crio-conmon-{ID}.scope", False),
        (ID[:-1], False),
        (f"{ID}.slice", False),
        (ID.upper(), False),
    ],
)
def test_containers(name: str, found: bool) -> None:
    assert layout.container_id(name) == (ID if found else None)


def test_version_2(tmp_path: Path) -> None:
    Node(tmp_path, 2).boot()
    assert find_layout(tmp_path) == (2, {}, str(tmp_path))


@pytest.mark.parametrize("hybrid", [True, False])
def test_version_1(tmp_path: Path, hybrid: bool) -> None:
    Node(tmp_path, 1, hybrid=hybrid).boot()
    found = find_layout(tmp_path)
    names = {"cpu", "cpuacct", "memory", "blkio", "pids"} | ({"unified"} if hybrid else set())
    assert found == (1, {name: str(tmp_path / name) for name in names}, str(tmp_path / "pids"))


def test_controllers_that_share_a_hierarchy(tmp_path: Path) -> None:
    """As systemd mounts them, with links; kind's nodes have an empty directory of that name beside."""
    Node(tmp_path, 1, hybrid=False).boot()
    for name in ("cpu", "cpuacct"):
        (tmp_path / name).rename(tmp_path / f"moved-{name}")
    (tmp_path / "cpu,cpuacct").mkdir()
    (tmp_path / "cpu,cpuacct" / "cgroup.procs").write_text("")
    (tmp_path / "cpuset").mkdir()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    roots = find_layout(tmp_path).roots
    assert roots["cpu"] == roots["cpuacct"] == str(tmp_path / "cpu,cpuacct")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"neither .* nor version 1's cpu, cpuacct, .*mount the node's"):
        find_layout(tmp_path)


@pytest.mark.parametrize(
    ("driver", "path"),
    [
        ("systemd", "kubepods.slice"),
        ("cgroupfs", "kubepods"),
        ("kind", "kubelet.slice/kubelet-kubepods.slice"),
    ],
)
def test_finds_the_kubelets_directory(tmp_path: Path, driver: Driver, path: str) -> None:
    node = Node(tmp_path, 2, driver).boot()
    node.add(UID, ID)
    assert find_kubepods(str(tmp_path)) == [path]


def test_there_may_be_none_yet(tmp_path: Path) -> None:
    assert find_kubepods(str(tmp_path)) == []
    assert find_kubepods(str(tmp_path / "missing")) == []
