"""A node second by second: what containers stalled and did in, who is blamed out."""

from typing import Any

import pytest

from tenantquota.api.stalls import Resource
from tenantquota.domain.blame import TOLD_SECONDS
from tenantquota.domain.usage import NANOSECONDS, IoStall, MemoryStall
from tenantquota.node.containers import Container, Owner
from tenantquota.node.pressure import Done, Stalled
from tenantquota.node.sampler import Tick
from tenantquota.node.stalls import Harming, Stalls
from tests.unit.node.samples import sample

MI = 2**20
NODE_BYTES = 2 * 2**30


class Node:
    """Containers of one pod each, that request 256 MiB."""

    def __init__(self, *tenants: str) -> None:
        self.at_ns = 100 * NANOSECONDS
        self.gone: list[Container] = []
        self.containers = {tenant: self._start(tenant) for tenant in tenants}
        self.io = {tenant: [0, 0, 0] for tenant in tenants}
        self.disks = dict.fromkeys(tenants, "8:0")
        self.memory = {tenant: [0, 0] for tenant in tenants}
        self.done = {"8:0": [0, 0], "8:16": [0, 0]}
        self.reclaims = [0, 0]
        self.readable = True
        self.stalls = Stalls("n1", self, NODE_BYTES)  # type: ignore[arg-type]

    def io_done(self) -> Done | None:
        return {disk: (done[0], done[1]) for disk, done in self.done.items()} if self.readable else None

    def reclaimed(self) -> tuple[int, int] | None:
        return (self.reclaims[0], self.reclaims[1]) if self.readable else None

    def _start(self, tenant: str) -> Container:
        owner = Owner(tenant, tenant, "agent", "main", memory_request_bytes=256 * MI)
        return Container(tenant, f"uid-{tenant}", owner, self.at_ns)

    def second(
        self, *, stalled: bool = True, look: bool = True, system_bytes: int = 0, **did: tuple[float, int, int]
    ) -> None:
        """
        Args:
            look: the containers' files are read in it.
            system_bytes: of I/O that is nobody's.
            did: by tenant, ms stalled for I/O, operations and bytes.
        """
        self.at_ns += NANOSECONDS
        self.done["8:0"][1] += system_bytes
        for tenant, container in self.containers.items():
            stalled_ms, operations, size_bytes = did.get(tenant, (0.0, 0, 0))
            counters = self.io[tenant]
            for index, amount in enumerate((round(stalled_ms * 1000), operations, size_bytes)):
                counters[index] += amount
            disk = self.disks[tenant]
            self.done[disk][0] += operations
            self.done[disk][1] += size_bytes
            if look:
                done = {disk: (counters[1], counters[2])}
                container.io_stalls.append(IoStall(self.at_ns, counters[0], done))
        self._tick(Stalled(io=stalled), look=look)

    def memory_second(
        self,
        *,
        reclaims: bool = True,
        at_allocatable: bool = False,
        stalled: bool = True,
        look: bool = True,
        **did: tuple[float, int, int],
    ) -> None:
        """
        Args:
            at_allocatable: all pods together are at their limit.
            did: by tenant, ms stalled for memory, MiB held, and how often its own limit was hit.
        """
        self.at_ns += NANOSECONDS
        self.reclaims[0] += 1000 * reclaims
        self.reclaims[1] += at_allocatable
        for tenant, container in self.containers.items():
            stalled_ms, held_mib, hits = did.get(tenant, (0.0, 100, 0))
            counters = self.memory[tenant]
            counters[0] += round(stalled_ms * 1000)
            counters[1] += hits
            container.samples.append(sample(self.at_ns / NANOSECONDS, memory_usage_bytes=held_mib * MI))
            if look:
                container.memory_stalls.append(MemoryStall(self.at_ns, *counters))
        self._tick(Stalled(memory=stalled), look=look)

    def _tick(self, stalled: Stalled, *, look: bool) -> None:
        of = list(self.containers.values())
        self.stalls.after_tick(
            Tick(0, self.at_ns, 0.0, [], self.gone, stalled=stalled, looked_at=of if look else ()), of
        )
        self.gone = []

    def calm(self, seconds: int = 30) -> None:
        """Small does 40 operations a second, each of which takes 1 ms; its files are read at both ends."""
        for number in range(seconds + 1):
            self.second(stalled=False, look=number in {0, seconds}, small=(40, 40, 40 * 4096))

    def noise(self, seconds: int = 1) -> None:
        """A hog streams, and small stalls 8 ms for each operation."""
        for _ in range(seconds):
            self.second(hog=(950, 200, 100 * MI), small=(400, 50, 50 * 4096))

    @property
    def harming(self) -> list[Harming]:
        return self.stalls.harming()


