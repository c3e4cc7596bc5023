"""What a tenant that yields may use beside a latency-sensitive one, at work and at rest."""

from collections.abc import Iterator

import pytest

from e2e.harness import noise, tenants
from e2e.harness.cluster import TENANT_QUOTA, Cluster
from e2e.harness.load import DriverPod
from e2e.harness.node_agent import find_node_agents
from e2e.harness.noise import LEAST_WEIGHT, LIMIT_MILLI, Neighbours
from e2e.harness.services import Services
from e2e.harness.sessions import Sessions
from e2e.harness.wait import NotYet, wait_until
from tenantquota.domain.capping import REQUESTED_LEAST_MILLI

pytestmark = pytest.mark.exclusive
LIMITED_WITHIN_SECONDS = 60
GIVEN_BACK_WITHIN_SECONDS = 120


@pytest.fixture(scope="module")
def neighbours(
    cluster: Cluster, services: Services, sessions: Sessions, driver_pod: DriverPod, controller: object
) -> Iterator[Neighbours]:
    """With a victim that is latency-sensitive."""
    with noise.neighbours(cluster, services, sessions, driver_pod, find_node_agents(cluster)) as made:
        cluster.patch(TENANT_QUOTA, tenants.QUOTA, made.victim, {"spec": {"latencySensitive": True}})
        wait_until(made.quiet, what="nobody to yield", deadline_seconds=60)
        yield made


def wait_limited(neighbours: Neighbours) -> None:
    def limited() -> bool:
        if max(limits := neighbours.limits_milli()) > REQUESTED_LEAST_MILLI:
            raise NotYet(f"limits are {limits}")
        return True

    wait_until(limited, what="what its pods request", deadline_seconds=LIMITED_WITHIN_SECONDS)


def wait_given_back(neighbours: Neighbours) -> None:
    def given_back() -> bool:
        if (limits := neighbours.limits_milli()) != {LIMIT_MILLI}:
            raise NotYet(f"limits are {limits}")
        return True

    wait_until(given_back, what="the quota's limits", deadline_seconds=GIVEN_BACK_WITHIN_SECONDS)


def test_who_yields_is_limited_while_the_sensitive_tenant_is_at_work(neighbours: Neighbours) -> None:
    """Whoever makes noise gets back what nobody else uses, and goes on yielding."""
    with neighbours.noise():
        with neighbours.requests():
            wait_limited(neighbours)
        wait_given_back(neighbours)
        # the kubelet writes its own weight with each resize, until the next second
        wait_until(
            lambda: neighbours.weights()[neighbours.hog] == {LEAST_WEIGHT},
            what="the hog to go on yielding",
            deadline_seconds=10,
        )
        with neighbours.requests():
            wait_limited(neighbours)
    wait_given_back(neighbours)
    wait_until(neighbours.quiet, what="the old weights", deadline_seconds=GIVEN_BACK_WITHIN_SECONDS)
