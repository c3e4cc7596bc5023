"""Case 5, with noise that nobody here wrote: seven stressors of Debian's stress-ng, one after the other.

Each has a tenant of its own, whose limit would let it take a small node's CPU. Beside it are victims, which
answer requests, tenants that do nothing, and those whose stressor doesn't run. Who takes CPU beyond its share
is held, and nobody else is blamed, whatever the stressor.
"""

from collections.abc import Iterator
from typing import Final

import pytest

from e2e.harness import harm, stressed
from e2e.harness.cluster import Cluster, Container
from e2e.harness.figures import Summary
from e2e.harness.harm import Outcome
from e2e.harness.load import DriverPod
from e2e.harness.node_agent import NodeAgent
from e2e.harness.recording import About
from e2e.harness.services import Services
from e2e.harness.stress import STRESSORS, Stressor
from e2e.harness.stressed import Scene
from e2e.results import Chart, Line, Recorder
from e2e.specification import FOUND_WITHIN_SECONDS, MITIGATED_WITHIN_SECONDS, RECOVERED_WITHIN_SECONDS

CASE: Final = About(
    5,
    "Stressors",
    "Seven stressors of stress-ng, one after the other, beside tenants that answer and some that rest.",
    variant="stress-ng",
)
pytestmark = pytest.mark.variant
VICTIMS: Final = 2
BYSTANDERS: Final = 2
TENANTS: Final = [len(STRESSORS) + VICTIMS + BYSTANDERS]
SHORT: Final = ("cpu", "fork", "hdd")
"""One that computes, one whose processes are gone before they are seen, and one that waits for the disk. The
nightly form has all."""
LEARNING_SECONDS: Final = 32.0
"""In which the agent comes to know how the victims fare when all is quiet."""


@pytest.fixture(scope="module")
def outcomes(record: Recorder) -> Iterator[list[Outcome]]:
    found: list[Outcome] = []
    yield found
    record.figures["stressors"] = [each.row() for each in found]
    if found:
        record.charts += charts(found)


def charts(found: list[Outcome]) -> list[Chart]:
    names = [each.stressor for each in found]

    def bars(name: str, values: list[float | None]) -> Line:
        points = [(float(at), round(value, 2)) for at, value in enumerate(values) if value is not None]
        return Line(name=name, points=points)

    def p99(name: str, of: list[Summary | None]) -> Line:
        return bars(name, [each.p99 if each else None for each in of])

    return [
        Chart(
            title="p99 of the victims' requests beside each stressor",
            unit="ms",
            x="stressor",
            bars=names,
            lines=[
                p99("quiet", [each.quiet for each in found]),
                p99("not held", [each.not_held for each in found]),
                p99("held", [each.held for each in found]),
            ],
            logarithmic=True,
            note="Some stressors wait more than they compute; those harm nobody and are not held.",
        ),
        Chart(
            title="From its start until a stressor was found and held, from its end until all was given back",
            unit="s",
            x="stressor",
            bars=names,
            lines=[
                bars("found", [each.found_seconds for each in found]),
                bars("held", [each.held_seconds for each in found]),
                bars("given back", [each.given_back_seconds for each in found]),
            ],
        ),
    ]


@pytest.fixture(scope="module")
def scene(
    cluster: Cluster,
    services: Services,
    driver_pod: DriverPod,
    controller: Container,
    node_agents: dict[str, NodeAgent],
) -> Iterator[Scene]:
    with stressed.scene(
        cluster, services, driver_pod, node_agents, STRESSORS, victims=VICTIMS, bystanders=BYSTANDERS
    ) as made:
        made.load(LEARNING_SECONDS)
        yield made


@pytest.mark.parametrize(
    "stressor",
    [pytest.param(each, marks=() if each.name in SHORT else pytest.mark.nightly) for each in STRESSORS],
    ids=str,
)
def test_who_takes_more_than_its_share_is_held_and_nobody_else_is_blamed(
    scene: Scene, outcomes: list[Outcome], record: Recorder, stressor: Stressor
) -> None:
    """Found, held and given back in time, whatever the stressor; the victims are always answered."""
    found = harm.measure(scene, stressor, RECOVERED_WITHIN_SECONDS)
    outcomes.append(found)

    assert found.blamed == ()
    assert found.failed == 0
    if stressor.wants_cpu:
        assert found.told_apart
        assert found.given_back_seconds is not None
    for what, seconds, bound in (
        ("from its start until it is found", found.found_seconds, FOUND_WITHIN_SECONDS),
        ("from its start until it is held", found.held_seconds, MITIGATED_WITHIN_SECONDS),
        ("from its end until all is given back", found.given_back_seconds, RECOVERED_WITHIN_SECONDS),
    ):
        if seconds is not None:
            record.bound(f"{stressor}: {what}", seconds, "s", at_most=bound)
