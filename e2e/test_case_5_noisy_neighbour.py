"""Case 5, noisy neighbours: two found, made to yield, and given back.

Their limits would let each take the whole node; only weights are changed. What customers feel is case 4.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from e2e.harness import noise
from e2e.harness.cluster import Cluster, Container
from e2e.harness.load import DriverPod
from e2e.harness.node_agent import NodeAgent
from e2e.harness.noise import Neighbours, seconds_until
from e2e.harness.recording import About
from e2e.harness.services import Services
from e2e.harness.sessions import Sessions
from e2e.harness.usage import Usage
from e2e.harness.wait import wait_until
from e2e.results import Chart, MomentKind, Recorder, Span
from e2e.specification import FOUND_WITHIN_SECONDS, MITIGATED_WITHIN_SECONDS, RECOVERED_WITHIN_SECONDS

CASE: Final = About(
    5,
    "Noisy neighbours",
    "Two tenants want all CPU at once; they yield, their victim is named, and all is given back.",
)
HOGS: Final = 2
ONSETS: Final = 1
"""`make bench` has twenty."""
LEARNING_SECONDS: Final = 35.0
"""In which the agent comes to know how the victim fares when all is quiet."""
YIELD_GOAL_SECONDS: Final = 5.0
GIVE_BACK_GOAL_SECONDS: Final = 30.0


@pytest.fixture(scope="module")
def neighbours(
    cluster: Cluster,
    services: Services,
    sessions: Sessions,
    driver_pod: DriverPod,
    controller: Container,
    node_agents: dict[str, NodeAgent],
    tenant_count: int,
) -> Iterator[Neighbours]:
    bystanders = max(0, tenant_count - HOGS - 1)
    with noise.neighbours(
        cluster, services, sessions, driver_pod, node_agents, hogs=HOGS, bystanders=bystanders
    ) as made:
        made.contamination.plant()
        yield made


class Story:
    """What is drawn of the case: use, limits and weights, and what happened when."""

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self._spans: list[Span] = []

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """A stretch of the charts."""
        start = time.time() - self.usage.start_seconds
        yield
        end = time.time() - self.usage.start_seconds
        self._spans.append(Span(start=round(start, 2), end=round(end, 2), name=name))

    def charts(self, hogs: list[str], victim: str) -> list[Chart]:
        usage = self.usage
        limit = usage.line(hogs[0], lambda reading: reading.cpu_limit_millicores, called=f"{hogs[0]}'s limit")
        return [
            Chart(
                title="CPU of two noisy tenants and of their victim",
                unit="m",
                lines=[*map(usage.cpu, [*hogs, victim]), limit],
                moments=usage.moments,
                spans=self._spans,
            ),
            Chart(
                title="CPU weights of their pods",
                unit="",
                lines=[usage.weight(name) for name in (*hogs, victim)],
                moments=usage.moments,
                spans=self._spans,
                logarithmic=True,
                note="Noisy tenants yield and the victim is lifted while it waits; then all is as before.",
            ),
        ]


@pytest.fixture(scope="module")
def story(neighbours: Neighbours, record: Recorder) -> Iterator[Story]:
    """Of the hogs and the victim, from the first test on."""
    hogs = {f"hog {number}": name for number, name in enumerate(neighbours.hogs, 1)}
    of = hogs | {"victim": neighbours.victim}
    with Usage({name: neighbours.cluster.running(tenant)[0] for name, tenant in of.items()}) as usage:
        made = Story(usage)
        yield made
    record.charts += made.charts(list(hogs), "victim")


def test_nobody_yields_while_all_is_quiet(neighbours: Neighbours, story: Story) -> None:
    """The victim's customers are answered, and no weight changes."""
    before = neighbours.weights()
    with story.span("quiet"):
        answers = neighbours.load(LEARNING_SECONDS)

    assert answers.failures == 0
    assert [neighbours.isolated(hog)["status"] for hog in neighbours.hogs] == ["True"] * HOGS
    # a machine that others keep busy may have been full for a moment
    wait_until(
        lambda: neighbours.weights() == before,
        what="the weights of before",
        deadline_seconds=FOUND_WITHIN_SECONDS,
    )


