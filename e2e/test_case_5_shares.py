"""Case 5, fairness: ten pods of one tenant against one of another on a full node, and a pod beside them."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pytest

from e2e.harness import many, noise, served, tenants
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import TENANT_QUOTA, Cluster, Container
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.readings import cpu_use
from e2e.harness.recording import About
from e2e.harness.served import AGENT, Terms
from e2e.harness.services import Services
from e2e.harness.sessions import ServedAgent, Sessions
from e2e.harness.wait import NotYet, wait_until
from e2e.results import Chart, Line, Recorder

CASE: Final = About(
    5,
    "Shares",
    "Ten busy pods of one tenant against one of another on a full node: CPU is tenants', not pods'.",
    variant="shares",
)
pytestmark = pytest.mark.variant
TENANTS: Final = [2]
MANY: Final = "many"
ONE: Final = "one"
SYSTEM: Final = "system"
MANY_PODS: Final = 10
WEIGHTS: Final = (100, 300)
"""Of the tenant with one pod; the other's is 100."""
SHARE_SECONDS: Final = 10.0
TOLERANCE: Final = 0.15
SYSTEM_PERCENT: Final = 30
SYSTEM_MILLI_AT_LEAST: Final = 270
"""Of the 300 that it wants."""
TERMS: Final = {
    MANY: noise.TERMS,
    ONE: noise.TERMS,
    SYSTEM: Terms(requested_cpu="100m", held=False),
}


@dataclass(frozen=True)
class Crowd:
    """Everybody is busy."""

    cluster: Cluster
    cgroups: NodeCgroups
    tenant: str
    """The one with one pod."""
    containers: Mapping[str, list[Container]]

    def used(self, seconds: float) -> dict[str, float]:
        """Milli-CPU of each group over some time."""
        everybody = [item for each in self.containers.values() for item in each]
        before = self.cgroups.read(everybody)
        time.sleep(seconds)  # the window that is measured
        after = self.cgroups.read(everybody)
        return {
            name: sum(cpu_use(before[item], after[item]).millicores for item in each)
            for name, each in self.containers.items()
        }


@pytest.fixture(scope="module")
def crowd(
    cluster: Cluster,
    services: Services,
    sessions: Sessions,
    controller: Container,
    node_agents: dict[str, NodeAgent],
) -> Iterator[Crowd]:
    with served.serving(cluster, services, "case5", *TERMS, terms=TERMS) as made:
        names = [f"{AGENT}-{number}" for number in range(1, MANY_PODS)]
        noise.further(cluster, services, made[0].name, names)
        containers = {name: cluster.running(of.name) for name, of in zip(TERMS, made, strict=True)}
        agent = the_only(node_agents, {item.node for each in containers.values() for item in each})
        agents = {
            name: [ServedAgent(sessions, of, item.pod) for item in containers[name]]
            for name, of in zip(TERMS, made, strict=True)
        }
        many.each(lambda each: each.burn(noise.HOG_CORES), [*agents[MANY], *agents[ONE]])
        agents[SYSTEM][0].burn(1, percent=SYSTEM_PERCENT)
        yield Crowd(cluster, NodeCgroups(agent.node), made[1].name, containers)


@pytest.fixture(scope="module")
def shares(record: Recorder) -> Iterator[dict[int, dict[str, float]]]:
    """Milli-CPU of each group, by the weight of the one."""
    found: dict[int, dict[str, float]] = {}
    yield found
    titles = {MANY: "ten pods", ONE: "one pod", SYSTEM: "no tenant's"}
    lines = [
        Line(
            name=title,
            points=[(number, round(each[name], 1)) for number, each in enumerate(found.values())],
        )
        for name, title in titles.items()
    ]
    record.charts.append(
        Chart(
            title="CPU of each tenant, by their weights",
            unit="m",
            x="weights",
            bars=[f"100 to {weight}" for weight in found],
            lines=lines,
        )
    )


@pytest.mark.parametrize("weight", WEIGHTS)
def test_shares_belong_to_tenants_not_to_pods(
    crowd: Crowd, shares: dict[int, dict[str, float]], record: Recorder, weight: int
) -> None:
    """The ratio is that of the quotas' weights; a pod that is no tenant's gets what it wants all the same."""
    crowd.cluster.patch(TENANT_QUOTA, tenants.QUOTA, crowd.tenant, {"spec": {"weight": weight}})

    def fair() -> dict[str, float]:
        found = crowd.used(SHARE_SECONDS)
        ratio = found[ONE] / found[MANY]
        if ratio != pytest.approx(weight / 100, rel=TOLERANCE):
            raise NotYet(f"they use {found}, {ratio:.2f} to 1")
        if found[SYSTEM] < SYSTEM_MILLI_AT_LEAST:
            raise NotYet(f"they use {found}")
        return found

    found = wait_until(fair, what=f"a ratio of {weight / 100}", deadline_seconds=60)
    shares[weight] = found
    off = abs(found[ONE] / found[MANY] / (weight / 100) - 1) * 100
    record.goal(f"the ratio of use, off {weight} to 100", off, "%", at_most=TOLERANCE * 100)
