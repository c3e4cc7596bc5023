"""The node agents as they run in the cluster."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from e2e.cluster.settings import NAMESPACE
from e2e.harness.cluster import POD, Cluster, Kind, Manifest, NoClusterError, is_ready
from e2e.harness.wait import NotYet, wait_until

NODE_REPORT: Final = Kind("tenantquota.io/v1alpha1", "NodeReport")
DAEMON_SET: Final = Kind("apps/v1", "DaemonSet")
AGENT: Final = "tenantquota-node"
ACCOUNT: Final = f"system:serviceaccount:{NAMESPACE}:{AGENT}"
SELECTOR: Final = "app.kubernetes.io/component=node"
PORT: Final = 8080


@dataclass(frozen=True, slots=True)
class NodeAgent:
    """One agent's pod."""

    cluster: Cluster
    pod: str
    node: str

    def page(self) -> str:
        """Its metrics as text.

        Raises:
            NotYet: when the pod doesn't answer.
        """
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self.pod}:{PORT}/proxy/metrics"
        try:
            return str(self.cluster.kubectl("get", "--raw", path))
        except Exception as error:
            raise NotYet(f"{self.pod}: {error}") from error

    def metrics(self) -> Iterator[tuple[str, Mapping[str, str], float]]:
        for family in text_string_to_metric_families(self.page()):
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value

    def metric(self, name: str, **labels: str) -> float | None:
        """The first series of that name and those labels; None where there is none."""
        return next(
            (value for found, of, value in self.metrics() if found == name and labels.items() <= of.items()),
            None,
        )

    def python(self, script: str, *arguments: str) -> Any:
        """What a script prints as JSON that runs beside the agent, with its rights."""
        command = ("exec", f"--namespace={NAMESPACE}", self.pod, "--", "python", "-c", script, *arguments)
        return json.loads(self.cluster.kubectl(*command))

    def report(self) -> Manifest:
        return self.cluster.get(NODE_REPORT, self.node)

    def reported(self, namespace: str) -> dict[str, Manifest]:
        """``POD/CONTAINER`` → what the report says, of the containers of a namespace."""
        return {
            f"{of['pod']}/{of['name']}": of
            for of in self.report().get("containers", [])
            if of["namespace"] == namespace
        }


def find_agents(cluster: Cluster, *, deadline_seconds: float = 60) -> list[NodeAgent]:
    """One for each node, once all of them are ready.

    Raises:
        NoClusterError: when the chart was installed without them.
    """
    if cluster.gone(DAEMON_SET, AGENT, NAMESPACE):
        raise NoClusterError(f"no DaemonSet {AGENT} in namespace {NAMESPACE}: run 'make up'")

    def ready() -> list[NodeAgent]:
        status = cluster.get(DAEMON_SET, AGENT, NAMESPACE)["status"]
        pods = [pod for pod in cluster.pods(NAMESPACE, selector=SELECTOR) if is_ready(pod)]
        if not pods or len(pods) != status["desiredNumberScheduled"]:
            raise NotYet(f"{len(pods)} of {status['desiredNumberScheduled']} are")
        return [NodeAgent(cluster, pod["metadata"]["name"], pod["spec"]["nodeName"]) for pod in pods]

    return wait_until(ready, what="the node agents to be ready", deadline_seconds=deadline_seconds)


def agent_of(cluster: Cluster, namespace: str, pod: str) -> NodeAgent:
    """The agent of the node that a pod runs on."""
    node = cluster.get(POD, pod, namespace)["spec"]["nodeName"]
    (found,) = (agent for agent in find_agents(cluster) if agent.node == node)
    return found
