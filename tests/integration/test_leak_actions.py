"""``spec.leaks.action`` on a node whose kubelet, cgroup files and agent are the test's own, so that a leak is
whatever the test says."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.cluster.settings import NAMESPACE as OPERATOR_NAMESPACE
from e2e.harness import tenants
from e2e.harness.cluster import POD, RESOURCE_QUOTA, Cluster, Container, Kind, Manifest
from e2e.harness.controller import SELECTOR, find_controller
from e2e.harness.tenants import QUOTA
from e2e.harness.wait import NotYet, wait_until
from tenantquota.domain.quantities import parse_memory_bytes
from tests.integration.handmade_node import HandmadeNode, Leak
from tests.integration.tenant import MI, Tenant, quiet

LIMIT_MIB = 512
CONTAINED_MIB = 133
"""A quarter above 100 MiB is less than 32 MiB; what it takes in the second that the report is old at most is
rounded up."""
DEADLINE_SECONDS = 60
GIVEN_BACK_WITHIN_SECONDS = 30
REPLICA_SET = Kind("apps/v1", "ReplicaSet")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget")


@pytest.fixture
def tenant(cluster: Cluster, controller: object, new_namespace: Callable[[str], str]) -> Tenant:
    return Tenant(cluster, new_namespace("leak-actions"))


@pytest.fixture
def node(tenant: Tenant) -> Iterator[HandmadeNode]:
    with HandmadeNode(tenant.cluster, f"handmade-{tenant.namespace}", tenant.namespace) as node:
        yield node


def begin(tenant: Tenant, action: str, **fields: Any) -> None:
    tenant.quota("500m", f"{LIMIT_MIB}Mi", leaks={"action": action}, **fields)
    tenant.wait_condition("Ready", "True", "Reconciled")


def start(tenant: Tenant, node: HandmadeNode, *pods: str) -> None:
    """Pods that hold the quota's limits and use 100 MiB."""
    node.start(*pods)
    settle(tenant, node, *pods)


