"""A node second by second: containers' counters in, weights and holdings out."""

from collections.abc import Iterable
from typing import Any

import pytest

from tenantquota.domain.capping import AFTER_SECONDS, FIRST_PATIENCE_SECONDS
from tenantquota.domain.idling import IDLE
from tenantquota.domain.runtime_work import MOST_SECONDS
from tenantquota.domain.usage import NANOSECONDS, Limits, RunDelay
from tenantquota.domain.weights import LIFT, USE_FACTOR, V1_LEAST, kubelet_weight
from tenantquota.domain.yielding import QUIET_SECONDS
from tenantquota.node.caps import CappedContainer
from tenantquota.node.containers import Container, Owner
from tenantquota.node.neighbours import Holding, Neighbours
from tenantquota.node.sampler import Tick
from tenantquota.node.weight_orders import Order
from tests.unit.node.samples import sample

CAPACITY_MS = 2000.0
USED_WEIGHT = kubelet_weight(USE_FACTOR * 64, version=1)
"""Of 60 ms a second, in powers of two."""
SHARES = 51
"""The kubelet's, for a request of 50m."""
FEW_SHARES = 8
"""For one of 8m."""


class Files:
    """The weights of pods: what ``WeightOrders`` does, without a kernel."""

    version = 1

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.orders: list[Order] = []
        self.calls = 0
        self.broken = False
        self.has_idle = True

    def read(self, path: str) -> int | None:
        return self.values.get(path)

    def runs_idle(self, path: str) -> bool | None:
        return self.values[path] == IDLE if self.has_idle and path in self.values else None

    def give(self, orders: Iterable[Order]) -> list[str]:
        given = list(orders)
        self.calls += 1
        if self.broken:
            return ["no answer"] * len(given)
        self.orders += given
        self.values.update({each.path: each.weight for each in given})
        return [""] * len(given)


