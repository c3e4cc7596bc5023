"""What the controller does to running pods, read from their cgroup files."""

import threading
from collections.abc import Callable

import pytest

from e2e.harness import tenants
from e2e.harness.cluster import NODE, POD, RESOURCE_QUOTA, TENANT_QUOTA, Cluster
from e2e.harness.wait import wait_until
from tests.integration.kubectl import Kubectl
from tests.integration.tenant import MI, Tenant, quiet

DECLARED = "tenantquota.io/declared-resources"
OPEN = {"requests": {"cpu": "5m", "memory": "16Mi"}}
GENEROUS = {"limits": {"cpu": "1500m", "memory": "512Mi"}, "requests": {"cpu": "10m", "memory": "32Mi"}}


@pytest.fixture
def tenant(cluster: Cluster, controller: object, new_namespace: Callable[[str], str]) -> Tenant:
    return Tenant(cluster, new_namespace("ctl"))


def test_pods_older_than_the_quota_get_its_limits_without_a_restart(tenant: Tenant) -> None:
    tenant.start("bare", "roomy", resources=None)
    before = tenant.cluster.running(tenant.namespace)
    tenant.quota("300m", "64Mi")
    tenant.wait_limits(300, 64)
    assert tenant.cluster.running(tenant.namespace) == before
    tenant.wait_condition("Enforced", "True", "LimitsInForce", says="2 of 2 running containers")
    tenant.wait_condition("Ready", "True", "Reconciled")
    status = tenant.status()
    assert (status["pods"], status["phase"], status["tenant"]) == (2, "Normal", tenant.namespace)
    assert status["decisions"][0]["rule"] == "LimitsFollowQuota"
    assert "cpu limit none → 300m" in tenant.wait_event(
        "quota", "LimitsFollowQuota", "memory limit none → 64Mi"
    )
    assert tenant.pod("bare")["metadata"]["labels"]["tenantquota.io/tenant"] == tenant.namespace


def test_an_edit_reaches_the_cgroups_and_what_a_pod_declares_is_the_ceiling(tenant: Tenant) -> None:
    tenant.quota("200m", "64Mi")
    tenant.start("roomy", resources=GENEROUS)
    tenant.start("modest", resources={"limits": {"cpu": "250m", "memory": "96Mi"}})
    tenant.wait_limits(200, 64)
    tenant.quota("400m", "128Mi")
    tenant.wait_limits(400, 128, "roomy/agent")
    tenant.wait_limits(250, 96, "modest/agent")


def test_several_containers_and_sidecars_are_all_held(tenant: Tenant) -> None:
    pod = tenants.agent("many", tenant.namespace)
    (agent,) = pod["spec"]["containers"]
    pod["spec"]["containers"].append(agent | {"name": "second", "args": ["--port", "8081"], "ports": []})
    sidecar = agent | {
        "name": "sidecar",
        "args": ["--port", "8082"],
        "ports": [],
        "restartPolicy": "Always",
    }
    pod["spec"]["initContainers"] = [sidecar]
    tenant.apply(pod)
    tenant.quota("300m", "64Mi")
    tenant.wait_limits(300, 64, "many/agent", "many/second", "many/sidecar")
    tenant.quota("200m", "48Mi")
    tenant.wait_limits(200, 48, "many/agent", "many/second", "many/sidecar")


def test_best_effort_pods_are_named_with_what_to_do(tenant: Tenant) -> None:
    pod = tenants.agent("bare", tenant.namespace)
    pod["spec"]["containers"][0]["resources"] = {}
    tenant.apply(pod)
    tenant.start("fine")
    tenant.quota("300m", "64Mi")
    message = tenant.wait_condition("Enforced", "False", "BestEffort")
    assert "bare" in message
    assert "delete it, and its successor is created with limits" in message
    tenant.wait_limits(300, 64, "fine/agent")
    tenant.wait_event("quota", "BestEffort")
    tenant.cluster.delete(POD, "bare", tenant.namespace)
    tenant.wait_gone(POD, "bare")
    tenant.wait_condition("Enforced", "True", "LimitsInForce")
    tenant.apply(pod)
    tenant.wait_limits(300, 64, "bare/agent")