def test_the_culprits_yield_and_are_given_back(
    neighbours: Neighbours, story: Story, record: Recorder
) -> None:
    """Their weights are the least within seconds of the noise, and as before soon after it."""
    found = noise.onsets(neighbours, ONSETS, MITIGATED_WITHIN_SECONDS, story.usage.mark)
    record.figures["onsets"] = found
    record.bound(
        "from the onset of noise until the hogs yield, the slowest",
        max(found["yield_seconds"]),
        "s",
        at_most=MITIGATED_WITHIN_SECONDS,
        goal=YIELD_GOAL_SECONDS,
    )
    record.bound(
        "from the end of noise until all is as before, the slowest",
        max(found["give_back_seconds"]),
        "s",
        at_most=RECOVERED_WITHIN_SECONDS,
        goal=GIVE_BACK_GOAL_SECONDS,
    )


def test_the_harm_is_named_and_observed_tenants_are_not_touched(
    neighbours: Neighbours, story: Story, record: Recorder
) -> None:
    """While nobody holds the hogs the victim goes on waiting, so that it can be told how long."""
    quiet = neighbours.weights()
    neighbours.enforce("Observe")
    with neighbours.requests(), story.span("only observed"), neighbours.noise():
        story.usage.mark(MomentKind.ONSET)
        seconds = seconds_until(neighbours.named, "the harm to be named", FOUND_WITHIN_SECONDS)
        story.usage.mark(MomentKind.NAMED)
        record.figures["evidence"] = [neighbours.isolated(hog)["message"] for hog in neighbours.hogs]
        for hog in neighbours.hogs:
            assert neighbours.status(hog)["phase"] == "Throttled"
        assert neighbours.blamed() == set(neighbours.hogs), "and nobody else"
        assert neighbours.weights() == quiet
    story.usage.mark(MomentKind.QUIET)
    record.bound(
        "from the onset of noise until the hogs' quotas name their victim",
        seconds,
        "s",
        at_most=FOUND_WITHIN_SECONDS,
    )
    neighbours.enforce("Enforce")
    wait_until(neighbours.over, what="the end of it", deadline_seconds=RECOVERED_WITHIN_SECONDS)


@pytest.mark.variant
def test_who_is_waited_for_though_it_yields_is_capped(
    neighbours: Neighbours, story: Story, record: Recorder
) -> None:
    """Where all CPU is requested nobody can be lifted, and a crowd at the least weight outweighs one pod."""
    with neighbours.crowd(), neighbours.without_room(), neighbours.requests(), story.span("no room: capped"):
        # by the first alone: it would make the other hog wait too, which has fewer pods than its crowd
        with neighbours.noise(neighbours.hog):
            story.usage.mark(MomentKind.ONSET)
            capped_seconds = seconds_until(neighbours.capped, "a lower limit", MITIGATED_WITHIN_SECONDS)
            story.usage.mark(MomentKind.HELD, "capped")
            hold = wait_until(
                lambda: neighbours.status(neighbours.hog).get("hold"), what="the hold", deadline_seconds=10
            )
            assert hold["reason"] == noise.HARMS
            # on a busy machine those who do nothing may wait for longer than the victim
            waiting = (neighbours.victim, *neighbours.bystanders)
            assert any(f"made {each} wait" in hold["evidence"] for each in waiting), hold["evidence"]
            assert neighbours.status(neighbours.victim).get("hold") is None
            # a resize has the kubelet write its weights anew, which are put right in the next second
            wait_until(
                lambda: neighbours.weights()[neighbours.hog] == {noise.LEAST_WEIGHT},
                what="the hog to go on yielding",
                deadline_seconds=10,
            )
        story.usage.mark(MomentKind.QUIET)
        start = time.monotonic()
        wait_until(neighbours.quiet, what="the old limits", deadline_seconds=RECOVERED_WITHIN_SECONDS)
        uncapped_seconds = time.monotonic() - start
        story.usage.mark(MomentKind.GIVEN_BACK)
    record.bound(
        "from the onset of noise that weights don't stop until a hog is capped",
        capped_seconds,
        "s",
        at_most=MITIGATED_WITHIN_SECONDS,
    )
    record.bound(
        "from the end of it until all limits are the quotas'",
        uncapped_seconds,
        "s",
        at_most=RECOVERED_WITHIN_SECONDS,
    )


def test_tenants_are_kept_apart(neighbours: Neighbours, record: Recorder) -> None:
    """No reply, key or row of a tenant has another's canary."""
    neighbours.contamination.search(neighbours.services)
    neighbours.contamination.note(record)
