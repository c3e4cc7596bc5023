"""pytest fixtures, for every suite that runs on the cluster: ``from e2e.harness.fixtures import *``."""

import pytest

from e2e.harness.cluster import Cluster, Container
from e2e.harness.controller import find_controller

__all__ = ["cluster", "controller"]


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster of ``make up``."""
    return Cluster()


@pytest.fixture(scope="session")
def controller(cluster: Cluster) -> Container:
    """The controller's container, once its Deployment is available."""
    return find_controller(cluster)
