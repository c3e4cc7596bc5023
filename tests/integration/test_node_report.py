"""What the cgroup files hold is the truth: what the controller makes of the nodes' reports.

First on a node whose kubelet, files and agent are the test's own, moment by moment; then on a real one, with
cgroup files changed by hand and the real agent.
"""

import time
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster.settings import NAMESPACE as OPERATOR_NAMESPACE
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import NODE_REPORT, POD, TENANT_QUOTA, Cluster, Container
from e2e.harness.controller import SELECTOR, find_controller
from e2e.harness.node_agent import NodeAgent
from e2e.harness.tenants import QUOTA
from e2e.harness.wait import NotYet, wait_until
from tests.integration.handmade_node import HandmadeNode
from tests.integration.tenant import MI, Tenant, quiet

TOLD_WITHIN_SECONDS = 5
"""From the change of a file by hand until the TenantQuota says so."""


@pytest.fixture
def tenant(cluster: Cluster, controller: object, new_namespace: Callable[[str], str]) -> Tenant:
    return Tenant(cluster, new_namespace("report"))


@pytest.fixture
def node(tenant: Tenant) -> Iterator[HandmadeNode]:
    """A handmade node of the tenant with one running pod, ``agent``, that has its limits of 300m and 64Mi."""
    tenant.quota("300m", "64Mi")
    with HandmadeNode(tenant.cluster, f"handmade-{tenant.namespace}", tenant.namespace) as node:
        node.start("agent")
        wait_until(lambda: node.asked.get("agent"), what="the pod to run", deadline_seconds=30)
        tenant.wait_condition("Enforced", "True", "LimitsInForce", says="1 of 1 running containers")
        yield node


def confirmed(tenant: Tenant, node: HandmadeNode) -> None:
    """The agent has looked, and the controller knows."""
    node.report()
    wait_until(lambda: "usage" in tenant.status(), what="the report to reach the status", deadline_seconds=30)
    tenant.wait_condition("Enforced", "True", "LimitsInForce")


