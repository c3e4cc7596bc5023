"""The operator's node agents as they run in the cluster, and what their metrics say."""

import json
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client.parser import text_string_to_metric_families

from e2e.cluster.settings import NAMESPACE as OPERATOR_NAMESPACE
from e2e.harness.cluster import DAEMON_SET, NODE_REPORT, POD, Cluster, Container, Manifest, NoClusterError
from e2e.harness.wait import NotYet, wait_until

DAEMON_SET_NAME: Final = "tenantquota-node"
CONTAINER: Final = "node"
"""The agent; beside it is the one that writes weights."""
ACCOUNT: Final = f"system:serviceaccount:{OPERATOR_NAMESPACE}:{DAEMON_SET_NAME}"
SELECTOR: Final = "app.kubernetes.io/component=node"
PORT: Final = 8080
TICK_DEADLINE_SECONDS: Final = 10
NodeName = str
_Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Scrape:
    """One answer of an agent's ``/metrics``.

    Attributes:
        asked_seconds: when it was asked for, on this machine's clock; so for answered.
        samples: by the metric's name, and by its labels within.
    """

    asked_seconds: float
    answered_seconds: float
    samples: dict[str, dict[_Labels, float]] = field(repr=False)

    @classmethod
    def of(cls, text: str, asked_seconds: float, answered_seconds: float) -> "Scrape":
        samples: dict[str, dict[_Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return cls(asked_seconds, answered_seconds, samples)

    def value(self, name: str, **labels: str) -> float:
        """
        Raises:
            NotYet: when there is no such series.
        """
        try:
            return self.samples[name][frozenset(labels.items())]
        except KeyError:
            raise NotYet(f"the agent has no series {name}{labels}") from None

    def container(self, what: str, container: Container, tenant: str | None = None) -> float:
        """``tenantquota_container_WHAT`` of a container, whose tenant is its namespace unless given."""
        return self.value(
            f"tenantquota_container_{what}",
            tenant=tenant or container.namespace,
            namespace=container.namespace,
            pod=container.pod,
            container=container.name,
        )

    def labels(self, name: str) -> Iterator[dict[str, str]]:
        """Of each series of a metric."""
        yield from (dict(labels) for labels in self.samples.get(name, {}))

    def quantile(self, name: str, quantile: float, since: "Scrape") -> float:
        """A bound of a bucket: a part ``quantile`` of what a histogram without labels observed since an
        earlier scrape was at most so much.

        Raises:
            NotYet: when nothing was observed.
        """
        counts = {
            float(of["le"]): self.value(f"{name}_bucket", **of) - since.value(f"{name}_bucket", **of)
            for of in self.labels(f"{name}_bucket")
        }
        total = max(counts.values(), default=0)
        if not total:
            raise NotYet(f"nothing was observed in {name}")
        return min(bound for bound, count in counts.items() if count >= quantile * total)

    @property
    def tick_seconds(self) -> float:
        """When the tick began of which it tells, or a little earlier."""
        return self.asked_seconds - self.value("tenantquota_node_last_tick_age_seconds")


@dataclass(frozen=True)
class NodeAgent:
    """The agent of one node, asked through the API server's proxy."""

    cluster: Cluster = field(repr=False)
    itself: Container

    @property
    def node(self) -> NodeName:
        return self.itself.node

    def containers(self) -> list[Container]:
        """Of its pod: the agent, and the writer of weights."""
        running = self.cluster.running(self.itself.namespace)
        return [container for container in running if container.pod == self.itself.pod]

    def page(self) -> str:
        """Its metrics as text."""
        path = f"/api/v1/namespaces/{self.itself.namespace}/pods/{self.itself.pod}:{PORT}/proxy/metrics"
        return str(self.cluster.request("GET", path))

    def scrape(self) -> Scrape:
        asked = time.time()
        text = self.page()
        return Scrape.of(text, asked, time.time())

    def metric(self, name: str, **labels: str) -> float | None:
        """The first series of that name with those labels among its own; None where there is none."""
        found = self.scrape().samples.get(name, {})
        return next((value for own, value in found.items() if labels.items() <= own), None)

    def report(self) -> Manifest:
        """The NodeReport of its node."""
        return self.cluster.get(NODE_REPORT, self.node)

    def reported(self, namespace: str) -> dict[str, Manifest]:
        """``POD/CONTAINER`` → what the report says, of the containers of a namespace."""
        return {
            f"{of['pod']}/{of['name']}": of
            for of in self.report().get("containers", [])
            if of["namespace"] == namespace
        }

    def python(self, script: str, *arguments: str) -> Any:
        """What a script prints as JSON that runs beside the agent, with its rights."""
        itself = ("exec", f"--namespace={self.itself.namespace}", self.itself.pod, "--")
        return json.loads(self.cluster.kubectl(*itself, "python", "-c", script, *arguments))

    def next_tick(self, since: float | None = None) -> Scrape:
        """What a tick saw that began after ``since`` (this machine's clock; default: now).

        Raises:
            DeadlineExceededError: when the agent doesn't sample.
        """
        after = time.time() if since is None else since

        def ticked() -> Scrape:
            scrape = self.scrape()
            if scrape.tick_seconds <= after:
                raise NotYet(f"the last tick was {after - scrape.tick_seconds:.2f} s before")
            return scrape

        return wait_until(
            ticked,
            what=f"a tick of the agent on {self.node}",
            deadline_seconds=TICK_DEADLINE_SECONDS,
            poll_seconds=0.2,
        )


def find_node_agents(cluster: Cluster, *, deadline_seconds: float = 60) -> dict[NodeName, NodeAgent]:
    """The agents, once each node that is to have one has one that is ready.

    Raises:
        NoClusterError: when there is no such DaemonSet.
        DeadlineExceededError: when they aren't ready in time.
    """
    if cluster.gone(DAEMON_SET, DAEMON_SET_NAME, OPERATOR_NAMESPACE):
        raise NoClusterError(
            f"no DaemonSet {DAEMON_SET_NAME} in namespace {OPERATOR_NAMESPACE}: run 'make up'"
        )

    def rolled_out() -> int:
        found = cluster.get(DAEMON_SET, DAEMON_SET_NAME, OPERATOR_NAMESPACE)
        status = found.get("status", {})
        wanted = status.get("desiredNumberScheduled", 0)
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        ready = wanted == status.get("numberReady") == status.get("updatedNumberScheduled")
        if not (current and wanted and ready):
            raise NotYet(f"{status}")
        return int(wanted)

    count = wait_until(
        rolled_out, what=f"DaemonSet {DAEMON_SET_NAME} to be ready", deadline_seconds=deadline_seconds
    )
    containers = cluster.wait_ready(OPERATOR_NAMESPACE, count, selector=SELECTOR)
    return {
        container.node: NodeAgent(cluster, container)
        for container in containers
        if container.name == CONTAINER
    }


def the_only(agents: dict[NodeName, NodeAgent], nodes: Collection[NodeName]) -> NodeAgent:
    """The agent of the one node on which everything is that is measured."""
    (node,) = set(nodes)
    return agents[node]


def agent_beside(cluster: Cluster, pod: str, namespace: str) -> NodeAgent:
    """The agent of the node that a pod runs on."""
    return find_node_agents(cluster)[cluster.get(POD, pod, namespace)["spec"]["nodeName"]]
