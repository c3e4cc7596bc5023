"""What every tenant had and wanted, second by second, by the cgroup files and the node agent's metrics."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import TENANT_QUOTA, Cluster, Container, condition
from e2e.harness.node_agent import NodeAgent, Scrape
from e2e.harness.noise import HARMS, YIELDS
from e2e.harness.readings import Reading
from e2e.harness.wait import NotYet
from e2e.validation.fairness import Use, entitlements

LOOK_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Look:
    """One moment.

    Attributes:
        readings: of each tenant's container.
        agent: of the node agent's containers.
        waited_seconds: by tenant, for which its threads waited for a CPU until now; the agent keeps count.
        blamed: tenants that their condition Isolated says harm others or yield to them.
    """

    at_seconds: float
    readings: Mapping[str, Reading]
    agent: Sequence[Reading]
    waited_seconds: Mapping[str, float]
    blamed: frozenset[str]


@dataclass(frozen=True)
class Entry:
    """One tenant between two looks or more, in ms of CPU a second.

    Attributes:
        due: the least of what it wanted and its max-min fair share by weight of what all tenants got.
    """

    used: float
    wanted: float
    due: float

    @property
    def received(self) -> float:
        """Of what it was due; 1 for one that was due nothing."""
        return self.used / self.due if self.due > 0 else 1.0


def take(
    cluster: Cluster, agent: NodeAgent, containers: Collection[Container], beside: Collection[Container]
) -> Look:
    """How it is now.

    Args:
        containers: one of each tenant.
        beside: the node agent's own.
    """
    readings = NodeCgroups(agent.node).read([*containers, *beside])
    scrape = agent.scrape()
    names = {container.namespace for container in containers}
    return Look(
        at_seconds=next(iter(readings.values())).at_seconds,
        readings={item.namespace: readings[item] for item in containers},
        agent=[readings[item] for item in beside],
        waited_seconds={item.namespace: _waited(scrape, item) for item in containers},
        blamed=blamed(cluster) & names,
    )


def blamed(cluster: Cluster) -> frozenset[str]:
    """The namespaces of quotas whose condition Isolated says that a tenant harms others or yields to them."""
    return frozenset(
        each["metadata"]["namespace"]
        for each in cluster.objects(TENANT_QUOTA)
        if (condition(each, "Isolated") or {}).get("reason") in (HARMS, YIELDS)
    )


def watch(
    cluster: Cluster,
    agent: NodeAgent,
    containers: Collection[Container],
    beside: Collection[Container],
    seconds: float,
) -> list[Look]:
    """A look now, and every few seconds until so many are over."""
    start = time.monotonic()
    looks = [take(cluster, agent, containers, beside)]
    while time.monotonic() - start < seconds:
        time.sleep(max(0.0, start + LOOK_SECONDS * len(looks) - time.monotonic()))  # what is measured
        looks.append(take(cluster, agent, containers, beside))
    return looks


def _waited(scrape: Scrape, container: Container) -> float:
    """None of its threads was looked at: none has waited."""
    try:
        return scrape.container("run_delay_seconds_total", container)
    except NotYet:
        return 0.0


def between(
    before: Look, after: Look, weights: Mapping[str, int], served: Collection[str] = ()
) -> dict[str, Entry]:
    """What each tenant had, wanted and was due. What they share is what they had all together: whatever the
    system takes of the node is nobody's unfairness.

    Used and waited together are what a thread wants that never rests. One that answers requests would not
    use the time that it waited: what it is asked for is all that it wants.

    Args:
        served: tenants that did all that they were asked for in time: they wanted what they used.
    """
    seconds = after.at_seconds - before.at_seconds
    uses = {
        tenant: Use(
            used=max(0.0, now.cpu_used_seconds - before.readings[tenant].cpu_used_seconds) * 1000 / seconds,
            # of threads that ended the last bit is missing
            waited=0.0
            if tenant in served
            else max(0.0, after.waited_seconds[tenant] - before.waited_seconds[tenant]) * 1000 / seconds,
            weight=weights[tenant],
        )
        for tenant, now in after.readings.items()
    }
    due = entitlements(uses, sum(use.used for use in uses.values()))
    return {tenant: Entry(use.used, use.wanted, due[tenant]) for tenant, use in uses.items()}


def balance(
    looks: Sequence[Look], weights: Mapping[str, int], served: Collection[str] = ()
) -> dict[str, Entry]:
    """Over all of the time: what was due is added up from look to look, since who rests now is not due more
    for it later. See ``between``."""
    total = looks[-1].at_seconds - looks[0].at_seconds
    sums = {tenant: [0.0, 0.0, 0.0] for tenant in weights}
    for before, after in pairwise(looks):
        part = (after.at_seconds - before.at_seconds) / total
        for tenant, entry in between(before, after, weights, served).items():
            for number, value in enumerate((entry.used, entry.wanted, entry.due)):
                sums[tenant][number] += value * part
    return {tenant: Entry(*each) for tenant, each in sums.items()}


def agent_millicores(looks: Sequence[Look]) -> float:
    """What the node agent's containers used over that time, all together."""
    first, last = looks[0], looks[-1]
    used = sum(
        now.cpu_used_seconds - then.cpu_used_seconds
        for then, now in zip(first.agent, last.agent, strict=True)
    )
    return used / (last.at_seconds - first.at_seconds) * 1000
