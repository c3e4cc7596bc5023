"""The controller may be killed at any moment: all that must outlive it is in the resources."""

from collections.abc import Callable, Iterator

import pytest

from e2e.cluster.settings import NAMESPACE
from e2e.harness import tenants
from e2e.harness.cluster import DEPLOYMENT, POD, TENANT_QUOTA, Cluster
from e2e.harness.controller import CONTROLLER, SELECTOR, find_controller
from e2e.harness.wait import wait_until
from tests.integration.tenant import Tenant

GENEROUS = {"limits": {"cpu": "1500m", "memory": "512Mi"}, "requests": {"cpu": "10m", "memory": "32Mi"}}

pytestmark = pytest.mark.exclusive


@pytest.fixture
def tenant(cluster: Cluster, controller: object, new_namespace: Callable[[str], str]) -> Tenant:
    return Tenant(cluster, new_namespace("restart"))


@pytest.fixture
def stopped(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """Stops the controller when called; afterwards it runs again."""

    def stop() -> None:
        cluster.patch(DEPLOYMENT, CONTROLLER, NAMESPACE, {"spec": {"replicas": 0}})
        wait_until(
            lambda: not cluster.objects(POD, NAMESPACE, selector=SELECTOR),
            what="the controller to be gone",
            deadline_seconds=60,
        )

    try:
        yield stop
    finally:
        start(cluster)


def start(cluster: Cluster) -> None:
    cluster.patch(DEPLOYMENT, CONTROLLER, NAMESPACE, {"spec": {"replicas": 1}})
    find_controller(cluster)


def test_killed_in_the_middle_of_a_change(tenant: Tenant) -> None:
    names = [f"agent-{number}" for number in range(12)]
    tenant.quota("300m", "64Mi")
    tenant.start(*names, resources=GENEROUS)
    tenant.wait_limits(300, 64)
    (controller,) = tenant.cluster.objects(POD, NAMESPACE, selector=SELECTOR)
    tenant.quota("200m", "48Mi")
    wait_until(
        lambda: any(reading.cpu_limit_millicores == 200 for reading in tenant.cgroups().values()),
        what="the first of the new limits",
        deadline_seconds=30,
        poll_seconds=0.02,
    )
    tenant.cluster.kubectl(
        *(
            "delete",
            "pod",
            controller["metadata"]["name"],
            f"--namespace={NAMESPACE}",
            "--grace-period=0",
            "--force",
        )
    )
    tenant.wait_limits(200, 48, deadline_seconds=60)
    tenant.wait_condition("Enforced", "True", "LimitsInForce", says="12 of 12", deadline_seconds=60)
    declared = {name: tenant.pod(name)["metadata"]["annotations"] for name in names}
    assert all('"cpu":"1500m"' in found["tenantquota.io/declared-resources"] for found in declared.values())


def test_what_happened_meanwhile_is_made_up_for(tenant: Tenant, stopped: Callable[[], None]) -> None:
    tenant.start("older", resources=GENEROUS)
    tenant.quota("300m", "64Mi")
    tenant.wait_limits(300, 64)
    stopped()
    tenant.quota("200m", "48Mi")
    tenant.start("newer", resources=GENEROUS)
    newer = tenant.cgroups()["newer/agent"]
    assert newer.cpu_limit_millicores == 200, "admission limits new pods while no controller runs"
    start(tenant.cluster)
    tenant.wait_limits(200, 48, deadline_seconds=60)


def test_a_quota_deleted_meanwhile_gives_back_what_pods_declared(
    tenant: Tenant, stopped: Callable[[], None]
) -> None:
    tenant.quota("300m", "64Mi")
    tenant.start("agent", resources=GENEROUS)
    tenant.wait_limits(300, 64)
    stopped()
    tenant.cluster.delete(TENANT_QUOTA, tenants.QUOTA, tenant.namespace)
    tenant.wait_gone(TENANT_QUOTA, tenants.QUOTA)
    start(tenant.cluster)
    tenant.wait_limits(1500, 512, deadline_seconds=60)