def test_a_memory_limit_below_usage_follows_usage_down(tenant: Tenant) -> None:
    tenant.quota("500m", "256Mi")
    tenant.start("full")
    agent = tenant.agent("full")
    agent.wait_answering()
    agent.hold(120 * MI)
    tenant.wait_cgroups(lambda reading: reading.memory_used_bytes > 120 * MI, "120 MiB in use")
    tenant.quota("300m", "64Mi")
    stepped = tenant.wait_cgroups(
        lambda reading: reading.cpu_limit_millicores == 300 and (reading.memory_limit_bytes or 0) < 200 * MI,
        "a memory limit a little above usage, and the CPU limit without waiting",
        deadline_seconds=60,
    )["full/agent"]
    assert (stepped.memory_limit_bytes or 0) > stepped.memory_used_bytes
    message = tenant.wait_condition("Enforced", "False", "MemoryAboveLimit")
    assert "the limit follows usage down: full" in message
    tenant.wait_event("quota", "MemoryStepsDown")
    agent.hold(0)
    tenant.wait_limits(300, 64, deadline_seconds=120)
    tenant.wait_condition("Enforced", "True", "LimitsInForce")
    assert tenant.cgroups()["full/agent"].oom_kills == 0
    assert tenant.cluster.running(tenant.namespace)[0].restarts == 0


@pytest.mark.parametrize("beyond", ["free", "allocatable"])
def test_limits_do_not_wait_for_requests_that_find_no_room(tenant: Tenant, beyond: str) -> None:
    """Beyond what is free the kubelet defers the resize; beyond the node's allocatable it is refused."""
    tenant.quota("500m", "64Mi")
    tenant.start("asking", resources={"requests": {"memory": "16Mi"}})
    tenant.wait_limits(500, 64)
    (node,) = {container.node for container in tenant.cluster.running(tenant.namespace)}
    cores = int(tenant.cluster.get(NODE, node)["status"]["allocatable"]["cpu"])
    request = f"{cores * 1000 - 50}m" if beyond == "free" else str(cores + 1)
    tenant.quota("10", "48Mi", requests={"cpu": request, "memory": "16Mi"})
    tenant.wait_limits(10_000, 48, "asking/agent")
    message = tenant.wait_condition("Enforced", "True", "RequestsWaitForCapacity", deadline_seconds=45)
    assert "asking" in message
    assert tenant.resources("asking")["requests"]["cpu"] != request


def test_overlapping_selectors_change_nothing_and_both_quotas_say_so(tenant: Tenant) -> None:
    tenant.start("both", labels={"team": "a"})
    tenant.quota("300m", "64Mi")
    tenant.wait_limits(300, 64)
    tenant.quota("100m", "32Mi", name="other", selector={"matchLabels": {"team": "a"}})
    for name, rival in (("quota", "other"), ("other", "quota")):
        message = tenant.wait_condition("Ready", "False", "SelectorsOverlap", name=name)
        assert f"selected by {rival} too" in message
        assert "both" in message
    tenant.wait_event("other", "SelectorsOverlap")
    tenant.wait_limits(300, 64)
    tenant.cluster.delete(TENANT_QUOTA, "other", tenant.namespace)
    tenant.wait_condition("Ready", "True", "Reconciled")


def test_quotas_with_disjoint_selectors_share_a_namespace(tenant: Tenant) -> None:
    tenant.start("a", labels={"team": "a"})
    tenant.start("b", labels={"team": "b"})
    tenant.start("free")
    tenant.quota("300m", "64Mi", name="a", tenant="team-a", selector={"matchLabels": {"team": "a"}})
    others = [{"key": "team", "operator": "In", "values": ["b", "c"]}]
    tenant.quota("200m", "48Mi", name="b", tenant="team-b", selector={"matchExpressions": others})
    tenant.wait_limits(300, 64, "a/agent")
    tenant.wait_limits(200, 48, "b/agent")
    assert tenant.cgroups()["free/agent"].cpu_limit_millicores is None
    assert tenant.pod("b")["metadata"]["labels"]["tenantquota.io/tenant"] == "team-b"