class Node:
    """Containers of one pod each; ``second`` gives what they did, by tenant."""

    def __init__(
        self, *tenants: str, enforces: bool = True, request_milli: int = 50, idle_groups: bool = True
    ) -> None:
        self.at_ns = 100 * NANOSECONDS
        self.idle_ms = 0.0
        self.spare_milli = 700
        self.files = Files()
        self.files.has_idle = idle_groups
        self.gone: list[Container] = []
        self.containers = {tenant: self._start(tenant, enforces, request_milli) for tenant in tenants}
        self.counters = {tenant: [0, 0, 0, 0] for tenant in tenants}
        self.successor()
        for _ in range(2):
            self.second(CAPACITY_MS, **dict.fromkeys(tenants, (1, 0, 1)))

    def _start(self, tenant: str, enforces: bool, request_milli: int) -> Container:
        owner = Owner(tenant, tenant, "agent", "main", enforces=enforces, cpu_request_milli=request_milli)
        path = f"kubepods/burstable/pod-{tenant}"
        self.files.values[path] = self.files.values[f"{path}/{tenant}"] = kubelet_weight(
            request_milli, version=1
        )
        return Container(tenant, f"uid-{tenant}", owner, self.at_ns, f"{path}/{tenant}")

    def successor(self) -> None:
        """Another agent, which knows nothing."""
        self.neighbours = Neighbours(
            "n1", self, self.files, CAPACITY_MS, lambda: self.spare_milli, lambda: self.at_ns + 3_000_000
        )

    def cpu_idle_ms(self) -> float:
        return self.idle_ms

    def second(self, idle_ms: float = 0.0, *, contended: bool = True, **did: tuple[float, ...]) -> None:
        """
        Args:
            did: by tenant, ms of CPU used, ms waited, dispatches, and whether throttled (1).
        """
        self.at_ns += NANOSECONDS
        self.idle_ms += idle_ms
        for tenant, container in self.containers.items():
            used_ms, waited_ms, dispatches, throttled = (*did.get(tenant, ()), 0.0, 0.0, 0.0, 0.0)[:4]
            counters = self.counters[tenant]
            for index, amount in enumerate((used_ms * 1e6, waited_ms * 1e6, dispatches, throttled)):
                counters[index] += round(amount)
            usage_ns, run_delay_ns, timeslices, nr_throttled = counters
            container.samples.append(
                sample(self.at_ns / NANOSECONDS, cpu_usage_ns=usage_ns, nr_throttled=nr_throttled)
            )
            if dispatches:
                container.run_delays.append(RunDelay(self.at_ns, run_delay_ns, timeslices))
        tick = Tick(0, self.at_ns, 0.0, [], self.gone, contended)
        self.gone = []
        self.neighbours.after_tick(tick, list(self.containers.values()))

    def calm(self, seconds: int = 1) -> None:
        """Small waits 8 µs each time, and half the node is idle."""
        for _ in range(seconds):
            self.second(1000, contended=False, small=(50, 8, 1000))

    def noise(self, seconds: int = 1) -> None:
        """A hog takes all that it can get, and small waits 40 µs each time."""
        for _ in range(seconds):
            self.second(hog=(1900, 4000, 600), small=(60, 40, 1000))

    @property
    def holdings(self) -> list[Holding]:
        return self.neighbours.holdings()

    def weight(self, tenant: str) -> int:
        return self.files.values[f"kubepods/burstable/pod-{tenant}"]

    def container_weight(self, tenant: str) -> int:
        return self.files.values[self.containers[tenant].path]

    def change(self, tenant: str, *, resizing: bool = False, starting: bool = False) -> None:
        container = self.containers[tenant]
        container.owner = container.owner._replace(resizing=resizing, starting=starting)

    def limit(self, tenant: str, milli: int) -> None:
        self.containers[tenant].limits = Limits(self.at_ns, milli * 100, 100_000, None)

    def replace(self, tenant: str) -> None:
        """Its container by another one, which is about to start."""
        former = self.containers[tenant]
        owner = former.owner._replace(starting=True)
        self.containers[tenant] = Container(
            "new", former.pod_uid, owner, self.at_ns, f"{former.pod_path}/new"
        )
        self.files.values[self.containers[tenant].path] = SHARES
        del self.files.values[former.path]


def without_room() -> Node:
    """One where nobody can be lifted."""
    node = Node("hog", "small", request_milli=8)
    node.spare_milli = 0
    node.calm(5)
    return node


@pytest.fixture
def node() -> Node:
    node = Node("hog", "small")
    node.calm(5)
    return node


def audits(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.audit for record in caplog.records if hasattr(record, "audit")]


