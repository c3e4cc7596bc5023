"""pytest fixtures, for every suite that runs on the cluster: ``from e2e.harness.fixtures import *``."""

from collections.abc import Iterator

import pytest

from e2e.harness import load, nodes
from e2e.harness import services as service_pods
from e2e.harness import sessions as agent_sessions
from e2e.harness.cluster import Cluster, Container
from e2e.harness.controller import find_controller
from e2e.harness.load import DriverPod
from e2e.harness.node_agent import NodeAgent, find_node_agents
from e2e.harness.services import Services
from e2e.harness.sessions import Sessions
from e2e.harness.target import Target

__all__ = ["cluster", "controller", "driver_pod", "node_agents", "services", "sessions"]


@pytest.fixture(scope="session")
def cluster(target: Target) -> Iterator[Cluster]:
    """The cluster that the options name, with a way onto its nodes; by default that of ``make up``."""
    found = Cluster(target)
    with nodes.within_reach(found):
        yield found


@pytest.fixture(scope="session")
def controller(cluster: Cluster) -> Container:
    """The controller's container, once its Deployment is available."""
    return find_controller(cluster)


@pytest.fixture(scope="session")
def node_agents(cluster: Cluster) -> dict[str, NodeAgent]:
    """The operator's agents by the name of their node, once all are ready."""
    return find_node_agents(cluster)


@pytest.fixture(scope="session")
def services(cluster: Cluster) -> Iterator[Services]:
    """Redis and PostgreSQL for tenants that serve customers."""
    with service_pods.running(cluster) as running:
        yield running


@pytest.fixture(scope="session")
def driver_pod(cluster: Cluster) -> Iterator[DriverPod]:
    """Where customers' load comes from."""
    with load.driver_pod(cluster) as pod:
        yield pod


@pytest.fixture(scope="session")
def sessions() -> Iterator[Sessions]:
    """By which served agents are told what to do."""
    with agent_sessions.opened() as made:
        yield made
