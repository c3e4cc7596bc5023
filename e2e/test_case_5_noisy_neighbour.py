"""Case 5, noisy neighbour: found, made to yield, and given back, with what its victim felt of it.

The hog's limits would let it take the whole node; only its weight is changed. Figures go to ``reports/``.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from e2e.harness import noise
from e2e.harness.agents import Agent
from e2e.harness.cgroups import NodeCgroups, cpu_use
from e2e.harness.cluster import Cluster, Container
from e2e.harness.figures import Summary, machine, write_report
from e2e.harness.node_agent import NodeAgent
from e2e.harness.noise import Neighbours, seconds_until
from e2e.harness.wait import NotYet, wait_until

FOUND_WITHIN_SECONDS: Final = 30
MITIGATED_WITHIN_SECONDS: Final = 60
RECOVERED_WITHIN_SECONDS: Final = 120
"""The specification's; what was measured is in the report."""
ONSETS: Final = 2
MANY_PODS: Final = 10
LEARNING_SECONDS: Final = 40.0
"""In which the agent comes to know how the victim fares when all is quiet."""
ROUND_SECONDS: Final = 10.0
ROUNDS: Final = 2
SHARE_SECONDS: Final = 10.0
SHARE_TOLERANCE: Final = 0.15
SYSTEM_PERCENT: Final = 30
SYSTEM_MILLI_AT_LEAST: Final = 270


@pytest.fixture(scope="module")
def figures(cluster: Cluster, tenant_count: int) -> Iterator[dict[str, Any]]:
    found: dict[str, Any] = {}
    yield found
    report = {"machine": machine(cluster.version), "tenants": tenant_count, **found}
    write_report(f"case_5_noisy_neighbour_{tenant_count}_tenants", report)


@pytest.fixture(scope="module")
def neighbours(
    cluster: Cluster, controller: Container, node_agents: dict[str, NodeAgent], tenant_count: int
) -> Iterator[Neighbours]:
    with noise.neighbours(cluster, node_agents, bystanders=tenant_count - 2) as made:
        yield made


def test_nobody_yields_while_all_is_quiet(neighbours: Neighbours) -> None:
    before = neighbours.weights()
    answers = neighbours.load(LEARNING_SECONDS)

    assert answers.failed == 0
    assert neighbours.weights() == before
    assert neighbours.isolated()["status"] == "True"


def test_the_culprit_yields_and_is_given_back(neighbours: Neighbours, figures: dict[str, Any]) -> None:
    figures["onsets"] = noise.onsets(neighbours, ONSETS, MITIGATED_WITHIN_SECONDS)


def test_the_harm_is_named_and_observed_tenants_are_not_touched(
    neighbours: Neighbours, figures: dict[str, Any]
) -> None:
    """While nobody holds the hog the victim goes on waiting, so that it can be told how long."""
    quiet = neighbours.weights()
    neighbours.enforce("Observe")
    with ThreadPoolExecutor() as threads:
        load = threads.submit(neighbours.load, FOUND_WITHIN_SECONDS)
        with neighbours.noise():
            seconds = seconds_until(neighbours.named, "the harm to be named", FOUND_WITHIN_SECONDS)
            figures["named_seconds"] = seconds
            figures["evidence"] = neighbours.isolated()["message"]
            assert neighbours.status(neighbours.hog)["phase"] == "Throttled"
            assert neighbours.weights() == quiet
        load.result()
    neighbours.enforce("Enforce")
    over = "WithinShare"
    wait_until(
        lambda: neighbours.isolated().get("reason") == over,
        what=f"reason {over}",
        deadline_seconds=RECOVERED_WITHIN_SECONDS,
    )


def test_the_victim_is_answered_as_if_it_were_alone(neighbours: Neighbours, figures: dict[str, Any]) -> None:
    """Rounds of quiet, of noise that nobody holds and of noise that yields, in turn."""
    rounds: dict[str, list[float]] = {"quiet": [], "observed": [], "enforced": []}
    for _ in range(ROUNDS):
        rounds["quiet"] += neighbours.load(ROUND_SECONDS).latencies_ms
        for name in ("observed", "enforced"):
            neighbours.enforce("Observe" if name == "observed" else "Enforce")
            with neighbours.noise():
                answers = neighbours.load(ROUND_SECONDS)
            rounds[name] += answers.latencies_ms
            assert answers.failed == 0
    summaries = {name: Summary.of(values) for name, values in rounds.items()}
    figures["latency_ms"] = summaries
    assert summaries["enforced"].median < summaries["observed"].median


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
    cluster: Cluster, neighbours: Neighbours, figures: dict[str, Any], weight: int
) -> None:
    """Ten pods against one: the ratio is that of the quotas' weights. A pod beside them that is no tenant's
    gets what it wants all the same."""
    system = Agent(cluster, *neighbours.driver)
    with cluster.temporary_namespaces("case5", "many", "one") as (many, one):
        cluster.apply(noise.quota(many), noise.quota(one, weight))
        busy = noise.pods(cluster, many, [f"agent-{number}" for number in range(MANY_PODS)])
        busy += noise.pods(cluster, one, ["agent-0"])
        containers = {name: cluster.running(name) for name in (many, one)}
        containers["system"] = cluster.running(neighbours.driver[0])
        for each in busy:
            each.burn(noise.HOG_CORES)
        system.burn(1, percent=SYSTEM_PERCENT)
        cgroups = NodeCgroups(neighbours.agent.node)

        def fair() -> bool:
            found = used(cgroups, containers, SHARE_SECONDS)
            figures[f"ten_pods_against_one_of_weight_{weight}"] = found
            ratio = found[one] / found[many]
            if ratio != pytest.approx(weight / 100, rel=SHARE_TOLERANCE):
                raise NotYet(f"they use {found}, {ratio:.2f} to 1")
            if found["system"] < SYSTEM_MILLI_AT_LEAST:
                raise NotYet(f"they use {found}")
            return True

        try:
            wait_until(fair, what=f"a ratio of {weight / 100}", deadline_seconds=60)
        finally:
            system.burn(0)