class TestHandmade:
    def test_without_a_report_the_kubelets_account_is_named_as_such(
        self, tenant: Tenant, node: HandmadeNode
    ) -> None:
        message = tenant.condition("Enforced")["message"]
        assert f"by the kubelet's account on {node.name}, where no node agent reports" in message
        assert "usage" not in tenant.status()
        confirmed(tenant, node)
        assert "kubelet" not in tenant.condition("Enforced")["message"]
        tenant.cluster.delete(NODE_REPORT, node.name)
        tenant.wait_condition("Enforced", "True", "LimitsInForce", says="by the kubelet's account")

    def test_usage_is_the_sum_of_what_is_reported(self, tenant: Tenant, node: HandmadeNode) -> None:
        node.start("second")
        wait_until(lambda: "second" in node.cgroups, what="the second pod to run", deadline_seconds=30)
        node.cgroups["agent"].cpu_milli, node.cgroups["agent"].memory_bytes = 120, 20 * MI
        node.cgroups["second"].cpu_milli, node.cgroups["second"].memory_bytes = 31, 10 * MI
        confirmed(tenant, node)
        assert tenant.status()["usage"] == {"cpu": "150m", "memory": "30Mi"}

    def test_noise_is_not_written_and_a_change_is(self, tenant: Tenant, node: HandmadeNode) -> None:
        cgroup = node.cgroups["agent"]
        cgroup.cpu_milli, cgroup.memory_bytes = 200, 20 * MI
        confirmed(tenant, node)

        def version() -> str:
            found = tenant.cluster.get(TENANT_QUOTA, QUOTA, tenant.namespace)
            return str(found["metadata"]["resourceVersion"])

        before = version()
        for cpu_milli in (210, 190, 205, 218):
            cgroup.cpu_milli = cpu_milli
            node.report()
            quiet(lambda: version() == before, 1)
        cgroup.cpu_milli = 280
        node.report()
        wait_until(
            lambda: tenant.status()["usage"]["cpu"] == "280m",
            what="the changed usage to be shown",
            deadline_seconds=60,
        )

    def test_a_file_changed_by_hand_is_told_and_put_right(self, tenant: Tenant, node: HandmadeNode) -> None:
        confirmed(tenant, node)
        asked = len(node.asked["agent"])
        node.cgroups["agent"].cpu_limit_milli = 900
        node.report()
        message = tenant.wait_condition(
            "Enforced", "False", "CgroupDiffers", deadline_seconds=TOLD_WITHIN_SECONDS
        )
        assert "agent (agent: cpu limit is 900m, not 300m)" in message
        wait_until(
            lambda: node.asked["agent"][asked:] == ["299m", "300m"],
            what="the kubelet to be asked for a hair less and then for the limit",
            deadline_seconds=30,
        )
        node.report()
        tenant.wait_condition("Enforced", "True", "LimitsInForce")
        decisions = [found for found in tenant.status()["decisions"] if found["rule"] == "CgroupPutRight"]
        assert [found["message"].partition(" (")[0] for found in decisions] == [
            "cpu limit 300m → 299m",
            "cpu limit 299m → 300m",
        ]
        assert "cpu limit is 900m, not 300m" in decisions[0]["message"]
        tenant.wait_event(QUOTA, "CgroupPutRight", "cpu limit 300m → 299m")

    def test_a_file_that_stays_wrong_is_not_fought_over_without_end(
        self, tenant: Tenant, node: HandmadeNode
    ) -> None:
        confirmed(tenant, node)
        asked = len(node.asked["agent"])
        cgroup = node.cgroups["agent"]
        cgroup.cpu_limit_milli, cgroup.stuck = 900, True
        start = time.monotonic()

        def tried_again() -> bool:
            node.report()
            if len(node.asked["agent"]) - asked < 4:
                raise NotYet(f"it was asked for {node.asked['agent'][asked:]}")
            return True

        wait_until(tried_again, what="another try", deadline_seconds=90, poll_seconds=0.5)
        assert time.monotonic() - start > 9, "the second try waits"
        tenant.wait_condition("Enforced", "False", "CgroupDiffers")
        cgroup.stuck = False
        cgroup.cpu_limit_milli = 300
        node.report()
        tenant.wait_condition("Enforced", "True", "LimitsInForce", deadline_seconds=60)

    def test_a_report_from_before_a_change_is_no_difference(self, tenant: Tenant, node: HandmadeNode) -> None:
        confirmed(tenant, node)
        node.cgroups["agent"].stuck = True  # the agent has not looked since
        tenant.quota("200m", "64Mi")
        wait_until(
            lambda: node.asked["agent"][-1] == "200m", what="the kubelet to be asked", deadline_seconds=30
        )
        tenant.wait_condition("Enforced", "Unknown", "AwaitingReport")
        quiet(lambda: tenant.condition("Enforced")["reason"] == "AwaitingReport", 2)
        node.cgroups["agent"].cpu_limit_milli = 200
        node.report()
        tenant.wait_condition("Enforced", "True", "LimitsInForce")
        assert node.asked["agent"][-2:] == ["300m", "200m"], "nothing was nudged"

    def test_a_stale_report_is_told_with_the_nodes_name(self, tenant: Tenant, node: HandmadeNode) -> None:
        node.period_seconds = 1
        confirmed(tenant, node)
        message = tenant.wait_condition("Ready", "False", "NodeReportStale", deadline_seconds=60)
        assert node.name in message
        assert tenant.condition("Enforced")["status"] == "Unknown"
        assert "usage" not in tenant.status()
        tenant.wait_event(QUOTA, "NodeReportStale", node.name)
        node.period_seconds = 600
        node.report()
        tenant.wait_condition("Ready", "True", "Reconciled")
        tenant.wait_condition("Enforced", "True", "LimitsInForce")

    def test_a_node_whose_clock_is_wrong_is_not_taken_for_dead(
        self, tenant: Tenant, node: HandmadeNode
    ) -> None:
        node.period_seconds = 20
        node.report(age_seconds=3600)
        tenant.wait_condition("Ready", "False", "NodeReportStale")
        node.report(age_seconds=3599)
        tenant.wait_condition("Ready", "True", "Reconciled")

    def test_the_age_of_each_report_is_a_metric(
        self, tenant: Tenant, node: HandmadeNode, controller: Container
    ) -> None:
        confirmed(tenant, node)
        path = f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{controller.pod}:8080/proxy/metrics"
        series = f'tenantquota_node_report_age_seconds{{node="{node.name}"}}'

        def told() -> bool:
            return series in str(tenant.cluster.request("GET", path))

        assert told()
        tenant.cluster.delete(NODE_REPORT, node.name)
        wait_until(lambda: not told(), what="the series to end with the report", deadline_seconds=30)

    @pytest.mark.exclusive
    def test_a_new_controller_puts_right_what_it_finds(self, tenant: Tenant, node: HandmadeNode) -> None:
        confirmed(tenant, node)
        node.cgroups["agent"].stuck = True
        node.cgroups["agent"].cpu_limit_milli = 900
        (controller,) = tenant.cluster.objects(POD, OPERATOR_NAMESPACE, selector=SELECTOR)
        tenant.cluster.delete(POD, controller["metadata"]["name"], OPERATOR_NAMESPACE)
        wait_until(
            lambda: tenant.cluster.gone(POD, controller["metadata"]["name"], OPERATOR_NAMESPACE),
            what="the controller to end",
            deadline_seconds=60,
        )
        node.report()
        find_controller(tenant.cluster)
        asked = len(node.asked["agent"])
        node.cgroups["agent"].stuck = False

        def put_right() -> bool:
            node.report()  # the heartbeat: the one from before proves nothing to a controller that is new
            if node.asked["agent"][asked:] != ["299m", "300m"]:
                raise NotYet(f"it was asked for {node.asked['agent'][asked:]}")
            return True

        wait_until(put_right, what="the file to be put right", deadline_seconds=60, poll_seconds=2)
        node.report()
        tenant.wait_condition("Enforced", "True", "LimitsInForce")