def test_a_manual_resize_by_an_admin_is_put_back(tenant: Tenant, kubectl: Kubectl) -> None:
    tenant.quota("300m", "64Mi")
    tenant.start("agent")
    tenant.wait_limits(300, 64)
    patch = '{"spec":{"containers":[{"name":"agent","resources":{"limits":{"cpu":"900m"}}}]}}'
    kubectl(
        "patch", "pod", "agent", f"--namespace={tenant.namespace}", "--subresource=resize", f"--patch={patch}"
    ).ok()
    wait_until(
        lambda: tenant.resources("agent")["limits"]["cpu"] == "300m",
        what="the limit put back",
        deadline_seconds=30,
    )
    tenant.wait_limits(300, 64)
    tenant.wait_event("quota", "LimitsFollowQuota", "cpu limit 900m → 300m")


def test_observe_plans_and_records_and_changes_nothing(tenant: Tenant) -> None:
    tenant.start("agent", resources=GENEROUS)
    tenant.quota("300m", "64Mi", enforcement="Observe", budget={"pods": 5})
    message = tenant.wait_condition("Enforced", "Unknown", "Observing")
    assert "1 of 1 pods would be resized" in message
    (decision,) = tenant.status()["decisions"]
    assert decision["outcome"] == "Observed"
    assert "cpu limit 1500m → 300m" in decision["message"]
    pod = tenant.pod("agent")

    def untouched() -> bool:
        return tenant.pod("agent")["metadata"]["generation"] == pod["metadata"]["generation"]

    quiet(untouched, 2)
    assert tenant.pod("agent")["metadata"].get("annotations", {}).get(DECLARED) is None
    assert tenant.cgroups()["agent/agent"].cpu_limit_millicores == 1500
    assert not tenant.cluster.objects(RESOURCE_QUOTA, tenant.namespace)
    assert len(tenant.status()["decisions"]) == 1
    tenant.quota("300m", "64Mi", enforcement="Enforce")
    tenant.wait_limits(300, 64)


def test_a_deleted_quota_gives_back_what_pods_declared(tenant: Tenant) -> None:
    tenant.start("older", resources=GENEROUS)
    tenant.quota("300m", "64Mi")
    tenant.start("newer", resources=GENEROUS)
    tenant.start("bare")
    tenant.wait_limits(300, 64)
    tenant.cluster.delete(TENANT_QUOTA, tenants.QUOTA, tenant.namespace)
    tenant.wait_limits(1500, 512, "older/agent", "newer/agent")
    note = tenant.wait_event("bare", "QuotaGone")
    assert "cpu and memory limits that it doesn't declare stay" in note
    tenant.wait_limits(300, 64, "bare/agent")
    tenant.wait_event("older", "QuotaGone", "cpu limit 300m → 1500m")
    pods = {name: tenant.pod(name)["metadata"] for name in ("older", "newer", "bare")}
    assert not any("tenantquota.io/tenant" in metadata["labels"] for metadata in pods.values())
    noted = {name for name, metadata in pods.items() if DECLARED in metadata.get("annotations", {})}
    assert noted == {"bare"}, "limits that had to stay aren't the author's"
    tenant.quota("800m", "128Mi")
    tenant.wait_limits(800, 128)


def test_a_pod_that_a_changed_selector_leaves_out_gets_its_own_back(tenant: Tenant) -> None:
    tenant.start("agent", resources=GENEROUS, labels={"team": "a"})
    tenant.quota("300m", "64Mi", selector={"matchLabels": {"team": "a"}})
    tenant.wait_limits(300, 64)
    tenant.quota("300m", "64Mi", selector={"matchLabels": {"team": "b"}})
    tenant.wait_limits(1500, 512)


