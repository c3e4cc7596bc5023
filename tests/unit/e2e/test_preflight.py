"""What keeps the suite from running is told at once, each with what to do about it."""

from dataclasses import replace
from typing import Any

import pytest

from e2e.harness.cluster import Manifest
from e2e.harness.node_images import THERE, listed, verdict
from e2e.harness.preflight import VERSION_LABEL, Facts, Room, chart_version, needed, problems, room

READY = {"conditions": [{"type": "Ready", "status": "True"}]}
IMAGE = {"names": ["docker.io/tenantquota/agent:dev", "docker.io/tenantquota/agent:391695b659a2"]}


def node(name: str, *, ready: bool = True, pods: int = 110, cpu: str = "2", **spec: Any) -> Manifest:
    status: Manifest = {"allocatable": {"pods": str(pods), "cpu": cpu, "memory": "24Gi"}, "images": [IMAGE]}
    return {"metadata": {"name": name}, "spec": spec, "status": status | (READY if ready else {})}


def pod(on: str | None, cpu: str = "100m") -> Manifest:
    container = {"resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}
    return {"spec": {"containers": [container, {}]} | ({"nodeName": on} if on else {})}


def controller(version: str = "0.1.0", available: str = "True") -> Manifest:
    return {
        "metadata": {"labels": {VERSION_LABEL: version}},
        "status": {"conditions": [{"type": "Available", "status": available, "message": "0 of 1 are"}]},
    }


WHOLE = Facts(
    kubernetes="v1.37.2",
    chart="0.1.0",
    quotas_known=True,
    controller=controller(),
    node_agents={"metadata": {}},
    agents_ready={"one", "two"},
    nodes=[node("one"), node("two")],
    pods=[pod("one"), pod("two"), pod(None)],
)


def found(facts: Facts, tenants: int = 10, *, local: bool = False) -> list[str]:
    return [str(problem) for problem in problems(facts, tenants, local=local)]


def test_a_whole_cluster_has_no_problem() -> None:
    assert found(WHOLE) == []


@pytest.mark.parametrize(
    ("change", "what", "remedy"),
    [
        ({"kubernetes": "v1.35.9-eks-1"}, "Kubernetes is v1.35.9", "1.36 or newer"),
        ({"quotas_known": False}, "knows no TenantQuotas", "helm upgrade --install"),
        ({"noisy": {"acme on one": "wanting 348 ms/s"}}, "acme on one: wanting 348 ms/s", "end what they do"),
        ({"controller": None}, "no Deployment tenantquota-controller", "helm upgrade --install"),
        ({"controller": controller("0.0.9")}, "the operator is 0.0.9, this checkout tests 0.1.0", "helm"),
        ({"controller": controller(available="False")}, "isn't available: 0 of 1 are", "kubectl describe"),
        ({"node_agents": None}, "no DaemonSet tenantquota-node", "node.enabled"),
        ({"agents_ready": {"one"}}, "no node agent is ready on two", "node.nodeSelector"),
        ({"nodes": [node("one", ready=False)]}, "no node is Ready", "kubectl get nodes"),
        ({"images_missing": {"one: a:dev": "denied"}}, "\n  one: a:dev (denied)", "--image-registry"),
        (
            {"nodes": [node("one", pods=11)]},
            "at least for 14 pods, where there is room for 10",
            "TENANTS",
        ),
        ({"nodes": [node("one", cpu="400m")]}, "at least for 305m of CPU", "TENANTS"),
    ],
)
def test_what_is_missing_is_named(change: dict[str, Any], what: str, remedy: str) -> None:
    (problem,) = found(replace(WHOLE, **change))
    told, _, advice = problem.partition("→")
    assert what in told
    assert remedy in advice


def test_all_is_named_at_once() -> None:
    images = {"one: a:dev": "denied", "two: a:dev": "denied"}
    nothing = Facts("v1.30.0", "0.1.0", False, None, None, (), [], [], images)
    assert len(found(nothing)) == 6


def test_make_up_mends_its_own_cluster() -> None:
    (problem,) = found(replace(WHOLE, controller=None), local=True)
    assert problem.endswith("→ make up")


def test_nodes_that_take_no_pods_need_no_agent_and_give_no_room() -> None:
    taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    nodes = [*WHOLE.nodes, node("three", taints=[taint]), node("four", unschedulable=True)]
    assert found(replace(WHOLE, nodes=nodes)) == []


def test_room_is_what_other_pods_leave() -> None:
    pods = [pod("one"), pod("one", "1"), pod("elsewhere"), pod(None)]
    assert room([node("one")], pods) == Room(108, 900, 24 * 2**30 - 128 * 2**20)


def test_more_tenants_need_more_room() -> None:
    assert needed(50).pods - needed(10).pods == 40


def test_the_charts_version_is_read() -> None:
    assert chart_version()[0].isdigit()


@pytest.mark.parametrize(
    ("image", "there"),
    [
        ("tenantquota/agent:dev", True),
        ("docker.io/tenantquota/agent:dev", True),
        ("tenantquota/agent:other", False),
        ("localhost/tenantquota/agent:dev", False),
        ("registry.example/tenantquota/agent:dev", False),
    ],
)
def test_a_nodes_list_of_images(image: str, there: bool) -> None:
    assert listed(node("one"), image) is there


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (None, None),
        ({"state": {}}, None),
        ({"state": {"waiting": {"reason": "ContainerCreating"}}}, None),
        ({"state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}, "not found"),
        ({"state": {"waiting": {"reason": "ErrImageNeverPull"}}}, "ErrImageNeverPull"),
        ({"state": {"waiting": {"reason": "CreateContainerError"}}}, THERE),
        ({"state": {"terminated": {"exitCode": 0}}}, THERE),
        ({"state": {"running": {}}}, THERE),
    ],
)
def test_what_a_containers_status_says_of_its_image(status: Manifest | None, answer: str | None) -> None:
    assert verdict(status) == answer
