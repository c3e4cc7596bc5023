"""The weights that the node agent has written, when somebody else writes them, and when it ends."""

from collections.abc import Iterator

import pytest

from e2e.harness import noise, tenants
from e2e.harness.cgroups import node_bash, read_all
from e2e.harness.cluster import POD, TENANT_QUOTA, Cluster
from e2e.harness.load import DriverPod
from e2e.harness.node_agent import NodeAgent, find_node_agents
from e2e.harness.noise import Neighbours
from e2e.harness.services import Services
from e2e.harness.sessions import Sessions
from e2e.harness.wait import wait_until

pytestmark = pytest.mark.exclusive
DEADLINE_SECONDS = 60
EDITED_MILLI = 1500


def until(check: object, what: str) -> None:
    assert callable(check)
    wait_until(check, what=what, deadline_seconds=DEADLINE_SECONDS, poll_seconds=0.05)


@pytest.fixture(scope="module")
def neighbours(
    cluster: Cluster, services: Services, sessions: Sessions, driver_pod: DriverPod, controller: object
) -> Iterator[Neighbours]:
    with noise.neighbours(cluster, services, sessions, driver_pod, find_node_agents(cluster)) as made:
        # as they begin, agents may take more than their share of a busy node
        until(made.quiet, "nobody to yield")
        yield made


def agent_of(neighbours: Neighbours) -> NodeAgent:
    return find_node_agents(neighbours.cluster)[neighbours.agent.node]


def test_a_resize_goes_through_and_the_weight_is_written_again(neighbours: Neighbours) -> None:
    """The kubelet writes its own weight with each resize."""
    cluster, quiet = neighbours.cluster, neighbours.weights()
    edit = tenants.limits(cpu=f"{EDITED_MILLI}m")
    with neighbours.noise():
        until(neighbours.yields, "the hog to yield")
        cluster.patch(TENANT_QUOTA, tenants.QUOTA, neighbours.hog, edit)
        until(
            lambda: all(
                reading.cpu_limit_millicores == EDITED_MILLI
                for reading in read_all(cluster.running(neighbours.hog)).values()
            ),
            "the new limit in the cgroup files",
        )
        until(neighbours.yields, "the hog to yield again")
    until(lambda: neighbours.weights() == quiet, "the old weights")


def test_an_agent_that_is_told_to_end_gives_back_what_it_took(neighbours: Neighbours) -> None:
    quiet = neighbours.weights()
    with neighbours.noise():
        until(neighbours.yields, "the hog to yield")
        former = agent_of(neighbours)
        neighbours.cluster.delete(POD, former.itself.pod, former.itself.namespace)
        until(lambda: neighbours.weights() == quiet, "the old weights while there is no agent")
        until(neighbours.yields, "the hog to yield to the successor")
    until(lambda: neighbours.weights() == quiet, "the old weights")


def test_what_a_killed_agent_left_is_given_back_by_its_successor(neighbours: Neighbours) -> None:
    quiet = neighbours.weights()
    with neighbours.noise():
        until(neighbours.yields, "the hog to yield")
        former = agent_of(neighbours)
        node_bash(former.node, "pkill -KILL -f 'tenantquota [n]ode'")
    assert neighbours.weights() != quiet, "nobody has given it back"
    until(lambda: neighbours.weights() == quiet, "the old weights")
    assert agent_of(neighbours).itself.restarts == former.itself.restarts + 1