def test_pods_deleted_half_way_hold_nobody_up(tenant: Tenant) -> None:
    names = [f"agent-{number}" for number in range(8)]
    tenant.quota("300m", "64Mi")
    tenant.start(*names)
    tenant.wait_limits(300, 64)
    doomed = threading.Thread(
        target=lambda: [tenant.cluster.delete(POD, name, tenant.namespace) for name in names[::2]]
    )
    doomed.start()
    tenant.quota("200m", "48Mi")
    doomed.join()
    tenant.wait_limits(200, 48, *(f"{name}/agent" for name in names[1::2]))
    tenant.wait_condition("Enforced", "True", "LimitsInForce", says="4 of 4 running containers in 4 pods")
    tenant.wait_condition("Ready", "True", "Reconciled")


def test_conflicting_writers_do_not_keep_a_limit_from_a_pod(tenant: Tenant) -> None:
    names = [f"agent-{number}" for number in range(4)]
    tenant.quota("300m", "64Mi")
    tenant.start(*names)
    stop = threading.Event()

    def scribble() -> None:
        count = 0
        while not stop.is_set():
            count += 1
            for name in names:
                labels = {"metadata": {"labels": {"scribble": str(count)}}}
                tenant.cluster.patch(POD, name, tenant.namespace, labels)

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        for cpu in (200, 250, 300, 350):
            tenant.quota(f"{cpu}m", "64Mi")
            tenant.wait_limits(cpu, 64)
    finally:
        stop.set()
        writer.join()
    tenant.wait_condition("Ready", "True", "Reconciled")


class TestBudget:
    def test_memory_and_pods_are_held_at_admission(self, tenant: Tenant, kubectl: Kubectl) -> None:
        tenant.quota("300m", "64Mi", budget={"memory": "128Mi", "pods": 2})
        message = tenant.wait_condition("WithinBudget", "True", "HeldAtAdmission")
        assert "ResourceQuota" in message
        tenant.start("one", "two")
        third = kubectl("create", "-f", "-", stdin=tenants.agent("three", tenant.namespace)).refusal()
        assert "exceeded quota: tenantquota-quota" in third

    def test_one_edited_by_hand_is_put_back_and_one_not_needed_is_gone(self, tenant: Tenant) -> None:
        tenant.quota("300m", "64Mi", budget={"memory": "128Mi", "pods": 2})
        tenant.wait_condition("WithinBudget", "True", "HeldAtAdmission")
        self.wait_pods(tenant, "2")
        patch = {"spec": {"hard": {"pods": "50"}}}
        tenant.cluster.patch(RESOURCE_QUOTA, "tenantquota-quota", tenant.namespace, patch)
        self.wait_pods(tenant, "2")
        tenant.quota(
            "300m", "64Mi", selector={"matchLabels": {"team": "a"}}, budget={"memory": "128Mi", "pods": 2}
        )
        message = tenant.wait_condition("WithinBudget", "Unknown", "NotHeld")
        assert "budget.memory and budget.pods can't be held" in message
        tenant.wait_gone(RESOURCE_QUOTA, "tenantquota-quota")

    def test_it_goes_with_its_quota(self, tenant: Tenant) -> None:
        tenant.quota("300m", "64Mi", budget={"pods": 2})
        self.wait_pods(tenant, "2")
        tenant.cluster.delete(TENANT_QUOTA, tenants.QUOTA, tenant.namespace)
        tenant.wait_gone(RESOURCE_QUOTA, "tenantquota-quota")

    def test_pods_that_are_there_already_can_be_over_it(self, tenant: Tenant) -> None:
        tenant.start("one", "two", "three")
        tenant.quota("300m", "64Mi", budget={"memory": "128Mi", "pods": 2})
        message = tenant.wait_condition("WithinBudget", "False", "OverBudget", says="192Mi")
        assert "3 pods, over budget.pods of 2" in message
        assert "no further pods are admitted" in message

    @staticmethod
    def wait_pods(tenant: Tenant, pods: str) -> None:
        def held() -> bool:
            found = tenant.cluster.objects(RESOURCE_QUOTA, tenant.namespace)
            return [quota["spec"]["hard"]["pods"] for quota in found] == [pods]

        wait_until(held, what=f"a ResourceQuota of {pods} pods", deadline_seconds=30)