def settle(tenant: Tenant, node: HandmadeNode, *pods: str) -> None:
    def whole() -> bool:
        asked = {pod: node.memory_asked.get(pod, [0])[-1] // MI for pod in pods}
        if set(asked.values()) != {LIMIT_MIB}:
            raise NotYet(f"the kubelet was asked for {asked}")
        return True

    wait_until(whole, what="the quota's limits", deadline_seconds=DEADLINE_SECONDS)
    for pod in pods:
        node.cgroups[pod].memory_bytes = 100 * MI
    node.report()
    tenant.wait_condition("Enforced", "True", "LimitsInForce")


def wait_memory(node: HandmadeNode, pod: str, wanted: Callable[[int], bool], seconds: float) -> int:
    """The limit in MiB that the pod's cgroup holds, once it is as wanted."""

    def so() -> int:
        limit = node.cgroups[pod].memory_limit_bytes // MI
        if not wanted(limit):
            raise NotYet(f"it is {limit} MiB")
        node.report()
        return limit

    return wait_until(so, what=f"another memory limit of {pod}", deadline_seconds=seconds)


def wait_contained(node: HandmadeNode, pod: str) -> int:
    return wait_memory(node, pod, lambda limit: limit < LIMIT_MIB, DEADLINE_SECONDS)


def replica_set(tenant: Tenant, node: HandmadeNode) -> str:
    """A pod that a ReplicaSet makes anew on the node; its name."""
    labels = {"app": "leaky"}
    spec = {**tenants.agent("leaky", tenant.namespace)["spec"], "nodeName": node.name}
    tenant.cluster.apply(
        {
            "apiVersion": REPLICA_SET.api_version,
            "kind": REPLICA_SET.name,
            "metadata": {"name": "leaky", "namespace": tenant.namespace},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        }
    )
    return wait_pod(tenant)["metadata"]["name"]


def wait_pod(tenant: Tenant, *, other_than: str = "") -> Manifest:
    """The ReplicaSet's pod that isn't being deleted."""

    def there() -> Manifest:
        pods = tenant.cluster.pods(tenant.namespace, selector="app=leaky")
        alive = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        if not alive or alive[0]["metadata"]["name"] == other_than:
            raise NotYet(f"there are {[pod['metadata']['name'] for pod in alive]}")
        return alive[0]

    return wait_until(there, what="the ReplicaSet's pod", deadline_seconds=DEADLINE_SECONDS)


def disruption_budget(tenant: Tenant, most_unavailable: int) -> None:
    tenant.cluster.apply(
        {
            "apiVersion": DISRUPTION_BUDGET.api_version,
            "kind": DISRUPTION_BUDGET.name,
            "metadata": {"name": "leaky", "namespace": tenant.namespace},
            "spec": {"maxUnavailable": most_unavailable, "selector": {"matchLabels": {"app": "leaky"}}},
        }
    )

    def known() -> bool:
        found = tenant.cluster.get(DISRUPTION_BUDGET, "leaky", tenant.namespace)
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            raise NotYet(f"its status is {status}")
        return True

    wait_until(known, what="the PodDisruptionBudget to be known", deadline_seconds=DEADLINE_SECONDS)


def wait_restart(tenant: Tenant, outcome: str) -> Manifest:
    def so() -> Manifest:
        found: Manifest = tenant.status().get("leaks", {}).get("restart") or {}
        if found.get("outcome") != outcome:
            raise NotYet(f"it is {found}")
        return found

    return wait_until(so, what=f"status.leaks.restart to be {outcome}", deadline_seconds=DEADLINE_SECONDS)


def audit_records(tenant: Tenant, rule: str) -> list[Manifest]:
    (controller,) = tenant.cluster.running(OPERATOR_NAMESPACE, selector=SELECTOR)
    log = tenant.cluster.kubectl("logs", controller.pod, f"--namespace={OPERATOR_NAMESPACE}")
    records = [json.loads(line).get("audit") or {} for line in log.splitlines() if '"audit"' in line]
    return [each for each in records if each["namespace"] == tenant.namespace and each.get("rule") == rule]


def test_a_leak_is_contained_and_given_back(tenant: Tenant, node: HandmadeNode) -> None:
    begin(tenant, "Contain")
    start(tenant, node, "leaky", "sound")
    node.leaks = [Leak("leaky")]
    node.report()
    assert wait_contained(node, "leaky") in {CONTAINED_MIB - 1, CONTAINED_MIB}
    limit = node.cgroups["leaky"].memory_limit_bytes // MI
    (entry,) = tenant.status()["leaks"]["contained"]
    assert (entry["pod"], entry["oldLimit"], entry["newLimit"]) == ("leaky", "512Mi", f"{limit}Mi")
    says = f"its memory limit is lowered to {limit}Mi"
    tenant.wait_condition("LeakFree", "False", "LeakFound", says=says)
    tenant.wait_event(QUOTA, "LeakContained", f"memory limit 512Mi → {limit}Mi")
    node.report()
    tenant.wait_condition("Enforced", "True", "LimitsInForce")

    node.cgroups["leaky"].memory_bytes = 125 * MI
    node.report()
    asked = list(node.memory_asked["leaky"])

    def steady() -> bool:
        node.report()
        return node.memory_asked["leaky"] == asked

    quiet(steady, 8)

    node.leaks = []
    node.report()
    wait_memory(node, "leaky", lambda limit: limit == LIMIT_MIB, GIVEN_BACK_WITHIN_SECONDS)
    tenant.wait_event(QUOTA, "LeakReleased", f"memory limit {limit}Mi → 512Mi")
    tenant.wait_condition("LeakFree", "True", "NoLeak")
    assert [limit // MI for limit in node.memory_asked["leaky"][-3:]] == [LIMIT_MIB, limit, LIMIT_MIB]
    assert {limit // MI for limit in node.memory_asked["sound"]} == {LIMIT_MIB}
    node.report()

    def closed() -> bool:
        outcomes = [[each["outcome"] for each in audit_records(tenant, f"Leak{what}")] for what in RULES]
        if outcomes != [["Applied", "InForce"]] * 2:
            raise NotYet(f"they are {outcomes}")
        return True

    wait_until(closed, what="the audit records to be closed", deadline_seconds=DEADLINE_SECONDS)
    decided, _ = audit_records(tenant, "LeakContained")
    assert decided["old"]["limits"]["memory"] == "512Mi"
    assert decided["new"]["limits"]["memory"] == f"{limit}Mi"
    assert decided["window"]["leak"]["ratePerMinute"] == 60 * MI
    assert decided["window"]["leak"]["since"]
    assert not tenant.status().get("leaks")


RULES = ("Contained", "Released")


def test_usage_that_falls_is_followed_down_and_a_stale_report_holds_nothing(
    tenant: Tenant, node: HandmadeNode
) -> None:
    begin(tenant, "Contain")
    start(tenant, node, "leaky")
    node.leaks = [Leak("leaky")]
    node.report()
    first = wait_contained(node, "leaky")
    node.cgroups["leaky"].memory_bytes = 60 * MI
    node.report()
    wait_memory(node, "leaky", lambda limit: 60 < limit < 0.9 * first, DEADLINE_SECONDS)
    node.period_seconds = 1
    node.report()  # and never again

    def back() -> bool:
        if node.cgroups["leaky"].memory_limit_bytes != LIMIT_MIB * MI:
            raise NotYet(f"it is {node.cgroups['leaky'].memory_limit_bytes}")
        return True

    wait_until(back, what="the limit to come back", deadline_seconds=GIVEN_BACK_WITHIN_SECONDS)


def test_the_room_in_a_budget_of_memory_is_kept_for_it(tenant: Tenant, node: HandmadeNode) -> None:
    begin(tenant, "Contain", budget={"memory": "600Mi"})
    start(tenant, node, "leaky")
    node.leaks = [Leak("leaky")]
    node.report()
    limit = wait_contained(node, "leaky")

    def wait_admitted(mib: int) -> None:
        def so() -> bool:
            found = tenant.cluster.get(RESOURCE_QUOTA, f"tenantquota-{QUOTA}", tenant.namespace)
            hard = found.get("status", {}).get("hard", {}).get("limits.memory", "0")
            if parse_memory_bytes(hard) != mib * MI:
                raise NotYet(f"it is {hard}")
            return True

        wait_until(so, what=f"the ResourceQuota to admit {mib} MiB", deadline_seconds=DEADLINE_SECONDS)

    wait_admitted(600 - (LIMIT_MIB - limit))
    node.leaks = []
    node.report()
    wait_memory(node, "leaky", lambda limit: limit == LIMIT_MIB, GIVEN_BACK_WITHIN_SECONDS)
    wait_admitted(600)
    (outcome,) = (each["outcome"] for each in tenant.status()["decisions"] if each["rule"] == "LeakReleased")
    assert outcome == "Applied", "it was not refused first"


def test_observe_records_and_changes_nothing(tenant: Tenant, node: HandmadeNode) -> None:
    begin(tenant, "Contain")
    start(tenant, node, "leaky")
    begin(tenant, "Contain", enforcement="Observe")
    asked = list(node.memory_asked["leaky"])
    node.leaks = [Leak("leaky")]
    node.report()
    note = tenant.wait_event(QUOTA, "LeakContained")
    assert note.startswith("Observed: pod leaky: memory limit 512Mi → 13")
    tenant.wait_condition("LeakFree", "False", "LeakFound", says="would be lowered")
    quiet(lambda: node.memory_asked["leaky"] == asked, 8)

    begin(tenant, "Restart", enforcement="Observe")
    name = replica_set(tenant, node)
    wait_until(lambda: name in node.cgroups, what="the pod to run", deadline_seconds=DEADLINE_SECONDS)
    node.leaks = [Leak(name)]
    node.report()
    assert wait_restart(tenant, "Observed")["pod"] == name
    quiet(lambda: wait_pod(tenant)["metadata"]["name"] == name, 5)
    tenant.cluster.delete(REPLICA_SET, "leaky", tenant.namespace)


def test_a_leak_is_restarted_and_the_next_one_waits(tenant: Tenant, node: HandmadeNode) -> None:
    begin(tenant, "Restart")
    name = replica_set(tenant, node)
    settle(tenant, node, name)
    node.leaks = [Leak(name, kind="open_files", rate_per_minute=600, evidence="open files went up")]
    node.report()
    successor = wait_pod(tenant, other_than=name)["metadata"]["name"]
    restart = wait_restart(tenant, "Evicted")
    assert (restart["pod"], restart["kind"], restart["waitSeconds"]) == (name, "open_files", 120)
    tenant.wait_event(QUOTA, "LeakRestarted", f"pod {name}: agent: open files went up")
    records = audit_records(tenant, "LeakRestarted")
    assert [each["outcome"] for each in records] == ["Applied", "Evicted"]
    assert len({each["correlationId"] for each in records}) == 1
    assert records[0]["window"]["leak"]["ratePerMinute"] == 600

    settle(tenant, node, successor)
    node.leaks = [Leak(successor)]
    node.report()
    tenant.wait_condition("LeakFree", "False", "LeakFound", says=successor)
    quiet(lambda: wait_pod(tenant)["metadata"]["name"] == successor, 8)
    tenant.cluster.delete(REPLICA_SET, "leaky", tenant.namespace)


def test_a_disruption_budget_is_honoured(tenant: Tenant, node: HandmadeNode) -> None:
    begin(tenant, "Restart")
    name = replica_set(tenant, node)
    settle(tenant, node, name)
    disruption_budget(tenant, 0)
    node.leaks = [Leak(name)]
    node.report()
    refused = wait_restart(tenant, "Refused")
    assert "disruption budget" in refused["message"]
    assert (refused["waitSeconds"], refused["retrySeconds"]) == (0, 10)
    tenant.wait_condition("LeakFree", "False", "LeakFound", says="eviction is refused and tried again")
    assert wait_pod(tenant)["metadata"]["name"] == name
    tenant.cluster.delete(DISRUPTION_BUDGET, "leaky", tenant.namespace)
    wait_pod(tenant, other_than=name)
    assert wait_restart(tenant, "Evicted")["pod"] == name
    tenant.cluster.delete(REPLICA_SET, "leaky", tenant.namespace)


def test_a_pod_that_nothing_makes_anew_is_not_restarted(tenant: Tenant, node: HandmadeNode) -> None:
    begin(tenant, "Restart")
    start(tenant, node, "bare")
    node.leaks = [Leak("bare")]
    node.report()
    says = "no controller would make it anew"
    tenant.wait_condition("LeakFree", "False", "LeakFound", says=says)
    assert tenant.wait_event(QUOTA, "LeakRestarted", says).startswith("Skipped: pod bare")

    def told_once_and_alive() -> bool:
        node.report()
        events = [note for reason, note in tenant.events(QUOTA) if reason == "LeakRestarted"]
        return len(events) == 1 and not tenant.pod("bare")["metadata"].get("deletionTimestamp")

    quiet(told_once_and_alive, 8)


@pytest.mark.exclusive
def test_a_new_controller_goes_on(tenant: Tenant, node: HandmadeNode, controller: Container) -> None:
    begin(tenant, "Contain")
    start(tenant, node, "leaky")
    node.leaks = [Leak("leaky")]
    node.report()
    wait_contained(node, "leaky")
    asked, before = list(node.memory_asked["leaky"]), tenant.status()["leaks"]
    (old,) = tenant.cluster.objects(POD, OPERATOR_NAMESPACE, selector=SELECTOR)
    name = old["metadata"]["name"]
    tenant.cluster.kubectl(
        *("delete", "pod", name, f"--namespace={OPERATOR_NAMESPACE}", "--grace-period=0", "--force")
    )
    wait_until(
        lambda: tenant.cluster.gone(POD, name, OPERATOR_NAMESPACE),
        what="the controller to end",
        deadline_seconds=60,
    )
    find_controller(tenant.cluster)
    node.leaks = []
    node.report()
    wait_memory(node, "leaky", lambda limit: limit == LIMIT_MIB, GIVEN_BACK_WITHIN_SECONDS)
    assert node.memory_asked["leaky"] == [*asked, LIMIT_MIB * MI], "no limit was changed meanwhile"
    tenant.wait_event(QUOTA, "LeakReleased", f"memory limit {before['contained'][0]['newLimit']} → 512Mi")
