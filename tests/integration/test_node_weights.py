"""The weights that the node agent has written, when somebody else writes them, and when it ends."""

from collections.abc import Iterator

import pytest
from kubernetes.utils.quantity import parse_quantity

from e2e.harness import noise, tenants
from e2e.harness.cgroups import node_bash, read_all
from e2e.harness.cluster import EVENT, POD, TENANT_QUOTA, Cluster, Manifest
from e2e.harness.load import DriverPod
from e2e.harness.node_agent import NodeAgent, find_node_agents
from e2e.harness.noise import Neighbours
from e2e.harness.services import Services
from e2e.harness.sessions import Sessions
from e2e.harness.wait import NotYet, wait_until

pytestmark = pytest.mark.exclusive
DEADLINE_SECONDS = 60
EDITED_MILLI = 1500
STARTED = tuple(f"started-{number}" for number in range(24))
LOOKED_AGAIN_WITHIN_SECONDS = 20
FAILED_STARTS = ("Failed", "FailedCreatePodSandBox")


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


def excess_milli(cluster: Cluster, namespace: str) -> int:
    """What the pods there count as requesting beyond what they do."""
    statuses = [pod["status"] for pod in cluster.pods(namespace)]
    return sum(
        round((parse_quantity(shown) - parse_quantity(of["allocatedResources"]["cpu"])) * 1000)
        for of in statuses
        if (shown := of["resources"]["requests"].get("cpu"))
    )


def test_a_lift_does_not_count_as_requested_once_it_is_over(neighbours: Neighbours) -> None:
    """The kubelet shows the weight of a pod as its request from one look at it to the next, and looks by
    itself once a minute."""
    cluster, victim, quiet = neighbours.cluster, neighbours.victim, neighbours.weights()
    (pod,) = cluster.pods(victim)
    changed = {"metadata": {"annotations": {"e2e/changed": "so that the kubelet looks"}}}
    with neighbours.requests(), neighbours.noise():
        until(lambda: min(neighbours.weights()[victim]) > max(quiet[victim]), "the victim to be lifted")
        cluster.patch(POD, pod["metadata"]["name"], victim, changed)
        until(lambda: excess_milli(cluster, victim) > 0, "the lift to count as requested")
    until(lambda: neighbours.weights() == quiet, "the old weights")
    wait_until(
        lambda: excess_milli(cluster, victim) <= 0,
        what="the kubelet to have looked again",
        deadline_seconds=LOOKED_AGAIN_WITHIN_SECONDS,
    )


def briefly(name: str, tenant: str) -> Manifest:
    """A pod that ends at once."""
    manifest = tenants.agent(name, tenant)
    manifest["spec"]["restartPolicy"] = "OnFailure"
    manifest["spec"]["containers"][0]["command"] = ["true"]
    return manifest


def test_pods_of_a_tenant_that_yields_start(neighbours: Neighbours) -> None:
    """The kernel refuses runc's write of the weight of what runs idle before it has started. That runc can't
    freeze in time what it starts happens on any node as full as this, and is tried again."""
    cluster, quiet, hog = neighbours.cluster, neighbours.weights(), neighbours.hog
    with neighbours.noise():
        until(neighbours.yields, "the hog to yield")
        cluster.apply(*(briefly(name, hog) for name in STARTED))

        def ended() -> bool:
            phases = {pod["metadata"]["name"]: pod["status"].get("phase") for pod in cluster.pods(hog)}
            left = {name: phases.get(name) for name in STARTED if phases.get(name) != "Succeeded"}
            if left:
                raise NotYet(f"of {len(STARTED)} are left {left}")
            return True

        until(ended, "all pods to have started and ended")
        events = cluster.objects(EVENT, hog)
        messages = [each["message"] for each in events if each["reason"] in FAILED_STARTS]
        assert [message for message in messages if "invalid argument" in message] == []
        neighbours.remove(hog, *STARTED)
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
