"""Where stressors run: a tenant for each, on one node with quiet neighbours."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from e2e.harness import agents, noise, stress, tenants
from e2e.harness.agents import Agent, Answers
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import TENANT_QUOTA, Cluster, Container, Manifest, condition
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.noise import HARMS, LEAST_WEIGHT, SYSTEM_RESOURCES, WITHIN_SHARE, YIELDS
from e2e.harness.stress import Stressor
from e2e.harness.wait import NotYet, wait_until

AGENT: Final = "agent-0"
"""The name of each pod that answers or sends requests."""
WORK_UNITS: Final = 100_000
"""Of one request, some 8 ms of CPU."""
REQUESTS_PER_SECOND: Final = 25.0
"""To each victim, which is then far below its share."""


@dataclass
class Scene:
    """A tenant for each stressor; tenants that answer requests of a pod that is no tenant's; and some that
    do nothing. All on one node."""

    cluster: Cluster
    culprits: Mapping[str, str]
    """Tenants by the name of their stressor."""
    victims: tuple[str, ...]
    bystanders: tuple[str, ...]
    driver: str
    agent: NodeAgent
    containers: Sequence[Container]
    """Of all tenants."""
    addresses: tuple[str, ...]
    """Of the victims' pods."""

    def __post_init__(self) -> None:
        self.cgroups = NodeCgroups(self.agent.node)

    @property
    def tenants(self) -> tuple[str, ...]:
        return (*self.culprits.values(), *self.victims, *self.bystanders)

    def load(self, seconds: float) -> Answers:
        """Requests to all victims at once."""

        def send(address: str) -> Answers:
            url = f"http://{address}:{tenants.PORT}/work?units={WORK_UNITS}"
            sender = (self.driver, AGENT)
            return agents.send(
                self.cluster, sender, url, rate_per_second=REQUESTS_PER_SECOND, seconds=seconds
            )

        with ThreadPoolExecutor() as threads:
            return together(list(threads.map(send, self.addresses)))

    def weights(self) -> dict[str, int]:
        """Of each tenant's pod."""
        found = self.cgroups.pod_weights(self.containers)
        return {container.namespace: weight for container, weight in found.items()}

    def reported(self) -> set[str]:
        """The tenants that yield, by the node's report."""
        return {each["tenant"] for each in self.agent.report().get("holds", [])}

    def isolated(self) -> dict[str, Manifest]:
        """Each tenant's condition."""
        quotas = self.cluster.objects(TENANT_QUOTA)
        found = {each["metadata"]["namespace"]: condition(each, "Isolated") or {} for each in quotas}
        return {tenant: found[tenant] for tenant in self.tenants}

    def yields(self, tenant: str) -> bool:
        """By the cgroup files."""
        now = self.weights()
        return now.pop(tenant) <= LEAST_WEIGHT < min(now.values())

    def names_a_victim(self, isolated: Manifest) -> bool:
        """Whether a tenant's condition says whom it harms."""
        told = str(isolated.get("message"))
        return isolated.get("reason") == HARMS and any(f"made {each} wait" in told for each in self.victims)

    def alike(self) -> bool:
        """Nobody is held or lifted, by the cgroup files: all request the same, and all have the same; else
        NotYet."""
        now = self.weights()
        if len(set(now.values())) > 1 or min(now.values()) <= LEAST_WEIGHT:
            raise NotYet(f"weights are {now}")
        return True

    def quiet(self) -> bool:
        """Nor is anybody told to be, by the node's report and the status of each; else NotYet."""
        reported, isolated = self.reported(), self.isolated()
        if reported or any(told.get("reason") != WITHIN_SHARE for told in isolated.values()):
            raise NotYet(f"{reported} yield, and Isolated is {isolated}")
        return self.alike()

    @contextmanager
    def observed(self, culprit: str) -> Iterator[None]:
        """While nothing is done about it, nor for the victims."""
        self._enforce("Observe", culprit)
        try:
            yield
        finally:
            self._enforce("Enforce", culprit)

    def _enforce(self, enforcement: str, culprit: str) -> None:
        for tenant in (culprit, *self.victims):
            patch = {"spec": {"enforcement": enforcement}}
            self.cluster.patch(TENANT_QUOTA, tenants.QUOTA, tenant, patch)


def blames(isolated: Manifest) -> bool:
    """Whether a tenant's condition says that it harms others, or yields to them."""
    return isolated.get("reason") in {HARMS, YIELDS}


def together(answers: Sequence[Answers]) -> Answers:
    """Those of several loads that ran at once."""
    return Answers(
        sent=sum(each.sent for each in answers),
        failed=sum(each.failed for each in answers),
        in_time=sum(each.in_time for each in answers),
        errors=tuple(error for each in answers for error in each.errors),
        latencies_ms=tuple(latency for each in answers for latency in each.latencies_ms),
    )


@contextmanager
def scene(
    cluster: Cluster,
    node_agents: dict[str, NodeAgent],
    stressors: Sequence[Stressor],
    *,
    victims: int,
    bystanders: int,
) -> Iterator[Scene]:
    """Running and answering, and nobody stressed yet."""
    suffixes = [each.name for each in stressors]
    suffixes += [f"victim{number}" for number in range(victims)]
    suffixes += [f"t{number:02d}" for number in range(bystanders)]
    with cluster.temporary_namespaces("stress", *suffixes, "driver") as (*names, driver):
        culprits, quiet = names[: len(stressors)], names[len(stressors) :]
        for name in culprits:
            cluster.apply(stress.quota(name), stress.pod(name))
        for name in quiet:
            cluster.apply(noise.quota(name), tenants.agent(AGENT, name))
        cluster.apply(tenants.agent(AGENT, driver, resources=SYSTEM_RESOURCES))
        containers = [container for name in (*names, driver) for container in cluster.wait_ready(name, 1)]
        for name in (*quiet, driver):
            Agent(cluster, name, AGENT).wait_answering()
        made = Scene(
            cluster,
            {each.name: tenant for each, tenant in zip(stressors, culprits, strict=True)},
            tuple(quiet[:victims]),
            tuple(quiet[victims:]),
            driver,
            the_only(node_agents, {container.node for container in containers}),
            [container for container in containers if container.namespace != driver],
            tuple(pod["status"]["podIP"] for name in quiet[:victims] for pod in cluster.pods(name)),
        )
        wait_until(made.quiet, what="quiet after the start", deadline_seconds=60)
        yield made