class TestYield:
    def test_the_hog_yields_in_the_first_second(self, node: Node) -> None:
        node.noise()

        assert [each.tenant for each in node.holdings] == ["hog"]
        assert node.weight("small") >= LIFT * node.weight("hog")
        assert node.weight("hog") < SHARES

    def test_all_is_given_back(self, node: Node) -> None:
        node.noise(3)
        node.calm(int(QUIET_SECONDS) + 1)

        assert node.holdings == []
        assert (node.weight("hog"), node.weight("small")) == (SHARES, SHARES)

    def test_nothing_is_written_while_all_is_calm(self, node: Node) -> None:
        node.calm(100)

        assert node.files.orders == []

    def test_a_kubelets_rewrite_is_put_right(self, node: Node) -> None:
        node.noise(2)
        held = node.weight("hog")
        node.files.values["kubepods/burstable/pod-hog"] = SHARES
        node.noise()

        assert node.weight("hog") == held

    def test_the_writer_hears_of_the_agent_as_long_as_something_is_changed(self, node: Node) -> None:
        """Or else it would put the kubelet's weights back."""
        node.noise(10)
        assert node.files.calls == 10
        node.calm(60)
        calls = node.files.calls
        node.calm(60)
        assert node.files.calls == calls

    def test_what_could_not_be_written_is_tried_again(self, node: Node) -> None:
        node.files.broken = True
        node.noise()
        assert node.weight("hog") == SHARES
        node.files.broken = False
        node.noise()

        assert node.weight("hog") < SHARES

    def test_throttled_by_its_own_quota_it_is_not_blamed(self, node: Node) -> None:
        """However long its threads wait: the kernel counts the throttling as waiting."""
        for _ in range(5):
            node.second(hog=(200, 9000, 50, 1), small=(60, 40, 1000), idle_ms=0)

        assert node.holdings == []
        assert node.files.orders == []

    def test_tenants_that_are_observed_are_told_and_not_touched(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        observed = Node("hog", "small", enforces=False, idle_groups=False)
        enforced = Node("hog", "small", idle_groups=False)
        records = []
        for node in (observed, enforced):
            caplog.clear()
            node.calm(5)
            node.noise(3)
            node.calm(10)
            records.append([(each["rule"], each["tenant"], each["window"]) for each in audits(caplog)])

        assert records[0] == records[1], "the decisions are the same"
        assert [rule for rule, *_ in records[0]] == [
            "TenantYields",
            "NeighbourHarmed",
            "TenantNoLongerYields",
        ]
        assert audits(caplog)[0]["tookSeconds"] == 0.003
        assert observed.files.orders == []
        assert enforced.files.orders != []


class TestHarm:
    @pytest.fixture(autouse=True)
    def before_idle_groups(self, node: Node) -> None:
        """An older kernel, where weights alone free nobody."""
        node.files.has_idle = False

    def test_it_is_harm_when_it_was_seen_twice(self, node: Node) -> None:
        node.noise()
        assert node.holdings[0].victims == ()
        assert node.holdings[0].message == (
            "hog is over its share of n1, which is full, wanting 5900 ms/s and using 1900 of its share of"
            " 1860 ms/s"
        )
        node.noise()

        assert node.holdings[0].victims == ("small",)
        assert node.holdings[0].message.startswith(
            "hog made small wait 40 µs a dispatch, 5.0 times its quiet"
        )
        assert node.neighbours.findings == 1

    def test_a_harm_that_comes_and_goes_is_one(self, node: Node) -> None:
        told = []
        for second in range(60):
            small = (60, 90, 1000) if second % 6 in (0, 1) else (60, 8, 1000)
            node.second(hog=(1900, 4000, 600), small=small)
            told.append(node.holdings[0].victims)

        assert told == [(), *[("small",)] * 59]
        assert node.neighbours.findings == 1

    def test_each_culprit_is_told_of_itself(self) -> None:
        node = Node("hog", "sow", "small", idle_groups=False)
        node.calm(5)
        for _ in range(2):
            node.second(hog=(900, 4000, 600), sow=(900, 3000, 600), small=(60, 40, 1000))

        first_words = [each.message.partition(" made")[0] for each in node.holdings]
        assert first_words == ["hog (and 1 more)", "sow (and 1 more)"]

    def test_who_takes_nothing_is_not_to_blame(self) -> None:
        node = Node("hog", "sow", "small", idle_groups=False)
        node.calm(5)
        node.second(hog=(900, 4000, 600), sow=(900, 3000, 600), small=(60, 8, 1000))
        for _ in range(2):
            node.second(hog=(1800, 4000, 600), sow=(20, 3000, 600), small=(60, 40, 1000))

        assert [(each.tenant, each.victims) for each in node.holdings] == [("hog", ("small",)), ("sow", ())]

    def test_who_yields_is_no_victim_of_another_who_does(self) -> None:
        node = Node("hog", "sow", "small", idle_groups=False)
        for _ in range(5):
            node.second(1000, contended=False, small=(50, 8, 1000), sow=(50, 8, 1000))
        node.second(hog=(900, 4000, 600), sow=(900, 3000, 600), small=(60, 8, 1000))
        for _ in range(20):
            node.second(hog=(1800, 4000, 600), sow=(20, 3000, 600), small=(60, 8, 1000))

        assert [(each.tenant, each.victims, each.caps) for each in node.holdings] == [
            ("hog", (), ()),
            ("sow", (), ()),
        ]

    def test_harm_is_judged_from_the_onset_on(self, node: Node) -> None:
        for _ in range(30):
            node.second(900, small=(60, 8, 1000))
        node.noise(2)

        assert node.holdings[0].victims == ("small",)

    def test_a_harm_of_long_ago_is_none_of_today(self, node: Node) -> None:
        node.noise(2)
        node.calm(100)
        node.second(hog=(1900, 4000, 600))

        assert [each.victims for each in node.holdings] == [()]


class TestLift:
    @pytest.fixture
    def node(self) -> Node:
        """Of pods that request next to nothing."""
        node = Node("hog", "small", "idle", request_milli=5)
        node.calm(5)
        return node

    def test_who_waits_is_lifted_and_nobody_else(self, node: Node) -> None:
        node.noise()

        assert (node.weight("hog"), node.weight("small")) == (V1_LEAST, USED_WEIGHT)
        assert node.weight("idle") == 5

    def test_by_the_most_that_it_used_since(self, node: Node) -> None:
        node.noise()
        node.second(hog=(1700, 4000, 600), small=(250, 40, 1000))
        node.noise(5)

        assert node.weight("small") == kubelet_weight(USE_FACTOR * 256, version=1)

    def test_what_it_used_in_an_earlier_noise_is_forgotten(self, node: Node) -> None:
        node.second(hog=(1700, 4000, 600), small=(250, 40, 1000))
        node.calm(60)
        node.noise()

        assert node.weight("small") == USED_WEIGHT

    def test_by_no_more_than_there_is_room_for(self, node: Node) -> None:
        node.spare_milli = 10
        node.noise()

        assert (node.weight("hog"), node.weight("small")) == (V1_LEAST, 15)

    def test_stays_while_the_victim_works_and_ends_with_the_hold(self, node: Node) -> None:
        for _ in range(30):
            node.second(hog=(1900, 4000, 600), small=(60, 0.5, 1000))
            node.noise()
            assert node.weight("small") == USED_WEIGHT
        orders = len(node.files.orders)
        assert orders == 3, "each was written once"
        node.calm(10)

        assert (node.weight("hog"), node.weight("small")) == (5, 5)


class TestIdle:
    """Who yields runs idle besides; ``cpu.idle`` reads as weight 0 here."""

    def test_who_yields_runs_idle_and_nobody_else(self, node: Node) -> None:
        node.noise()

        assert (node.container_weight("hog"), node.container_weight("small")) == (IDLE, SHARES)

    def test_afterwards_it_has_the_weight_that_it_had(self, node: Node) -> None:
        node.files.values[node.containers["hog"].path] = 77
        node.noise()
        node.calm(10)

        assert node.container_weight("hog") == 77

    def test_not_while_it_is_resized(self, node: Node) -> None:
        node.noise()
        node.change("hog", resizing=True)
        node.noise()
        assert (node.container_weight("hog"), node.weight("hog")) == (SHARES, SHARES)
        node.change("hog", resizing=False)
        node.noise()

        assert (node.container_weight("hog"), node.weight("hog")) == (IDLE, V1_LEAST)

    def test_a_resize_without_end_leaves_the_least_weight(self, node: Node) -> None:
        node.noise()
        node.change("hog", resizing=True)
        node.noise(int(MOST_SECONDS))
        assert node.weight("hog") == SHARES
        node.noise()

        assert (node.container_weight("hog"), node.weight("hog")) == (SHARES, V1_LEAST)

    def test_not_while_it_starts(self, node: Node) -> None:
        node.noise()
        node.replace("hog")
        node.noise(2)
        assert (node.container_weight("hog"), node.weight("hog")) == (SHARES, SHARES)
        node.change("hog", starting=False)
        node.noise()

        assert (node.container_weight("hog"), node.weight("hog")) == (IDLE, V1_LEAST)

    def test_a_start_without_end_leaves_the_least_weight(self, node: Node) -> None:
        node.noise()
        node.replace("hog")
        node.noise(int(MOST_SECONDS))

        assert (node.container_weight("hog"), node.weight("hog")) == (SHARES, V1_LEAST)

    def test_one_of_many_tenants_that_starts_waits_for_its_lift_as_ever(self, node: Node) -> None:
        node.noise()
        node.change("small", starting=True)
        node.noise(2)

        assert node.weight("small") == USED_WEIGHT

    def test_not_while_it_is_capped_which_is_a_resize(self) -> None:
        node = without_room()
        node.noise(int(AFTER_SECONDS))
        assert node.container_weight("hog") == IDLE
        node.noise()

        assert node.holdings[0].caps
        assert (node.container_weight("hog"), node.weight("hog")) == (FEW_SHARES, V1_LEAST)

    def test_again_once_its_cgroup_holds_the_cap(self) -> None:
        node = without_room()
        node.noise(int(AFTER_SECONDS) + 1)
        (cap,) = node.holdings[0].caps
        node.limit("hog", cap.cpu_limit_milli + 10)
        node.noise()
        assert node.container_weight("hog") == FEW_SHARES
        node.limit("hog", cap.cpu_limit_milli)
        node.noise()

        assert node.holdings[0].caps
        assert node.container_weight("hog") == IDLE

    def test_whoever_is_only_observed_does_not(self) -> None:
        node = Node("hog", "small", enforces=False)
        node.noise(3)

        assert node.container_weight("hog") == SHARES

    def test_a_kernel_without_it_has_weights_alone(self, node: Node) -> None:
        node.files.has_idle = False
        node.noise(3)

        assert (node.container_weight("hog"), node.weight("hog")) == (SHARES, V1_LEAST)

    def test_a_container_that_starts_meanwhile_does_too(self, node: Node) -> None:
        node.noise()
        node.files.values[node.containers["hog"].path] = SHARES
        node.noise()

        assert node.container_weight("hog") == IDLE

    def test_one_that_is_no_tenants_any_more_is_given_back(self, node: Node) -> None:
        node.noise()
        del node.containers["hog"]
        node.calm()

        assert (node.weight("hog"), node.files.values["kubepods/burstable/pod-hog/hog"]) == (SHARES, SHARES)

    def test_one_that_is_gone_gets_no_order(self, node: Node) -> None:
        node.noise()
        path = node.containers.pop("hog").path
        del node.files.values[path], node.files.values[path.rpartition("/")[0]]
        orders = len(node.files.orders)
        node.calm()

        assert {order.path for order in node.files.orders[orders:]} == {"kubepods/burstable/pod-small"}

    def test_ends_with_the_agent(self, node: Node) -> None:
        node.noise()
        node.neighbours.give_back()

        assert (node.container_weight("hog"), node.weight("hog")) == (SHARES, SHARES)

    def test_a_successor_ends_what_was_left(self, node: Node) -> None:
        node.noise()
        node.successor()
        node.calm(3)

        assert node.container_weight("hog") == SHARES

    def test_what_could_not_be_ended_is_tried_again(self, node: Node) -> None:
        node.noise()
        node.files.broken = True
        node.calm(10)
        assert node.container_weight("hog") == IDLE
        node.files.broken = False
        node.calm()

        assert node.container_weight("hog") == SHARES

    def test_the_audit_record_tells(self, node: Node, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        node.noise()
        node.calm(10)

        assert [each["idleContainers"] for each in audits(caplog) if "Yield" in each["rule"]] == [1, 0]


class TestCap:
    HALF_MILLI = 980
    """Of what the system leaves two tenants of two CPUs."""
    CAPPED = (CappedContainer("uid-hog", "main", HALF_MILLI),)

    @pytest.fixture(autouse=True)
    def before_idle_groups(self, node: Node) -> None:
        """An older kernel, where weights alone free nobody."""
        node.files.has_idle = False

    def test_who_is_waited_for_though_it_yields_is_capped(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS))
        assert node.holdings[0].caps == ()
        node.noise()

        assert node.holdings[0].caps == self.CAPPED
        assert node.holdings[0].message.startswith("hog made small wait")

    def test_nobody_is_named_or_capped_whom_its_victim_hardly_feels(self, node: Node) -> None:
        for _ in range(30):
            node.second(hog=(1900, 4000, 600), small=(900, 40, 1000))

        assert node.holdings[0].victims == ()
        assert node.holdings[0].caps == ()

    def test_who_loses_little_is_named_and_nobody_is_capped_for_it(self, node: Node) -> None:
        for _ in range(30):
            node.second(hog=(1900, 4000, 600), small=(60, 26, 1000))

        assert node.holdings[0].victims == ("small",)
        assert node.holdings[0].caps == ()

    def test_the_reason_is_one_that_loses_much_for_what_it_uses(self) -> None:
        node = Node("hog", "small", "worker", idle_groups=False)
        for _ in range(5):
            node.second(1000, contended=False, small=(50, 8, 1000), worker=(500, 8, 1000))
        for _ in range(int(AFTER_SECONDS) + 1):
            node.second(hog=(1400, 4000, 600), small=(60, 40, 1000), worker=(500, 40, 1000))

        assert node.holdings[0].caps != ()
        assert "made small wait" in node.holdings[0].message

    def test_nobody_is_capped_for_a_second_in_which_requests_coincide(self, node: Node) -> None:
        for second in range(60):
            small = (60, 80, 1000) if second % 10 == 0 else (60, 8, 1000)
            node.second(hog=(1800, 4000, 600), small=small)
            caps = [each.caps for each in node.holdings]
            assert caps == [()], f"after {second} s"

    def test_losses_to_one_who_yielded_before_are_forgotten(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS) + 1)
        node.calm(60)
        node.noise()

        assert [each.caps for each in node.holdings] == [()]
        assert {loss.seconds for loss in node.neighbours._harms._losses.values()} == {1}

    def test_nobody_is_capped_by_whom_yielding_frees_the_others(self, node: Node) -> None:
        node.noise(2)
        for _ in range(30):
            node.second(hog=(1800, 4000, 600), small=(60, 8, 1000))

        assert [each.caps for each in node.holdings] == [()]

    def test_nobody_is_capped_for_what_the_system_takes(self, node: Node) -> None:
        for _ in range(30):
            node.second(hog=(800, 4000, 600), small=(60, 40, 1000))  # 1140 of 2000 ms are others'

        assert [each.caps for each in node.holdings] == [()]

    def test_it_goes_on_yielding_while_its_limit_leaves_the_node_idle(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS) + 1)
        for _ in range(3):
            node.second(900, contended=False, hog=(1000, 4000, 600, 1), small=(60, 8, 1000))

        assert node.holdings[0].caps == self.CAPPED
        assert node.weight("small") >= LIFT * node.weight("hog")

    def test_it_is_given_back_in_steps(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS) + 1)
        for _ in range(int(FIRST_PATIENCE_SECONDS) + 1):
            node.second(900, contended=False, hog=(1000, 4000, 600, 1), small=(60, 8, 1000))

        assert node.holdings[0].caps == (CappedContainer("uid-hog", "main", 1470),)

    def test_it_ends_with_the_yield(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS) + 1)
        node.calm(int(QUIET_SECONDS) + 1)

        assert node.holdings == []

    def test_whoever_only_would_yield_is_not_capped(self) -> None:
        node = Node("hog", "small", enforces=False)
        node.calm(5)
        node.noise(30)

        assert [each.caps for each in node.holdings] == [()]

    def test_what_is_waited_while_somebody_yields_is_no_quiet_level(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS) + 1)
        for _ in range(60):
            node.second(900, contended=False, hog=(1000, 4000, 600, 1), small=(60, 40, 1000))
        node.noise(2)

        assert "of 8 µs" in node.holdings[0].message

    def test_each_change_is_one_record(self, node: Node, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        node.noise(30)
        node.calm(int(QUIET_SECONDS) + 1)

        capped, uncapped = (each for each in audits(caplog) if "Capped" in each["rule"])
        assert (capped["rule"], capped["tenant"], capped["oldMilli"]) == ("TenantCapped", "hog", {})
        assert capped["newMilli"] == {"uid-hog/main": self.HALF_MILLI} == uncapped["oldMilli"]
        assert (uncapped["rule"], uncapped["newMilli"]) == ("TenantNoLongerCapped", {})


class TestLatencySensitive:
    """Whose neighbours get what they request, as long as it is at work."""

    REQUESTED = (CappedContainer("uid-hog", "main", 100),)

    @pytest.fixture
    def node(self) -> Node:
        node = Node("hog", "small")
        small = node.containers["small"]
        small.owner = small.owner._replace(latency_sensitive=True)
        node.calm(5)
        return node

    def test_who_yields_beside_it_gets_what_it_requests(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS))
        assert node.holdings[0].caps == ()
        node.noise()

        assert node.holdings[0].caps == self.REQUESTED
        assert node.holdings[0].victims == ()
        assert node.holdings[0].message == (
            "small is latency-sensitive and at work on n1, hog wanting 5900 ms/s and using 1900 of its share"
            " of 1860 ms/s"
        )

    def test_stays_while_both_want_cpu(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS) + 1)
        for _ in range(60):
            node.second(1700, contended=False, hog=(100, 0, 600, 1), small=(60, 8, 1000))

        assert node.holdings[0].caps == self.REQUESTED

    def test_not_while_it_rests(self, node: Node) -> None:
        for _ in range(30):
            node.second(hog=(1900, 4000, 600), small=(0, 0, 0))

        assert [each.caps for each in node.holdings] in ([], [()])

    def test_is_given_back_once_it_rests(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS) + 1)
        for _ in range(int(FIRST_PATIENCE_SECONDS) + 1):
            node.second(1900, contended=False, hog=(100, 0, 600, 1))

        assert [each.caps for each in node.holdings] == [()]

    def test_one_that_wakes_now_and_then_is_not_at_work(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS) + 1)
        for _ in range(int(FIRST_PATIENCE_SECONDS) + 1):
            node.second(1900, contended=False, hog=(100, 0, 600, 1), small=(1, 0, 10))
        for _ in range(60):
            node.second(hog=(1990, 4000, 600), small=(1, 3, 10))
            assert [each.caps for each in node.holdings] == [()]

    def test_ends_with_the_noise(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS) + 1)
        node.calm(int(QUIET_SECONDS) + 1)

        assert node.holdings == []


