"""Case 5, noisy neighbours: two found, made to yield, and given back, with what their victim felt of it.

Their limits would let each take the whole node; only weights are changed. Figures go to ``reports/``.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from e2e.harness import noise
from e2e.harness.cluster import Cluster, Container
from e2e.harness.figures import Summary, machine, write_report
from e2e.harness.node_agent import NodeAgent
from e2e.harness.noise import Neighbours, seconds_until
from e2e.harness.specification import FOUND_WITHIN_SECONDS, MITIGATED_WITHIN_SECONDS, RECOVERED_WITHIN_SECONDS
from e2e.harness.wait import wait_until

HOGS: Final = 2
ONSETS: Final = 2
LEARNING_SECONDS: Final = 45.0
"""In which the agent comes to know how the victim fares when all is quiet."""
ROUND_SECONDS: Final = 10.0
ROUNDS: Final = 2


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
    with noise.neighbours(
        cluster, node_agents, hogs=HOGS, bystanders=max(0, tenant_count - HOGS - 1)
    ) as made:
        yield made


def test_nobody_yields_while_all_is_quiet(neighbours: Neighbours) -> None:
    before = neighbours.weights()
    answers = neighbours.load(LEARNING_SECONDS)

    assert answers.failed == 0
    assert [neighbours.isolated(hog)["status"] for hog in neighbours.hogs] == ["True"] * HOGS
    # a machine that others keep busy may have been full for a moment
    wait_until(
        lambda: neighbours.weights() == before,
        what="the weights of before",
        deadline_seconds=FOUND_WITHIN_SECONDS,
    )


def test_the_culprits_yield_and_are_given_back(neighbours: Neighbours, figures: dict[str, Any]) -> None:
    figures["onsets"] = noise.onsets(neighbours, ONSETS, MITIGATED_WITHIN_SECONDS)


def test_the_harm_is_named_and_observed_tenants_are_not_touched(
    neighbours: Neighbours, figures: dict[str, Any]
) -> None:
    """While nobody holds the hogs the victim goes on waiting, so that it can be told how long."""
    quiet = neighbours.weights()
    neighbours.enforce("Observe")
    with ThreadPoolExecutor() as threads:
        load = threads.submit(neighbours.load, FOUND_WITHIN_SECONDS)
        with neighbours.noise():
            seconds = seconds_until(neighbours.named, "the harm to be named", FOUND_WITHIN_SECONDS)
            figures["named_seconds"] = seconds
            figures["evidence"] = [neighbours.isolated(hog)["message"] for hog in neighbours.hogs]
            for hog in neighbours.hogs:
                assert neighbours.status(hog)["phase"] == "Throttled"
            assert neighbours.blamed() == set(neighbours.hogs), "and nobody else"
            assert neighbours.weights() == quiet
        load.result()
    neighbours.enforce("Enforce")
    wait_until(neighbours.over, what="the end of it", deadline_seconds=RECOVERED_WITHIN_SECONDS)


def test_who_is_waited_for_though_it_yields_is_capped(
    neighbours: Neighbours, figures: dict[str, Any]
) -> None:
    """Where all CPU is requested nobody can be lifted, and a crowd at the least weight outweighs one pod."""
    with neighbours.crowd(), neighbours.without_room(), ThreadPoolExecutor() as threads:
        load = threads.submit(neighbours.load, FOUND_WITHIN_SECONDS)
        with neighbours.noise():
            seconds = seconds_until(neighbours.capped, "a lower limit", MITIGATED_WITHIN_SECONDS)
            figures["capped_seconds"] = seconds
            hold = wait_until(
                lambda: neighbours.status(neighbours.hog).get("hold"), what="the hold", deadline_seconds=10
            )
            assert hold["reason"] == noise.HARMS
            assert f"made {neighbours.victim} wait" in hold["evidence"]
            assert neighbours.status(neighbours.victim).get("hold") is None
            # a resize has the kubelet write its weights anew, which are put right in the next second
            wait_until(
                lambda: neighbours.weights()[neighbours.hog] == {noise.LEAST_WEIGHT},
                what="the hog to go on yielding",
                deadline_seconds=10,
            )
        start = time.monotonic()
        wait_until(neighbours.quiet, what="the old limits", deadline_seconds=RECOVERED_WITHIN_SECONDS)
        figures["uncapped_seconds"] = time.monotonic() - start
        load.result()


def test_the_victim_is_answered_as_if_it_were_alone(neighbours: Neighbours, figures: dict[str, Any]) -> None:
    """Rounds of quiet, of noise that nobody holds and of noise that yields, in turn."""
    rounds: dict[str, list[float]] = {"quiet": [], "observed": [], "enforced": []}
    for _ in range(ROUNDS):
        rounds["quiet"] += neighbours.load(ROUND_SECONDS).latencies_ms
        for name in ("observed", "enforced"):
            neighbours.enforce("Observe" if name == "observed" else "Enforce")
            with neighbours.noise(), ThreadPoolExecutor() as threads:
                load = threads.submit(neighbours.load, ROUND_SECONDS)
                if name == "enforced":
                    wait_until(neighbours.protects, what="the victim to be lifted", deadline_seconds=30)
                answers = load.result()
            rounds[name] += answers.latencies_ms
            assert answers.failed == 0
    summaries = {name: Summary.of(values) for name, values in rounds.items()}
    figures["latency_ms"] = summaries
    assert summaries["enforced"].median < summaries["observed"].median
