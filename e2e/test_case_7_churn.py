"""Case 7 over and over: tenants come and go for many rounds, and the operator's memory stays flat.

Each round is a whole life: namespaces, quotas with a budget, agents older than their quota and born into it,
one that finishes and is cleaned away; the node agent sees them all, then their namespaces are deleted.
Anonymous memory is what counts: page cache isn't the program's, and a leak is anonymous.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import partial

import pytest

from e2e.harness import tenants
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import NAMESPACE, POD, TENANT_QUOTA, Cluster, Container, Manifest
from e2e.harness.figures import machine
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.recording import About
from e2e.harness.trend import trend
from e2e.harness.wait import NotYet, wait_until
from e2e.results import Chart, Line, Recorder

CASE = About(
    7,
    "Churn",
    "tenants come and go, round after round; the memory of controller and node agent must stay flat",
    variant="churn",
)
pytestmark = pytest.mark.variant
TENANTS = [3]
"""At once: what counts is how many come and go, rounds times these."""
WARM_UP_ROUNDS = 4
"""In which pools, caches and the allocator's arenas fill."""
GROWTH_PERCENT = 5.0
GROWTH_ROUNDS = 100
"""Over so many rounds, memory may grow by so much of its level."""
SETTLING_BYTES = 256 << 10
"""What fewer rounds may add besides: an allocator goes on settling for longer than they last. Measured on a
node agent that stays flat: 8 KiB a round in the first ten rounds, for sure; nothing in most later tens."""
MIB = 1 << 20
DEADLINE_SECONDS = 60
FINISHED_SECONDS = 1
PREFIX = "churn-"