class TestRelief:
    """Whom weights free waits for others: nobody is named or capped for it."""

    def test_nobody_is_named_or_capped_while_weights_do_their_work(self, node: Node) -> None:
        node.noise(60)

        assert [(each.victims, each.caps) for each in node.holdings] == [((), ())]
        assert node.holdings[0].message == (
            "hog is over its share of n1, which is full, wanting 5900 ms/s and using 1900 of its share of"
            " 1860 ms/s"
        )

    def test_who_seldom_works_is_free_by_the_weight_it_has(self, node: Node) -> None:
        for second in range(60):
            small = (60, 60, 1000) if second % 3 == 0 else (0, 0, 0)
            node.second(hog=(1900, 4000, 600), small=small)
            found = [(each.victims, each.caps) for each in node.holdings]
            assert found == [((), ())], f"after {second} s"

    def test_a_hog_that_hardly_runs_takes_nobodys_freedom(self) -> None:
        node = Node("hog", "sow", "small")
        node.calm(5)
        node.second(hog=(900, 4000, 600), sow=(900, 3000, 600), small=(60, 8, 1000))
        node.change("sow", resizing=True)
        for _ in range(20):
            node.second(hog=(1800, 4000, 600), sow=(5, 3000, 600), small=(60, 40, 1000))

        assert [(each.tenant, each.victims) for each in node.holdings] == [("hog", ()), ("sow", ())]

    def test_many_who_lose_little_each_are_too_many(self) -> None:
        quiet = [f"quiet{number}" for number in range(5)]
        node = Node("hog", *quiet, request_milli=8)
        node.spare_milli = 0
        for _ in range(5):
            node.second(1000, contended=False, **dict.fromkeys(quiet, (9, 0.5, 100)))
        for _ in range(int(AFTER_SECONDS) + 1):
            node.second(hog=(1900, 4000, 600), **dict.fromkeys(quiet, (9, 6, 100)))

        assert node.holdings[0].victims == ()
        assert node.holdings[0].caps != ()

    def test_a_lift_that_is_bounded_does_not(self) -> None:
        node = without_room()
        node.noise(int(AFTER_SECONDS) + 1)

        assert node.holdings[0].caps != ()

    def test_a_hog_that_is_resized_runs_beside_its_victims(self, node: Node) -> None:
        node.noise(5)
        node.change("hog", resizing=True)
        for _ in range(int(AFTER_SECONDS)):
            node.second(hog=(1900, 4000, 600), small=(60, 80, 1000))

        assert node.holdings[0].caps != ()

    def test_nobody_is_capped_for_what_starts(self, node: Node) -> None:
        node.noise(2)
        for _ in range(30):
            node.replace("hog")
            node.counters["hog"] = [0, 0, 0, 0]
            for _ in range(2):
                node.second(hog=(1900, 4000, 600), small=(60, 80, 1000))

        assert [(each.tenant, each.caps) for each in node.holdings] == [("hog", ())]

    def test_what_was_lost_while_it_was_resized_is_soon_forgotten(self, node: Node) -> None:
        node.noise(int(AFTER_SECONDS))
        node.change("hog", resizing=True)
        node.noise()
        node.change("hog", resizing=False)
        node.noise(60)

        assert [each.caps for each in node.holdings] == [()]

    def test_weights_that_could_not_be_written_free_nobody(self, node: Node) -> None:
        node.files.broken = True
        node.noise(2)
        assert node.holdings[0].victims == ("small",)
        node.files.broken = False
        node.noise(60)

        assert node.holdings[0].victims == ()

    def test_a_hog_of_another_class_is_not_held_by_weights(self, node: Node) -> None:
        path = "kubepods/pod-hog/hog"
        node.containers["hog"].path = path
        node.files.values |= {path: SHARES, "kubepods/pod-hog": SHARES}
        node.noise(int(AFTER_SECONDS) + 1)

        assert node.holdings[0].caps != ()


