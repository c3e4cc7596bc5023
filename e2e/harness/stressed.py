"""Where stressors run: a tenant for each, on one node with quiet neighbours."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from e2e.harness import load, many, noise, served, stress, tenants
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import TENANT_QUOTA, Cluster, Container, Manifest, condition
from e2e.harness.load import Answers, DriverPod
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.noise import HARMS, LEAST_WEIGHT, WITHIN_SHARE, YIELDS
from e2e.harness.rollout import roll_out
from e2e.harness.served import Tenant
from e2e.harness.services import Services
from e2e.harness.stress import Stressor
from e2e.harness.wait import NotYet, wait_until

REQUEST_MILLISECONDS: Final = 8.0
REQUESTS_PER_SECOND: Final = 25.0
"""To each victim, which is then far below its share."""


@dataclass
class Scene:
    """A tenant for each stressor; tenants that answer their customers; and some that do nothing. All on one
    node."""

    cluster: Cluster
    culprits: Mapping[str, str]
    """Tenants by the name of their stressor."""
    answering: tuple[Tenant, ...]
    bystanders: tuple[str, ...]
    driver: DriverPod
    agent: NodeAgent
    containers: Sequence[Container]
    """Of all tenants."""

    def __post_init__(self) -> None:
        self.cgroups = NodeCgroups(self.agent.node)

    @property
    def victims(self) -> tuple[str, ...]:
        return tuple(tenant.name for tenant in self.answering)

    @property
    def tenants(self) -> tuple[str, ...]:
        return (*self.culprits.values(), *self.victims, *self.bystanders)

    def load(self, seconds: float) -> Answers:
        """Requests to all victims at once."""
        targets = [load.target(each, REQUESTS_PER_SECOND, REQUEST_MILLISECONDS) for each in self.answering]
        with self.driver.load(targets, seconds) as running:
            running.wait()
            return running.all()

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


@contextmanager
def scene(
    cluster: Cluster,
    services: Services,
    driver: DriverPod,
    node_agents: Mapping[str, NodeAgent],
    stressors: Sequence[Stressor],
    *,
    victims: int,
    bystanders: int,
) -> Iterator[Scene]:
    """Running and answering, and nobody stressed yet."""
    suffixes = [f"victim{number}" for number in range(victims)]
    suffixes += [f"t{number:02d}" for number in range(bystanders)]
    terms = dict.fromkeys(suffixes, noise.TERMS)
    with (
        served.serving(cluster, services, "stress", *suffixes, terms=terms) as quiet,
        cluster.temporary_namespaces("stress", *map(str, stressors)) as culprits,
    ):
        many.each(lambda name: cluster.apply(stress.quota(name)), culprits)
        roll_out(cluster, [stress.pod(name) for name in culprits])
        names = [*culprits, *(tenant.name for tenant in quiet)]
        containers = [container for name in names for container in cluster.running(name)]
        made = Scene(
            cluster,
            dict(zip(map(str, stressors), culprits, strict=True)),
            tuple(quiet[:victims]),
            tuple(tenant.name for tenant in quiet[victims:]),
            driver,
            the_only(dict(node_agents), {container.node for container in containers}),
            containers,
        )
        wait_until(made.quiet, what="quiet after the start", deadline_seconds=60)
        yield made
