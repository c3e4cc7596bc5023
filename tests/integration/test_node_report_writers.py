"""Who may write a NodeReport: the agent of the node that it is named after, and nobody else."""

import json
from collections.abc import Callable, Iterator

import pytest

from e2e.cluster.settings import NAMESPACE
from e2e.harness.cluster import NODE, NODE_REPORT, Cluster
from e2e.harness.node_agent import ACCOUNT, DAEMON_SET_NAME, NodeAgent
from e2e.harness.target import Target
from e2e.harness.wait import wait_until
from tests.integration.kubectl import Answer, Kubectl, Manifest

NODE_CLAIM = "authentication.kubernetes.io/node-name"
OTHER = "test-node-of-nobody"


def manifest(node: str) -> Manifest:
    return {
        "apiVersion": "tenantquota.io/v1alpha1",
        "kind": "NodeReport",
        "metadata": {"name": node},
        "heartbeat": "2026-01-01T00:00:00Z",
        "periodSeconds": 30,
    }


def apply(kubectl: Kubectl, node: str, *options: str) -> Answer:
    return kubectl(
        *("apply", "--server-side", "--force-conflicts", "--field-manager=test", "--dry-run=server"),
        *("--filename=-", "--output=json", *options),
        stdin=manifest(node),
    )


@pytest.fixture(scope="module")
def agent(node_agents: dict[str, NodeAgent]) -> NodeAgent:
    return next(iter(node_agents.values()))


@pytest.fixture(scope="module")
def as_agent(kubectl: Kubectl, agent: NodeAgent) -> Kubectl:
    """Of that node, by the account's name alone; the node comes with each request."""
    return kubectl.impersonating(ACCOUNT)


def of_node(node: str) -> str:
    return f"--as-user-extra={NODE_CLAIM}={node}"


def test_an_agent_may_write_its_own(as_agent: Kubectl, agent: NodeAgent) -> None:
    written = apply(as_agent, agent.node, of_node(agent.node)).manifest

    assert written["heartbeat"] == "2026-01-01T00:00:00Z"


def test_an_agent_may_create_its_own(as_agent: Kubectl) -> None:
    apply(as_agent, OTHER, of_node(OTHER)).ok()


@pytest.mark.parametrize("claim", ["another-node", "", OTHER.upper(), f"{OTHER}-2", OTHER[:-1]])
def test_an_agent_may_not_create_anothers(as_agent: Kubectl, claim: str) -> None:
    message = apply(as_agent, OTHER, of_node(claim)).refusal()

    assert f"NodeReport {OTHER} is written by the agent of that node alone" in message
    assert ("this token is bound to no node" if not claim else f"this token is of node {claim}") in message


def test_an_agent_may_not_change_anothers(as_agent: Kubectl, agent: NodeAgent) -> None:
    message = apply(as_agent, agent.node, of_node(OTHER)).refusal()

    assert f"this token is of node {OTHER}" in message


def test_a_token_without_a_node_may_write_none(as_agent: Kubectl, agent: NodeAgent) -> None:
    assert "this token is bound to no node" in apply(as_agent, agent.node).refusal()


def test_not_even_an_administrator_may(kubectl: Kubectl, agent: NodeAgent) -> None:
    for answer in (
        apply(kubectl, agent.node),
        apply(kubectl, OTHER),
        kubectl("label", "nodereport", agent.node, "a=b", "--dry-run=server"),
    ):
        message = answer.refusal()
        assert "is not an agent" in message
        assert "to have it written anew, delete it" in message


def test_a_node_claim_alone_does_not_make_an_agent(kubectl: Kubectl, agent: NodeAgent) -> None:
    impostor = kubectl.impersonating("system:serviceaccount:default:default")
    rights = ("--as-group=system:masters", of_node(agent.node))

    assert "is not an agent" in apply(impostor, agent.node, *rights).refusal()


def test_garbage_collection_may(kubectl: Kubectl, agent: NodeAgent) -> None:
    """It sets finalizers where a Node is deleted in the foreground."""
    collector = kubectl.impersonating("system:serviceaccount:kube-system:generic-garbage-collector")
    patch = '{"metadata":{"annotations":{"a":"b"}}}'

    collector("patch", "nodereport", agent.node, "--type=merge", f"--patch={patch}", "--dry-run=server").ok()


@pytest.fixture(scope="module")
def token(cluster: Cluster, kubectl: Kubectl) -> Iterator[str]:
    """A real token, as the kubelet of a node would get it."""
    cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": OTHER}})
    try:
        yield (
            kubectl(
                *("create", "token", DAEMON_SET_NAME, f"--namespace={NAMESPACE}"),
                *("--bound-object-kind=Node", f"--bound-object-name={OTHER}"),
            )
            .ok()
            .stdout.strip()
        )
    finally:
        cluster.delete(NODE, OTHER)


@pytest.fixture(scope="module")
def bearer(kubectl: Kubectl, token: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Answer]:
    """Applies a node's report with that token, and none of the administrator's credentials."""
    config = kubectl("config", "view", "--raw", "--flatten", "--minify", "--output=json").manifest
    config["users"][0]["user"] = {"token": token}
    kubeconfig = tmp_path_factory.mktemp("bearer") / "config"
    kubeconfig.touch(0o600)
    kubeconfig.write_text(json.dumps(config))
    with_token = Target(kubectl.target.context, str(kubeconfig))
    return lambda node: apply(Kubectl(with_token), node, "--validate=false")


def test_a_real_token_writes_its_nodes_report_only(bearer: Callable[[str], Answer], agent: NodeAgent) -> None:
    bearer(OTHER).ok()
    assert f"this token is of node {OTHER}" in bearer(agent.node).refusal()


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("get", "secrets"),
        ("get", "nodes"),
        ("create", "pods"),
        ("patch", "pods"),
        ("patch", "pods/resize"),
        ("delete", "pods"),
        ("create", "pods/exec"),
        ("patch", "tenantquotas"),
        ("delete", "nodereports"),
        ("get", "nodes/proxy"),
    ],
)
def test_an_agent_may_do_nothing_else(as_agent: Kubectl, verb: str, resource: str) -> None:
    answer = as_agent("auth", "can-i", verb, resource, "--all-namespaces")

    assert answer.stdout.strip() == "no", answer


def test_belongs_to_the_node(agent: NodeAgent, cluster: Cluster) -> None:
    (owner,) = agent.report()["metadata"]["ownerReferences"]

    assert owner == {
        "apiVersion": "v1",
        "kind": "Node",
        "name": agent.node,
        "uid": cluster.get(NODE, agent.node)["metadata"]["uid"],
    }


@pytest.mark.exclusive
def test_comes_back_when_it_was_deleted(agent: NodeAgent, cluster: Cluster) -> None:
    uid = agent.report()["metadata"]["uid"]
    cluster.delete(NODE_REPORT, agent.node)

    wait_until(
        lambda: not cluster.gone(NODE_REPORT, agent.node) and agent.report()["metadata"]["uid"] != uid,
        what="a new report",
        deadline_seconds=60,
    )


def test_goes_with_its_node(cluster: Cluster, as_agent: Kubectl) -> None:
    name = f"{OTHER}-that-goes"
    cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    uid = cluster.get(NODE, name)["metadata"]["uid"]
    owned = manifest(name)
    owned["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}]
    as_agent("create", "--filename=-", of_node(name), stdin=owned).ok()

    cluster.delete(NODE, name)
    wait_until(
        lambda: cluster.gone(NODE_REPORT, name), what="the report to be collected", deadline_seconds=120
    )
