"""A hog and its victim on one node, and what becomes of them."""

import time
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from e2e.harness import agents, tenants
from e2e.harness.agents import Agent, Answers
from e2e.harness.cgroups import NodeCgroups, read_all
from e2e.harness.cluster import TENANT_QUOTA, Cluster, Manifest, condition
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.wait import NotYet, wait_until

HOG_PODS: Final = 2
HOG_CORES: Final = 4
"""Each of its pods wants so many."""
WORK_UNITS: Final = 250_000
"""Of one request, some 20 ms of CPU."""
REQUESTS_PER_SECOND: Final = 8.0
LEAST_RATIO: Final = 20
"""Of the victim's weight to the hog's: from here on the victim's latency is that of a quiet node."""
LEAST_WEIGHT: Final = 2
"""No pod has less; the pods here, which request 5m, have more of the kubelet."""
HARMS: Final = "HarmsNeighbours"
"""The reason of condition Isolated."""
SYSTEM_RESOURCES: Final = {"requests": {"cpu": "100m", "memory": "16Mi"}}
"""Of a pod that is no tenant's."""


def quota(tenant: str, weight: int = 100) -> Manifest:
    """Limits that would let each pod take the whole of a small node."""
    return tenants.quota(tenant, cpu="2", memory="128Mi", weight=weight)


@dataclass
class Neighbours:
    """Two tenants; beside them a pod that is no tenant's, which sends the victim its requests."""

    cluster: Cluster
    hog: str
    victim: str
    driver: tuple[str, str]
    agent: NodeAgent
    address: str

    @contextmanager
    def noise(self) -> Iterator[None]:
        """As much as the hog can make."""
        hogs = [Agent(self.cluster, self.hog, item.pod) for item in self.cluster.running(self.hog)]
        try:
            for each in hogs:
                each.burn(HOG_CORES)
            yield
        finally:
            for each in hogs:
                each.burn(0)

    def load(self, seconds: float) -> Answers:
        """Requests to the victim."""
        url = f"http://{self.address}:{tenants.PORT}/work?units={WORK_UNITS}"
        return agents.send(
            self.cluster, self.driver, url, rate_per_second=REQUESTS_PER_SECOND, seconds=seconds
        )

    def weights(self) -> dict[str, set[int]]:
        """Of the pods of hog and victim, by tenant."""
        containers = [*self.cluster.running(self.hog), *self.cluster.running(self.victim)]
        found = NodeCgroups(self.agent.node).pod_weights(containers)
        return {
            tenant: {weight for item, weight in found.items() if item.namespace == tenant}
            for tenant in (self.hog, self.victim)
        }

    def yields(self) -> bool:
        """The hog does, by the cgroup files; else NotYet says what these hold."""
        now = self.weights()
        if max(now[self.hog]) > LEAST_WEIGHT or min(now[self.victim]) <= LEAST_WEIGHT:
            raise NotYet(f"weights are {now}")
        return True

    def protects(self) -> bool:
        """The victim, which waits, is lifted so far above the hog that this is felt no more; else NotYet."""
        now = self.weights()
        if min(now[self.victim]) < LEAST_RATIO * max(now[self.hog]):
            raise NotYet(f"weights are {now}")
        return True

    def quiet(self) -> bool:
        """Nobody on the node yields, and pods that request the same have the same weight; else NotYet."""
        holds, now = self.agent.report().get("holds", []), self.weights()
        if holds or now[self.hog] != now[self.victim] or max(now[self.hog]) <= LEAST_WEIGHT:
            raise NotYet(f"weights are {now}, and holds {holds}")
        return True

    def enforce(self, enforcement: str) -> None:
        """
        Args:
            enforcement: ``Enforce`` or ``Observe``, for both.
        """
        for name in (self.hog, self.victim):
            patch = {"spec": {"enforcement": enforcement}}
            self.cluster.patch(TENANT_QUOTA, tenants.QUOTA, name, patch)

    @contextmanager
    def capped(self, cpu_milli: int) -> Iterator[None]:
        """With lower limits of the hog's pods."""
        before = self._limits_milli()
        self.cluster.patch(TENANT_QUOTA, tenants.QUOTA, self.hog, tenants.limits(cpu=f"{cpu_milli}m"))
        self._wait_limits({cpu_milli})
        try:
            yield
        finally:
            (old,) = before
            self.cluster.patch(TENANT_QUOTA, tenants.QUOTA, self.hog, tenants.limits(cpu=f"{old}m"))
            self._wait_limits(before)

    def _limits_milli(self) -> set[int | None]:
        readings = read_all(self.cluster.running(self.hog)).values()
        return {reading.cpu_limit_millicores for reading in readings}

    def _wait_limits(self, wanted: Set[int | None]) -> None:
        wait_until(
            lambda: self._limits_milli() == wanted, what=f"limits of {wanted} milli-CPU", deadline_seconds=60
        )

    def status(self, tenant: str) -> dict[str, Any]:
        return dict(self.cluster.get(TENANT_QUOTA, tenants.QUOTA, tenant).get("status", {}))

    def isolated(self) -> dict[str, Any]:
        """The hog's condition; empty while there is none."""
        return condition({"status": self.status(self.hog)}, "Isolated") or {}

    def named(self) -> bool:
        """The hog's status says whom it harms; else NotYet."""
        told = self.isolated()
        if told.get("reason") != HARMS:
            raise NotYet(f"Isolated is {told}")
        return f"made {self.victim} wait" in told["message"]