@pytest.fixture
def node() -> Node:
    node = Node("hog", "small")
    node.calm()
    return node


def audits(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.audit for record in caplog.records if hasattr(record, "audit")]


class TestIo:
    def test_the_culprit_is_told_in_the_third_second(self, node: Node) -> None:
        node.noise(2)
        assert node.harming == []
        node.noise()

        (harming,) = node.harming
        assert (harming.tenant, harming.resource, harming.victims) == ("hog", Resource.IO, ("small",))
        assert harming.since == node.at_ns / NANOSECONDS
        assert harming.message == (
            "hog made small stall 400 ms/s for I/O, 8.0 times its quiet level of 50.0 ms/s, on n1, doing"
            " 100.0 MiB/s in 200 operations/s, 98% of disk 8:0's I/O with a share of 50%"
        )
        assert node.stalls.findings == {Resource.IO: 1, Resource.MEMORY: 0}

    def test_is_written_to_the_audit_log_once(self, node: Node, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        node.noise(10)

        (audit,) = audits(caplog)
        assert (audit["rule"], audit["resource"], audit["tenant"]) == ("NeighbourHarmed", "io", "small")
        assert [each["tenant"] for each in audit["culprits"]] == ["hog"]
        assert audit["window"] == {"stalledMs": pytest.approx(400), "quietMs": pytest.approx(50)}

    def test_ends_some_seconds_after_the_noise(self, node: Node) -> None:
        node.noise(5)
        node.calm(int(TOLD_SECONDS) - 2)
        assert node.harming != []
        node.calm(2)

        assert node.harming == []

    def test_without_a_quiet_level_nobody_is_blamed(self) -> None:
        node = Node("hog", "small")
        node.noise(10)

        assert node.harming == []

    def test_a_quiet_level_is_learned_while_the_victim_is_alone_on_a_busy_disk(self) -> None:
        node = Node("hog", "small")
        for _ in range(6):
            node.second(small=(500, 500, 500 * 4096))
        node.noise(3)

        (harming,) = node.harming
        assert "8.0 times its quiet level of 50.0 ms/s" in harming.message

    def test_nothing_is_learned_beside_others(self) -> None:
        node = Node("hog", "small")
        node.noise(6)

        assert "small" not in node.stalls._io.quiet

    def test_a_look_before_the_stretch_is_not_held_against_anyone(self, node: Node) -> None:
        """What it says is of half a minute."""
        for _ in range(3):
            node.second(hog=(950, 200, 100 * MI), small=(400, 50, 50 * 4096))
            node.calm(5)

        assert node.harming == []

    def test_nothing_is_learned_from_a_look_that_spans_a_stall(self, node: Node) -> None:
        before = node.stalls._io.quiet["small"]
        for _ in range(3):
            node.second(look=False, hog=(950, 200, 100 * MI), small=(900, 50, 50 * 4096))
        node.second(stalled=False, small=(40, 40, 40 * 4096))

        assert node.stalls._io.quiet["small"] == before

    def test_a_busy_victim_is_blamed_on_nobody(self, node: Node) -> None:
        """It begins to do far more itself, beside another one that does little."""
        for _ in range(10):
            node.second(hog=(300, 30, MI), small=(1000, 900, 80 * MI))

        assert node.harming == []

    def test_the_system_is_nobody_to_blame(self, node: Node) -> None:
        for _ in range(10):
            node.second(system_bytes=400 * MI, hog=(950, 50, 20 * MI), small=(400, 50, 50 * 4096))

        assert node.harming == []

    def test_who_is_busy_on_another_disk_is_in_nobodys_way(self, node: Node) -> None:
        """As with volumes, of which each tenant has its own: small stalls for what its own one can't do."""
        node.disks["hog"] = "8:16"
        node.noise(10)

        assert node.harming == []

    def test_a_victim_that_gets_nothing_done_waits_for_what_it_used(self, node: Node) -> None:
        for _ in range(3):
            node.second(hog=(950, 200, 100 * MI), small=(1000, 0, 0))

        assert [(each.tenant, each.victims) for each in node.harming] == [("hog", ("small",))]

    def test_nobody_is_blamed_for_a_node_whose_io_is_not_known(self, node: Node) -> None:
        node.readable = False
        node.noise(5)

        assert node.harming == []

    def test_nothing_is_remembered_of_tenants_that_are_gone(self, node: Node) -> None:
        node.noise(5)
        node.gone += node.containers.values()
        node.containers.clear()
        for _ in range(30):
            node.second(stalled=False)

        assert node.harming == []
        assert node.stalls._io.quiet == {}
        assert node.stalls._state.seen == {}


class TestMemory:
    @pytest.fixture
    def node(self) -> Node:
        node = Node("hog", "small")
        node.memory_second(stalled=False)
        node.memory_second(stalled=False, look=False)
        node.at_ns += 30 * NANOSECONDS
        node.memory_second(stalled=False)
        return node

    def test_who_is_over_its_request_while_the_node_reclaims(self, node: Node) -> None:
        for _ in range(3):
            node.memory_second(hog=(200, 900, 0), small=(120, 100, 0))

        (harming,) = node.harming
        assert (harming.tenant, harming.resource, harming.victims) == ("hog", Resource.MEMORY, ("small",))
        assert harming.message == (
            "hog made small stall 120 ms/s for memory, 120.0 times its quiet level of 0.0 ms/s, on n1,"
            " holding 900 MiB with 256 MiB requested, on a node that reclaims memory"
        )

    def test_a_tenant_at_its_own_limit_harms_nobody_by_that(self, node: Node) -> None:
        """The node's threads stall, and the node has memory enough."""
        for _ in range(10):
            node.memory_second(reclaims=False, hog=(900, 900, 50), small=(120, 100, 0))

        assert node.harming == []

    def test_while_all_pods_together_are_at_the_limit_of_the_kubelet(self, node: Node) -> None:
        """The node itself has memory left, for the system."""
        for _ in range(3):
            node.memory_second(reclaims=False, at_allocatable=True, hog=(200, 900, 0), small=(120, 100, 0))

        assert [each.tenant for each in node.harming] == ["hog"]

    def test_a_victim_at_its_own_limit_is_none(self, node: Node) -> None:
        for _ in range(10):
            node.memory_second(hog=(200, 900, 0), small=(900, 100, 50))

        assert node.harming == []

    def test_nobody_within_its_request_is_blamed(self, node: Node) -> None:
        for _ in range(10):
            node.memory_second(hog=(200, 250, 0), small=(120, 100, 0))

        assert node.harming == []

    def test_every_pod_counts_with_its_request_once(self, node: Node) -> None:
        """Two containers of one pod hold 500 MiB together, which the pod requested."""
        for name in ("hog", "second"):
            owner = Owner("hog", "hog", "agent", name, memory_request_bytes=500 * MI)
            node.containers[name] = Container(name, "uid-hog", owner, node.at_ns)
            node.memory[name] = [0, 0]
        for _ in range(5):
            node.memory_second(hog=(200, 250, 0), second=(0, 250, 0), small=(120, 100, 0))

        assert node.harming == []

    def test_whether_the_node_reclaims_must_be_known(self, node: Node) -> None:
        node.readable = False
        for _ in range(10):
            node.memory_second(hog=(200, 900, 0), small=(120, 100, 0))

        assert node.harming == []

    def test_io_and_memory_harm_of_one_tenant(self, node: Node) -> None:
        node.calm()
        for _ in range(4):
            node.memory_second(hog=(200, 900, 0), small=(120, 100, 0))
        node.noise(4)

        assert [(each.tenant, each.resource) for each in node.harming] == [
            ("hog", Resource.IO),
            ("hog", Resource.MEMORY),
        ]


def test_where_the_kernel_tells_nothing_nothing_is_said() -> None:
    node = Node("hog", "small")
    node.stalls = Stalls("n1", None, NODE_BYTES)
    node.calm()
    node.noise(10)

    assert not node.stalls.sees
    assert node.harming == []