class TestEnds:
    def test_gives_back_when_it_stops(self, node: Node) -> None:
        node.noise(2)
        node.neighbours.give_back()

        assert (node.weight("hog"), node.weight("small")) == (SHARES, SHARES)

    def test_a_successor_puts_right_what_was_left(self, node: Node) -> None:
        node.noise(2)
        node.successor()
        node.calm(2)

        assert (node.weight("hog"), node.weight("small")) == (SHARES, SHARES)

    def test_a_successor_goes_on_while_the_noise_does(self, node: Node) -> None:
        node.noise(2)
        node.successor()
        node.noise(2)

        assert [each.tenant for each in node.holdings] == ["hog"]
        assert node.weight("small") >= LIFT * node.weight("hog")

    def test_a_tenant_that_is_gone_no_longer_yields(self, node: Node) -> None:
        node.noise(2)
        node.gone.append(node.containers.pop("hog"))
        node.calm(int(QUIET_SECONDS) + 1)

        assert node.holdings == []
        assert node.weight("small") == SHARES

    def test_nothing_is_remembered_of_tenants_that_are_gone(self, node: Node) -> None:
        node.noise(2)
        node.gone += node.containers.values()
        node.containers.clear()
        node.calm(100)

        remembered = {
            name: value
            for name, value in (vars(node.neighbours) | vars(node.neighbours._harms)).items()
            if isinstance(value, dict | set)
        }
        assert not any(remembered.values()), remembered
        assert not node.neighbours._state.yields
        assert not node.neighbours._caps._caps
        assert not node.neighbours._caps._names
