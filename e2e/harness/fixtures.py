"""pytest fixtures, for every suite that runs on the cluster: ``from e2e.harness.fixtures import *``."""

import pytest

from e2e.cluster.settings import NAMESPACE as OPERATOR_NAMESPACE
from e2e.harness.cluster import DEPLOYMENT, Cluster, Container, condition
from e2e.harness.wait import NotYet, wait_until

__all__ = ["CONTROLLER", "cluster", "controller"]

CONTROLLER = "tenantquota-controller"
"""The name of the controller's Deployment."""


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of ``make up``."""
    return Cluster()


@pytest.fixture(scope="session")
def controller(cluster: Cluster) -> Container:
    """The controller's container, once its Deployment is available."""

    def available() -> bool:
        deployment = cluster.get(DEPLOYMENT, CONTROLLER, OPERATOR_NAMESPACE)
        found = condition(deployment, "Available") or {}
        if found.get("status") != "True":
            raise NotYet(found.get("message", "no condition yet"))
        return True

    wait_until(available, what=f"Deployment {CONTROLLER} to be available", deadline_seconds=60)
    pods = [item for item in cluster.running(OPERATOR_NAMESPACE) if item.pod.startswith(CONTROLLER)]
    assert len(pods) == 1, f"one controller, not {pods}"
    return pods[0]