@dataclass
class Churn:
    """
    Attributes:
        memory_bytes: by part of the operator, one value after each round, warm-up left out.
        seconds: of each round.
    """

    memory_bytes: dict[str, list[int]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


def quota(tenant: str) -> Manifest:
    return tenants.quota(
        tenant,
        cpu="200m",
        memory="64Mi",
        budget={"cpu": "500m", "memory": "256Mi", "pods": 4},
        cleanup={"ttlSecondsAfterFinished": FINISHED_SECONDS},
    )


def finishing(tenant: str) -> Manifest:
    manifest = tenants.agent("finishing", tenant)
    manifest["spec"]["restartPolicy"] = "Never"
    (container,) = manifest["spec"]["containers"]
    container["command"] = ["true"]
    return manifest


def live(cluster: Cluster, agent: NodeAgent, names: list[str]) -> None:
    """The life of some tenants, until all have been seen by everybody."""
    for name in names:
        cluster.apply(tenants.agent("older", name))
        cluster.apply(quota(name), tenants.agent("agent", name), finishing(name))
    for name in names:
        wait_until(
            partial(settled, cluster, name),
            what=f"the quota of {name} to hold both its agents and have the third cleaned away",
            deadline_seconds=DEADLINE_SECONDS,
        )
    wait_until(
        lambda: all_seen(agent, names), what="the node agent to see all", deadline_seconds=DEADLINE_SECONDS
    )


def settled(cluster: Cluster, name: str) -> bool:
    status = cluster.get(TENANT_QUOTA, tenants.QUOTA, name).get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    enforced = conditions.get("Enforced", {})
    if status.get("pods") != 2 or enforced.get("status") != "True":
        raise NotYet(f"{status.get('pods')} pods, {enforced.get('message')}")
    if not cluster.gone(POD, "finishing", name):
        raise NotYet("the finished one is there")
    return True


def all_seen(agent: NodeAgent, names: list[str]) -> bool:
    seen = {of["tenant"] for of in agent.scrape().labels("tenantquota_tenant_containers")}
    return set(names) <= seen


def measured(
    cluster: Cluster,
    agent: NodeAgent,
    parts: dict[str, Container],
    tenant_count: int,
    rounds: int,
    made: Churn,
) -> None:
    """All rounds. The namespaces of one go while the next one lives."""
    cgroups, run = NodeCgroups(agent.node), secrets.token_hex(2)
    former: list[str] = []
    for number in range(WARM_UP_ROUNDS + rounds):
        start = time.monotonic()
        names = [f"{PREFIX}{run}-{number:03d}-t{each}" for each in range(tenant_count)]
        for name in names:
            cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        cluster.wait_for_accounts(names)
        live(cluster, agent, names)
        for name in names:
            cluster.delete(NAMESPACE, name)
        cluster.delete_namespaces(former)
        former = names
        if number >= WARM_UP_ROUNDS:
            read = cgroups.read(parts.values())
            for part, container in parts.items():
                made.memory_bytes.setdefault(part, []).append(read[container].anonymous_bytes)
            made.seconds.append(time.monotonic() - start)


@pytest.fixture(scope="module")
def churn(
    cluster: Cluster,
    controller: Container,
    node_agents: dict[str, NodeAgent],
    tenant_count: int,
    rounds: int,
    record: Recorder,
) -> Iterator[Churn]:
    agent = the_only(node_agents, {controller.node})
    parts = {"controller": controller} | {f"node agent, {each.name}": each for each in agent.containers()}
    made = Churn()
    try:
        measured(cluster, agent, parts, tenant_count, rounds, made)
        yield made
    finally:
        names = [each["metadata"]["name"] for each in cluster.objects(NAMESPACE)]
        cluster.delete_namespaces(name for name in names if name.startswith(PREFIX))
        record.figures["machine"] = machine(cluster.version)
        record.figures["memory_bytes"] = made.memory_bytes
        record.figures["round_seconds"] = [round(each, 2) for each in made.seconds]
        record.charts.append(chart(made, tenant_count))


def chart(of: Churn, tenant_count: int) -> Chart:
    return Chart(
        title="Memory of the operator",
        unit="MiB",
        x="round",
        lines=[
            Line(name=part, points=[(float(n), value / MIB) for n, value in enumerate(values, 1)])
            for part, values in of.memory_bytes.items()
        ],
        note=f"{tenant_count} tenants come and go in each round",
    )


@pytest.mark.parametrize("part", ["controller", "node agent, node", "node agent, weights"])
def test_memory_is_flat(churn: Churn, record: Recorder, part: str) -> None:
    """Anonymous memory doesn't grow with the tenants that came and went, beyond its noise.

    The short form sees what leaks tens of KiB a round; what leaves any object in the node agent, a unit test
    finds (``tests/unit/node/test_churn.py``).
    """
    found = trend(churn.memory_bytes[part])
    rounds = len(churn.memory_bytes[part])
    record.figures[f"trend of {part}, bytes a round"] = asdict(found)
    settling = 0.0 if rounds >= GROWTH_ROUNDS else SETTLING_BYTES / rounds
    grown, surely = (
        found.percent_of_level(slope, GROWTH_ROUNDS) for slope in (found.slope, found.least - settling)
    )
    record.notes.append(
        f"{part}: {found.level / MIB:.1f} MiB, {found.slope / 1024:+.1f} KiB a round"
        f" ({found.least / 1024:+.1f} to {found.most / 1024:+.1f}), from {rounds} rounds"
    )
    record.bound(
        f"growth of the {part} in {GROWTH_ROUNDS} rounds, for sure",
        max(0.0, surely),
        "%",
        at_most=GROWTH_PERCENT,
    )
    record.goal(
        f"growth of the {part} in {GROWTH_ROUNDS} rounds", max(0.0, grown), "%", at_most=GROWTH_PERCENT
    )


def test_nobody_was_restarted(
    churn: Churn, cluster: Cluster, controller: Container, node_agents: dict[str, NodeAgent]
) -> None:
    """A restart would have made memory small again."""
    now = set(cluster.running(controller.namespace))
    expected = {controller, *(each for agent in node_agents.values() for each in agent.containers())}
    assert churn.seconds
    assert expected <= now
