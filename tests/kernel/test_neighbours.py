"""A culprit yields on a real kernel: its weight is in the file, and its neighbour gets what it wants."""

import os
import time
from collections.abc import Iterable, Iterator

import pytest

from e2e.harness.handmade import CGROUP_ROOT, Container, Kubelet
from tenantquota.domain.weights import LIFT
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.containers import Owner
from tenantquota.node.neighbours import Neighbours
from tenantquota.node.processes import Proc
from tenantquota.node.weight_orders import Order
from tenantquota.node.weights import Book, WeightFiles
from tests.kernel.following import PROC_ROOT, Followed

SPIN = "print('ready', flush=True)\nwhile True: pass"
THIRD = """
import time
print("ready", flush=True)
while True:
    end, used = time.monotonic() + 0.1, time.process_time() + 0.03
    while time.process_time() < used: pass
    time.sleep(max(0.0, end - time.monotonic()))
"""
"""Wants 30 % of a CPU."""
REQUEST_MILLI = 50
DEADLINE_SECONDS = 30


class Direct:
    """Weights without a socket in between."""

    def __init__(self) -> None:
        files = WeightFiles(CGROUP_ROOT)
        self._book = Book(files)
        self.version = files.version
        self.read = files.read
        self.runs_idle = files.runs_idle

    def give(self, orders: Iterable[Order]) -> list[str]:
        return [
            self._book.carry_out(f"{each.weight} {each.kubelets} {each.path}".encode())
            .decode()
            .removesuffix("ok\n")
            for each in orders
        ]


class Node:
    def __init__(self, kubelet: Kubelet, followed: Followed) -> None:
        self.followed = followed
        self.weights = Direct()
        self._proc = Proc(PROC_ROOT, ReadErrors())
        self.neighbours = Neighbours(
            "n1", self._proc, self.weights, (os.cpu_count() or 1) * 1000.0, lambda: 10_000
        )
        self.hog, self.small = self.start(kubelet, "hog"), self.start(kubelet, "small")

    def start(self, kubelet: Kubelet, tenant: str) -> Container:
        container = kubelet.start()
        owner = Owner(tenant, tenant, tenant, "agent", cpu_request_milli=REQUEST_MILLI)
        self.followed.owners.pods[container.pod_uid] = owner
        return container

    def weight(self, of: Container) -> int | None:
        return self.weights.read(self.followed[of].pod_path)

    def until(self, check: str) -> None:
        """Ticks once a second until it is so."""
        for _ in range(DEADLINE_SECONDS):
            tick = self.followed.tick()
            self.neighbours.after_tick(tick, list(self.followed.sampler.containers))
            hog, small = self.weight(self.hog), self.weight(self.small)
            assert hog is not None
            assert small is not None
            idle = self.weights.runs_idle(self.followed[self.hog].path)
            served = self.used_milli(self.small) > 250
            equal, yields = hog == small and not idle, small >= LIFT * hog and idle
            if {"equal": equal, "yields": yields, "served": served}[check]:
                return
            time.sleep(1)
        pytest.fail(f"not so within {DEADLINE_SECONDS} s: {check}, {hog} and {small}, {idle=}")

    def used_milli(self, of: Container) -> float:
        """Over the last seconds."""
        rates = self.followed[of].rates(2)
        return 0.0 if rates is None else rates.cpu_milli or 0.0

    def close(self) -> None:
        self._proc.close()


@pytest.fixture
def node(kubelet: Kubelet, followed: Followed) -> Iterator[Node]:
    node = Node(kubelet, followed)
    yield node
    node.close()


def test_the_hog_yields_and_its_neighbour_gets_what_it_wants(node: Node) -> None:
    node.small.python(THIRD)
    node.until("equal")
    for _ in range(2 * (os.cpu_count() or 1)):
        node.hog.python(SPIN)
    node.until("yields")
    node.until("served")

    node.hog.end()
    node.until("equal")
