"""Case 5, with noise that nobody here wrote: seven stressors of Debian's stress-ng, one after the other.

Each has a tenant of its own, whose limit would let it take a small node's CPU. Beside it are victims, which
answer requests, tenants that do nothing, and those whose stressor doesn't run. Who takes CPU beyond its share
is held, and nobody else is blamed, whatever the stressor; what each did goes to ``reports/``.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from e2e.harness import harm, stressed
from e2e.harness.cluster import Cluster, Container
from e2e.harness.figures import machine, write_report
from e2e.harness.node_agent import NodeAgent
from e2e.harness.specification import FOUND_WITHIN_SECONDS, MITIGATED_WITHIN_SECONDS, RECOVERED_WITHIN_SECONDS
from e2e.harness.stress import STRESSORS, Stressor
from e2e.harness.stressed import Scene

VICTIMS: Final = 2
BYSTANDERS: Final = 2
LEARNING_SECONDS: Final = 32.0
"""In which the agent comes to know how the victims fare when all is quiet."""


@pytest.fixture(scope="module")
def rows(cluster: Cluster) -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []
    yield found
    write_report("case_5_stressors", {"machine": machine(cluster.version), "stressors": found})


@pytest.fixture(scope="module")
def scene(cluster: Cluster, controller: Container, node_agents: dict[str, NodeAgent]) -> Iterator[Scene]:
    with stressed.scene(cluster, node_agents, STRESSORS, victims=VICTIMS, bystanders=BYSTANDERS) as made:
        made.load(LEARNING_SECONDS)
        yield made


@pytest.mark.parametrize("stressor", STRESSORS, ids=str)
def test_who_takes_more_than_its_share_is_held_and_nobody_else_is_blamed(
    scene: Scene, rows: list[dict[str, Any]], stressor: Stressor
) -> None:
    found = harm.measure(scene, stressor, RECOVERED_WITHIN_SECONDS)
    rows.append(found.row())

    assert found.blamed == ()
    assert found.failed == 0
    if stressor.wants_cpu:
        assert found.told_apart
        assert found.given_back_seconds is not None
    assert (found.found_seconds or 0) <= FOUND_WITHIN_SECONDS
    assert (found.held_seconds or 0) <= MITIGATED_WITHIN_SECONDS
    assert (found.given_back_seconds or 0) <= RECOVERED_WITHIN_SECONDS
