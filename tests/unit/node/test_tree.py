"""Which containers there are: with the kernel's word, without it, and whatever happens in between."""

import errno
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.tree import Changes, Leaf, Tree
from tenantquota.node.cgroups.watch import Watch
from tests.unit.node.trees import Driver, Node, path_of

UIDS = [f"23e3e477-15b0-43f5-851a-c4409d617a0{digit}" for digit in range(5)]
IDS = [f"{digit:064x}" for digit in range(20)]


class Case:
    def __init__(self, root: Path, driver: Driver = "systemd", *, watched: bool = True) -> None:
        self.errors = ReadErrors()
        self.node = Node(root, 2, driver).boot()
        self.watch = Watch() if watched else None
        self.tree = Tree(str(root), self.watch, self.errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.watch:
            self.watch.close()

    def look(self, *, everywhere: bool = False) -> Changes:
        if self.watch:
            self.watch.poll()
        return self.tree.look(everywhere=everywhere)

    def leaf(self, number: int, pod: int = 0, qos: str = "burstable") -> Leaf:
        return Leaf(IDS[number], UIDS[pod], path_of(self.node.driver, qos, UIDS[pod], IDS[number]))


@pytest.fixture(params=[True, False], ids=["watched", "unwatched"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with Case(tmp_path, watched=request.param) as case:
        yield case


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Case]:
    with Case(tmp_path) as case:
        yield case


@pytest.mark.parametrize("driver", ["systemd", "cgroupfs", "kind"])
def test_finds_containers_of_every_class(tmp_path: Path, driver: Driver) -> None:
    with Case(tmp_path, driver) as case:
        expected = set()
        for number, qos in enumerate(["", "burstable", "besteffort"]):
            case.node.add(UIDS[number], IDS[number], qos)
            expected.add(case.leaf(number, number, qos))
        changes = case.look()
        assert set(changes.appeared) == expected
        assert changes.gone == []
        assert case.look() == ([], [])


def test_what_comes_and_goes(case: Case) -> None:
    assert case.look() == ([], [])
    first = case.node.add(UIDS[0], IDS[0])
    assert case.look() == ([], [case.leaf(0)])
    case.node.add(UIDS[0], IDS[1])
    assert case.look() == ([], [case.leaf(1)])
    first.remove()
    assert case.look() == ([case.leaf(0)], [])
    assert case.look() == ([], [])


def test_one_that_takes_anothers_place_within_a_second(case: Case) -> None:
    first = case.node.add(UIDS[0], IDS[0])
    case.look()
    first.remove()
    case.node.add(UIDS[0], IDS[1])
    assert case.look() == ([case.leaf(0)], [case.leaf(1)])


def test_a_recreated_cgroup_is_another_one(case: Case) -> None:
    """Its path is the same, its counters begin at 0."""
    first = case.node.add(UIDS[0], IDS[0])
    case.look()
    with first.replaced():
        case.node.add(UIDS[0], IDS[0])
    assert case.look() == ([case.leaf(0)], [case.leaf(0)])


def test_a_whole_pod_ends_and_another_begins(case: Case) -> None:
    case.node.add(UIDS[0], IDS[0])
    second = case.node.add(UIDS[0], IDS[1])
    case.look()
    (path,) = case.node.add(UIDS[1], IDS[2]).directories.values()
    assert path.exists()
    (first_path,) = second.directories.values()
    for leaf in list(first_path.parent.iterdir()):
        for file in leaf.iterdir():
            file.unlink()
        leaf.rmdir()
    first_path.parent.rmdir()
    changes = case.look()
    assert set(changes.gone) == {case.leaf(0), case.leaf(1)}
    assert changes.appeared == [case.leaf(2, 1)]


def test_one_that_could_not_be_opened_is_found_again(case: Case) -> None:
    case.node.add(UIDS[0], IDS[0])
    (leaf,) = case.look().appeared
    case.tree.forget(leaf)
    assert case.look() == ([], [leaf])


def test_a_kubelet_that_starts_later(case: Case) -> None:
    top = case.node.root / "kubepods.slice"
    top.rmdir()
    assert case.look() == ([], [])
    top.mkdir()
    case.node.add(UIDS[0], IDS[0])
    assert case.look() == ([], [case.leaf(0)])


def test_a_kubelet_that_changes_its_cgroup_driver(case: Case) -> None:
    case.node.add(UIDS[0], IDS[0])
    case.look()
    path = f"kubepods/burstable/pod{UIDS[1]}/{IDS[1]}"
    (case.node.root / path).mkdir(parents=True)
    assert case.look(everywhere=True) == ([], [Leaf(IDS[1], UIDS[1], path)])
    assert case.errors.total == 0


def test_other_directories_are_none_of_ours(case: Case) -> None:
    (case.node.root / "kubepods.slice" / "kubepods-other.slice" / IDS[0]).mkdir(parents=True)
    container = case.node.add(UIDS[0], IDS[0])
    (container.directories[""] / IDS[1]).mkdir()
    (container.directories[""].parent / "crio-conmon.scope").mkdir()
    assert case.look() == ([], [case.leaf(0)])


def test_what_the_kernel_did_not_tell_is_found_by_and_by_and_counted(watched: Case) -> None:
    case = watched
    case.look()
    case.node.add(UIDS[0], IDS[0])
    assert case.tree.look() == ([], [])  # nobody polled
    assert case.tree.look(everywhere=True) == ([], [case.leaf(0)])
    assert case.errors.total == 0, "it may still come"
    assert case.tree.look(everywhere=True) == ([], [])
    assert case.errors.counts == {("inotify", "missed"): 1}


@pytest.mark.parametrize("gone", [False, True])
def test_what_the_kernel_tells_a_moment_later_is_not_missed(watched: Case, gone: bool) -> None:
    """It happened between the poll and the look."""
    case = watched
    case.look()
    container = case.node.add(UIDS[0], IDS[0])
    if gone:
        case.look()
        container.remove()
    assert case.tree.look(everywhere=True) == (([case.leaf(0)], []) if gone else ([], [case.leaf(0)]))
    for _ in range(3):
        assert case.look(everywhere=True) == ([], [])
    assert case.errors.total == 0


def known_directories() -> int:
    gc.collect()
    return sum(type(each).__name__ == "_Directory" for each in gc.get_objects())


def test_what_has_ended_is_forgotten(case: Case) -> None:
    """Watched or not: an agent runs for months."""
    case.look(everywhere=True)
    before = known_directories()
    for _ in range(20):
        container = case.node.add(UIDS[0], IDS[0])
        case.look(everywhere=True)
        container.remove_pod()
        case.look(everywhere=True)
    assert known_directories() <= before + 1


def test_a_look_everywhere_finds_nothing_new(watched: Case) -> None:
    case = watched
    case.node.add(UIDS[0], IDS[0])
    assert case.look(everywhere=True) == ([], [case.leaf(0)])
    assert case.look(everywhere=True) == ([], [])
    assert case.errors.total == 0


def test_a_directory_that_may_not_be_watched_is_listed(
    watched: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = watched

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "no more watches")

    monkeypatch.setattr(case.watch, "add", refuse)
    case.node.add(UIDS[0], IDS[0])
    assert case.look().appeared == [case.leaf(0)]
    case.node.add(UIDS[0], IDS[1])
    assert case.look().appeared == [case.leaf(1)]
    assert ("inotify", "ENOSPC") in case.errors.counts


Step = tuple[bool, int, int]


@settings(max_examples=60)
@given(
    seconds=st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(0, 2), st.integers(0, 3)), max_size=6), max_size=6
    ),
    watched=st.booleans(),
)
def test_any_sequence_of_starts_and_ends_is_followed(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[list[Step]], watched: bool
) -> None:
    """What was said to appear and not to be gone is what there is, after each second."""
    with Case(tmp_path_factory.mktemp("node"), watched=watched) as case:
        there = {}
        known: set[Leaf] = set()
        for steps in seconds:
            for start, pod, number in steps:
                leaf = case.leaf(4 * pod + number, pod)
                if start and leaf not in there:
                    there[leaf] = case.node.add(leaf.pod_uid, leaf.container_id)
                elif not start and leaf in there:
                    there.pop(leaf).remove()
            changes = case.look()
            assert set(changes.gone) <= known
            known = (known - set(changes.gone)) | set(changes.appeared)
            assert known == set(there)
        assert case.errors.total == 0
