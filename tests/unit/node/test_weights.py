"""The one writer, on trees of plain files and over a real socket.

Weights have two digits, since what is written to a plain file leaves the rest of it.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.harness.wait import NotYet, wait_until
from tenantquota.node.cgroups import layout
from tenantquota.node.weight_orders import Order, WeightOrders
from tenantquota.node.weights import MANY_PODS, Book, WeightFiles, Writer
from tests.unit.node.test_app import AUDITED

DEADLINE_SECONDS = 20
UID = "0d9b5a51-6dd0-4b1f-8a37-9ce7a0d0e6f1"
POD = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
CONTAINER = f"{POD}/cri-containerd-{'a' * 64}.scope"
KUBELETS = 51
OPERATOR = Path(__file__).parents[3] / "operator"


def order(weight: int, path: str = POD) -> Order:
    return Order(path, weight, KUBELETS)


class Tree:
    """One pod's cgroup."""

    def __init__(self, root: Path, version: int) -> None:
        self.root = root
        if version == 2:
            self.weight = root / POD / "cpu.weight"
            root.mkdir()
            (root / "cgroup.controllers").write_text("cpu\n")
        else:
            for name in ("cpu", "cpuacct", "memory", "blkio", "pids"):
                (root / name).mkdir(parents=True)
                (root / name / "cgroup.procs").touch()
            self.weight = root / "cpu" / POD / "cpu.shares"
        self.weight.parent.mkdir(parents=True)
        self.weight.write_text("51\n")
        container = self.weight.parent / Path(CONTAINER).name
        container.mkdir()
        self.idle, self.container_weight = container / "cpu.idle", container / self.weight.name
        self.idle.write_text("0\n")
        self.container_weight.write_text("51\n")

    def value(self) -> int:
        return int(self.weight.read_text().split()[0])


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    return Tree(tmp_path / "cgroup", request.param)