@contextmanager
def neighbours(
    cluster: Cluster, node_agents: dict[str, NodeAgent], *, bystanders: int = 0
) -> Iterator[Neighbours]:
    """Running and answering.

    Args:
        bystanders: further tenants that do nothing.
    """
    suffixes = ("hog", "victim", "driver", *(f"t{number:02d}" for number in range(bystanders)))
    with cluster.temporary_namespaces("noise", *suffixes) as names:
        hog, victim, driver, *others = names
        for name in (hog, victim, *others):
            cluster.apply(quota(name))
        for name in names:
            resources = SYSTEM_RESOURCES if name == driver else None
            for number in range(HOG_PODS if name == hog else 1):
                cluster.apply(tenants.agent(f"agent-{number}", name, resources=resources))
        for name in names:
            for item in cluster.wait_ready(name, HOG_PODS if name == hog else 1):
                Agent(cluster, name, item.pod).wait_answering()
        (container,) = cluster.running(victim)
        (pod,) = cluster.pods(victim)
        agent = the_only(node_agents, {container.node})
        made = Neighbours(cluster, hog, victim, (driver, "agent-0"), agent, pod["status"]["podIP"])
        wait_until(made.quiet, what="quiet after the start", deadline_seconds=60)
        yield made


def seconds_until(check: Callable[[], bool], what: str, deadline_seconds: float) -> float:
    """How long it took."""
    start = time.monotonic()
    wait_until(check, what=what, deadline_seconds=deadline_seconds, poll_seconds=0.05)
    return time.monotonic() - start


def onsets(of: Neighbours, count: int, deadline_seconds: float) -> dict[str, list[float]]:
    """Some times over: noise until the hog yields, and quiet until all weights are as before. Seconds, as the
    cgroup files have it."""
    quiet = of.weights()
    found: dict[str, list[float]] = {"yield_seconds": [], "give_back_seconds": []}
    for _ in range(count):
        with of.noise():
            found["yield_seconds"].append(seconds_until(of.yields, "the hog to yield", deadline_seconds))
        found["give_back_seconds"].append(
            seconds_until(lambda: of.weights() == quiet, "the old weights", deadline_seconds)
        )
    return found


def pods(cluster: Cluster, tenant: str, names: Sequence[str]) -> list[Agent]:
    """Agents of a tenant, answering."""
    for name in names:
        cluster.apply(tenants.agent(name, tenant))
    cluster.wait_ready(tenant, len(names))
    found = [Agent(cluster, tenant, name) for name in names]
    for each in found:
        each.wait_answering()
    return found
