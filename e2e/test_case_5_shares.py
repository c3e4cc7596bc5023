"""Case 5, fairness: ten pods of one tenant against one of another on a full node, and a pod beside them."""

import time
from collections.abc import Mapping
from typing import Final

import pytest

from e2e.harness import noise, tenants
from e2e.harness.agents import Agent
from e2e.harness.cgroups import NodeCgroups, cpu_use
from e2e.harness.cluster import Cluster, Container
from e2e.harness.figures import machine, write_report
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.wait import NotYet, wait_until

MANY_PODS: Final = 10
SHARE_SECONDS: Final = 10.0
TOLERANCE: Final = 0.15
SYSTEM_PERCENT: Final = 30
SYSTEM_MILLI_AT_LEAST: Final = 270
"""Of the 300 that it wants."""


def used(cgroups: NodeCgroups, containers: Mapping[str, list[Container]], seconds: float) -> dict[str, float]:
    """Millicores of each group over some time."""
    everybody = [item for each in containers.values() for item in each]
    before = cgroups.read(everybody)
    time.sleep(seconds)  # the window that is measured
    after = cgroups.read(everybody)
    return {
        name: sum(cpu_use(before[item], after[item]).millicores for item in each)
        for name, each in containers.items()
    }


@pytest.mark.parametrize("weight", [100, 300])
def test_shares_belong_to_tenants_not_to_pods(
    cluster: Cluster, controller: Container, node_agents: dict[str, NodeAgent], weight: int
) -> None:
    """The ratio is that of the quotas' weights; a pod that is no tenant's gets what it wants all the same."""
    with cluster.temporary_namespaces("case5", "many", "one", "system") as (many, one, system):
        cluster.apply(noise.quota(many), noise.quota(one, weight))
        cluster.apply(tenants.agent("agent-0", system, resources=noise.SYSTEM_RESOURCES))
        busy = noise.pods(cluster, many, [f"agent-{number}" for number in range(MANY_PODS)])
        busy += noise.pods(cluster, one, ["agent-0"])
        containers = {name: cluster.running(name) for name in (many, one)}
        containers[system] = cluster.wait_ready(system, 1)
        agent = the_only(node_agents, {item.node for each in containers.values() for item in each})
        beside = Agent(cluster, system, "agent-0")
        beside.wait_answering()
        for each in busy:
            each.burn(noise.HOG_CORES)
        beside.burn(1, percent=SYSTEM_PERCENT)
        cgroups = NodeCgroups(agent.node)

        def fair() -> dict[str, float]:
            found = used(cgroups, containers, SHARE_SECONDS)
            ratio = found[one] / found[many]
            if ratio != pytest.approx(weight / 100, rel=TOLERANCE):
                raise NotYet(f"they use {found}, {ratio:.2f} to 1")
            if found[system] < SYSTEM_MILLI_AT_LEAST:
                raise NotYet(f"they use {found}")
            return found

        found = wait_until(fair, what=f"a ratio of {weight / 100}", deadline_seconds=60)
        figures = {"ten pods": found[many], "one": found[one], "no tenant's": found[system]}
        write_report(f"case_5_shares_{weight}", {"machine": machine(cluster.version), "millicores": figures})