class TestOrders:
    def test_a_weight_is_written(self, tree: Tree) -> None:
        files = WeightFiles(tree.root)

        assert Book(files).carry_out(f"77 51 {POD}".encode()) == b"ok\n"
        assert files.read(POD) == 77

    @pytest.mark.parametrize(
        ("order", "says"),
        [
            (f"0 51 {POD}", "is not the directory of a container"),
            (f"51 51 {POD}/other", "is not the directory of a pod"),
            (f"51 51 {CONTAINER.replace('aaaa', 'bbbb')}", "it is gone"),
            (f"0 51 {CONTAINER.replace('aaaa', 'bbbb')}", "it is gone"),
            (f"0 51 system.slice/cri-containerd-{'a' * 64}.scope", "is not the directory of a container"),
            (f"0 51 {POD}/../{CONTAINER.rpartition('/')[2]}", "is not the directory of a container"),
            (f"0 0 {CONTAINER}", "weight 0 is not between"),
            (f"300000 51 {POD}", "weight 300000 is not between"),
            (f"x 51 {POD}", "invalid literal"),
            (f"77 0 {POD}", "weight 0 is not between"),
            (f"77 {POD}", "an order is WEIGHT KUBELETS PATH"),
            ("", "an order is WEIGHT KUBELETS PATH"),
            (f"5 51 {POD}/cri-containerd-{'a' * 64}.scope", "is not the directory of a pod"),
            ("5 51 kubepods.slice", "is not the directory of a pod"),
            ("5 51 kubepods.slice/kubepods-burstable.slice", "is not the directory of a pod"),
            ("5 51 system.slice/ssh.service", "is not the directory of a pod"),
            (f"5 51 /{POD}", "is not the directory of a pod"),
            (f"5 51 ../cgroup/{POD}", "is not the directory of a pod"),
            (f"5 51 kubepods.slice/../{POD}", "is not the directory of a pod"),
            (f"5 51 {POD}/../../../memory.max", "is not the directory of a pod"),
            (f"5 51 {POD.replace('0d9b', 'ffff')}", "it is gone"),
        ],
    )
    def test_what_is_no_order(self, tree: Tree, order: str, says: str) -> None:
        answer = Book(WeightFiles(tree.root)).carry_out(order.encode()).decode()

        assert answer.startswith("error: ")
        assert says in answer
        assert tree.value() == 51

    def test_a_container_runs_idle_and_no_longer(self, tree: Tree) -> None:
        files = WeightFiles(tree.root)
        book = Book(files)

        assert book.carry_out(f"0 64 {CONTAINER}".encode()) == b"ok\n"
        assert (files.runs_idle(CONTAINER), len(book)) == (True, 1)
        assert tree.container_weight.read_text() == "51\n"
        assert book.carry_out(f"64 64 {CONTAINER}".encode()) == b"ok\n"
        assert (files.runs_idle(CONTAINER), len(book)) == (False, 0)
        assert files.read(CONTAINER) == 64

    def test_runs_idle_is_not_known_of_what_has_no_such_file(self, tree: Tree) -> None:
        tree.idle.unlink()
        files = WeightFiles(tree.root)

        assert files.runs_idle(CONTAINER) is None
        assert Book(files).carry_out(f"0 51 {CONTAINER}".encode()) == b"error: it is gone\n"

    def test_what_is_no_text(self, tree: Tree) -> None:
        assert Book(WeightFiles(tree.root)).carry_out(b"5 \xff\xfe").startswith(b"error: ")

    def test_does_not_follow_a_link(self, tree: Tree, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.write_text("1")
        tree.weight.unlink()
        tree.weight.symlink_to(other)

        assert Book(WeightFiles(tree.root)).carry_out(f"77 51 {POD}".encode()).startswith(b"error: ")
        assert other.read_text() == "1"


SLICE = f"pod{UID.replace('-', '_')}.slice"


@pytest.mark.parametrize(
    ("path", "is_pod"),
    [
        (f"kubepods.slice/kubepods-{SLICE}", True),
        (
            f"kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-{SLICE}",
            True,
        ),
        (f"kubepods/besteffort/pod{UID}", True),
        (f"kubelet/kubepods/pod{UID}", True),
        (f"pod{UID}", False),
        (f"burstable/pod{UID}", False),
        (f"user.slice/pod{UID}", False),
        (f"a/b/c/d/kubepods/pod{UID}", False),
    ],
)
def test_where_pods_are(path: str, is_pod: bool) -> None:
    assert layout.is_pod(path) is is_pod


@contextmanager
def writing(tree: Tree, path: Path, agent_user: int, abandoned_seconds: float = 60) -> Iterator[None]:
    """A writer that takes orders at ``path``."""
    stop, told = socket.socketpair()
    with stop, told, Writer(WeightFiles(tree.root), path, agent_user, abandoned_seconds) as writer:
        thread = threading.Thread(target=writer.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            told.send(b"x")
            thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()


@pytest.fixture
def path(tree: Tree, tmp_path: Path) -> Iterator[Path]:
    """Of the socket of a writer that takes orders of this user."""
    path = tmp_path / "weights.sock"
    with writing(tree, path, os.getuid()):
        yield path


class TestSocket:
    def test_orders_are_answered_in_turn(self, tree: Tree, path: Path) -> None:
        orders = WeightOrders(WeightFiles(tree.root), path)

        assert orders.give([order(15), order(6, "kubepods.slice"), order(17)]) == [
            "",
            "'kubepods.slice' is not the directory of a pod",
            "",
        ]
        assert orders.read(POD) == 17
        assert orders.errors == 1
        orders.close()

    def test_many_at_once(self, tree: Tree, path: Path) -> None:
        orders = WeightOrders(WeightFiles(tree.root), path)

        assert orders.give([order(10 + number % 80) for number in range(500)]) == [""] * 500
        assert tree.value() == 10 + 499 % 80
        orders.close()

    def test_an_agent_that_is_started_anew_takes_over(self, tree: Tree, path: Path) -> None:
        first, second = (WeightOrders(WeightFiles(tree.root), path) for _ in range(2))
        first.give([order(15)])

        assert second.give([order(16)]) == [""]
        assert first.give([order(17)])[0].startswith("no answer from the writer of weights")
        assert first.give([order(18)]) == [""], "it calls again"
        for each in (first, second):
            each.close()

    def test_nobody_else_may_give_orders(self, tree: Tree, tmp_path: Path) -> None:
        path = tmp_path / "weights.sock"
        with writing(tree, path, os.getuid() + 1):
            orders = WeightOrders(WeightFiles(tree.root), path)

            assert orders.give([order(15)])[0].startswith("no answer")
            assert tree.value() == 51

    def test_without_a_writer_orders_fail_and_the_agent_goes_on(self, tree: Tree, tmp_path: Path) -> None:
        orders = WeightOrders(WeightFiles(tree.root), tmp_path / "nobody")

        assert orders.give([order(15), order(16)])[1].startswith("no answer from the writer of weights")
        assert orders.errors == 2
        assert orders.give([]) == []


class TestAbandoned:
    """The agent is gone, and nobody comes in its place."""

    def test_the_kubelets_weights_are_put_back(self, tree: Tree, tmp_path: Path) -> None:
        path = tmp_path / "weights.sock"
        with writing(tree, path, os.getuid(), abandoned_seconds=0.1):
            orders = WeightOrders(WeightFiles(tree.root), path)
            orders.give([order(15)])
            assert tree.value() == 15
            orders.close()
            wait_until(
                lambda: tree.value() == KUBELETS, what="the old weight", deadline_seconds=DEADLINE_SECONDS
            )

    def test_not_while_there_is_an_agent(self, tree: Tree, tmp_path: Path) -> None:
        path = tmp_path / "weights.sock"
        with writing(tree, path, os.getuid(), abandoned_seconds=0.0):
            orders = WeightOrders(WeightFiles(tree.root), path)
            for _ in range(20):
                orders.give([order(15)])
                assert tree.value() == 15
            orders.close()

    def test_a_successor_without_an_order_is_one_too(self, tree: Tree, tmp_path: Path) -> None:
        path = tmp_path / "weights.sock"
        with writing(tree, path, os.getuid(), abandoned_seconds=0.5):
            orders = WeightOrders(WeightFiles(tree.root), path)
            orders.give([order(15)])
            orders.close()
            successor = WeightOrders(WeightFiles(tree.root), path)
            assert successor.give([]) == []
            time.sleep(1)  # in which nothing may happen
            assert tree.value() == 15
            successor.close()


class TestBook:
    def test_knows_who_has_another_weight(self, tree: Tree) -> None:
        book = Book(WeightFiles(tree.root))
        for weight, held in ((15, 1), (40, 1), (KUBELETS, 0), (15, 1)):
            book.carry_out(f"{weight} {KUBELETS} {POD}".encode())
            assert len(book) == held
        book.give_back()
        assert (len(book), tree.value()) == (0, KUBELETS)

    def test_gives_back_containers_that_run_idle(self, tree: Tree) -> None:
        book = Book(WeightFiles(tree.root))
        book.carry_out(f"0 64 {CONTAINER}".encode())
        book.give_back()

        assert (tree.idle.read_text()[0], tree.container_weight.read_text()[:2]) == ("0", "64")

    def test_forgets_a_pod_that_is_found_gone(self, tree: Tree) -> None:
        book = Book(WeightFiles(tree.root))
        book.carry_out(f"15 {KUBELETS} {POD}".encode())
        shutil.rmtree(tree.weight.parent)
        assert book.carry_out(f"16 {KUBELETS} {POD}".encode()) == b"error: it is gone\n"
        assert len(book) == 0

    def test_forgets_pods_that_are_gone(self, tree: Tree) -> None:
        book = Book(WeightFiles(tree.root))
        for number in range(MANY_PODS + 1):
            uid = f"{number:08x}{UID[8:]}"
            pod = (
                tree.weight.parent.parent
                / Path(POD.replace(UID.replace("-", "_"), uid.replace("-", "_"))).name
            )
            shutil.copytree(tree.weight.parent, pod)
            assert book.carry_out(f"15 {KUBELETS} {POD.rpartition('/')[0]}/{pod.name}".encode()) == b"ok\n"
            shutil.rmtree(pod)
        assert len(book) == 1, "the last, which was there when it was looked"


def test_ends_after_the_agent_has_given_back_and_opened_nothing_else(tree: Tree, tmp_path: Path) -> None:
    path = tmp_path / "weights.sock"
    program = subprocess.Popen(
        [
            *(sys.executable, "-B", "-c", AUDITED, "weights", f"--cgroup-root={tree.root}"),
            *(f"--socket={path}", f"--agent-user={os.getuid()}"),
        ],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(OPERATOR)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    orders = WeightOrders(WeightFiles(tree.root), path)

    def taken() -> bool:
        if program.poll() is not None or orders.give([order(15)]) != [""]:
            raise NotYet(f"it ended with {program.poll()}" if program.poll() else "no answer")
        return True

    wait_until(taken, what="the first order to be taken", deadline_seconds=DEADLINE_SECONDS)
    assert orders.give([order(15, "system.slice")]) != [""]
    program.terminate()
    assert orders.give([order(51)]) == [""], "it still listens"
    orders.close()
    printed, log = program.communicate(timeout=DEADLINE_SECONDS)
    assert program.returncode == 0
    assert tree.value() == 51
    assert "taking orders of user" in log
    assert not path.exists()
    changed = {what for what in json.loads(printed)["wrote"] if str(path) not in what}
    assert changed == {str(tree.weight)}
