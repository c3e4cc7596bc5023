"""The operator's controller as it runs in the cluster."""

import time
from typing import Final

from e2e.cluster.settings import NAMESPACE as OPERATOR_NAMESPACE
from e2e.harness.cluster import DEPLOYMENT, Cluster, Container, NoClusterError, condition
from e2e.harness.node_agent import Scrape
from e2e.harness.wait import NotYet, wait_until

CONTROLLER: Final = "tenantquota-controller"
"""The name of its Deployment."""
PORT: Final = 8080
SELECTOR: Final = "app.kubernetes.io/component=controller"


def find_controller(cluster: Cluster, *, deadline_seconds: float = 60) -> Container:
    """Its container, once the Deployment is available.

    Raises:
        NoClusterError: when there is no such Deployment.
        DeadlineExceededError: when it isn't available in time.
    """
    if cluster.gone(DEPLOYMENT, CONTROLLER, OPERATOR_NAMESPACE):
        raise NoClusterError(f"no Deployment {CONTROLLER} in namespace {OPERATOR_NAMESPACE}: run 'make up'")

    def available() -> bool:
        found = condition(cluster.get(DEPLOYMENT, CONTROLLER, OPERATOR_NAMESPACE), "Available") or {}
        if found.get("status") != "True":
            raise NotYet(found.get("message", "no condition yet"))
        return True

    wait_until(available, what=f"Deployment {CONTROLLER} to be available", deadline_seconds=deadline_seconds)
    (container,) = cluster.wait_ready(
        OPERATOR_NAMESPACE, 1, selector=SELECTOR, deadline_seconds=deadline_seconds
    )
    return container


def metrics(cluster: Cluster, controller: Container) -> Scrape:
    """What its ``/metrics`` says now."""
    path = f"/api/v1/namespaces/{controller.namespace}/pods/{controller.pod}:{PORT}/proxy/metrics"
    asked = time.time()
    text = str(cluster.request("GET", path))
    return Scrape.of(text, asked, time.time())