class TestRealNode:
    @pytest.fixture
    def cgroups(self, tenant: Tenant, node_agents: dict[str, NodeAgent]) -> NodeCgroups:
        """Of the node of the tenant's pod ``agent``, which runs and has limits of 300m and 64Mi."""
        tenant.quota("300m", "64Mi")
        tenant.start("agent")
        tenant.wait_limits(300, 64)
        message = tenant.wait_condition("Enforced", "True", "LimitsInForce", says="1 of 1")
        assert "kubelet" not in message
        (container,) = tenant.cluster.running(tenant.namespace)
        assert container.node in node_agents
        return NodeCgroups(container.node)

    @pytest.mark.parametrize(
        ("v1", "v2", "says"),
        [
            pytest.param(
                ("cpu.cfs_quota_us", "20000"),
                ("cpu.max", "20000 100000"),
                "cpu limit is 200m, not 300m",
                id="cpu",
            ),
            pytest.param(
                ("memory.limit_in_bytes", str(48 * MI)),
                ("memory.max", str(48 * MI)),
                "memory limit is 48Mi, not 64Mi",
                id="memory",
            ),
            pytest.param(
                ("cpu.cfs_quota_us", "-1"), ("cpu.max", "max"), "cpu limit is none, not 300m", id="no limit"
            ),
        ],
    )
    def test_a_file_changed_by_hand_is_told_and_put_right(
        self, tenant: Tenant, cgroups: NodeCgroups, v1: tuple[str, str], v2: tuple[str, str], says: str
    ) -> None:
        (container,) = tenant.cluster.running(tenant.namespace)
        on_v2 = any(path.startswith("./") for path in cgroups.directories(container))
        cgroups.write(container, *(v2 if on_v2 else v1))
        message = tenant.wait_condition(
            "Enforced", "False", "CgroupDiffers", deadline_seconds=TOLD_WITHIN_SECONDS
        )
        assert f"agent (agent: {says})" in message
        tenant.wait_limits(300, 64)
        tenant.wait_condition("Enforced", "True", "LimitsInForce")
        assert tenant.cluster.running(tenant.namespace) == [container], "no restart"
        assert tenant.resources("agent")["limits"] == {"cpu": "300m", "memory": "64Mi"}
        tenant.wait_event(QUOTA, "CgroupPutRight", says)
        tenant.wait_event(QUOTA, "LimitsInForce")

    def test_usage_is_shown(self, tenant: Tenant, cgroups: NodeCgroups) -> None:
        agent = tenant.agent("agent")
        agent.wait_answering()
        agent.burn(1, percent=20)
        agent.hold(24 * MI)

        def so() -> bool:
            usage = tenant.status().get("usage") or {"cpu": "0", "memory": "0"}
            cpu, memory = int(usage["cpu"].removesuffix("m")), int(usage["memory"].removesuffix("Mi"))
            if not (150 <= cpu <= 250 and 28 <= memory <= 50):
                raise NotYet(f"it is {usage}")
            return True

        wait_until(so, what="200m and some 34Mi in status.usage", deadline_seconds=60)
