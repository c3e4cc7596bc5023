"""Admission needs no running operator."""

from collections.abc import Callable, Iterator

import pytest

from e2e.cluster.settings import NAMESPACE
from e2e.harness.controller import CONTROLLER
from e2e.harness.wait import wait_until
from tests.integration.kubectl import Kubectl, full, limits, pod, resources

DEPLOYMENT = f"deployment/{CONTROLLER}"
PODS = ["pods", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/component=controller"]


@pytest.fixture
def no_controller(kubectl: Kubectl) -> Iterator[None]:
    """The controller is scaled to zero, and is back and ready afterwards."""
    namespace = f"--namespace={NAMESPACE}"
    kubectl("scale", DEPLOYMENT, namespace, "--replicas=0").ok()
    try:
        wait_until(
            lambda: not kubectl.get(*PODS)["items"], what="the controller to be gone", deadline_seconds=60
        )
        yield
    finally:
        kubectl("scale", DEPLOYMENT, namespace, "--replicas=1").ok()
        kubectl("rollout", "status", DEPLOYMENT, namespace, "--timeout=55s").ok()


@pytest.mark.exclusive
def test_new_pods_are_limited_without_the_controller(
    kubectl: Kubectl, new_namespace: Callable[[str], str], no_controller: None
) -> None:
    namespace = new_namespace("alone")
    kubectl.give_quota(namespace, {"container": {"limits": {"cpu": "500m", "memory": "256Mi"}}})
    kubectl.wait_for_admission(namespace)

    kubectl.create(pod(namespace, limits("64", "64Gi"), {})).ok()

    stored = kubectl.get("pod", "agent", f"--namespace={namespace}")
    assert resources(stored) == {
        "c0": full("500m", "256Mi", "499m", "256Mi"),
        "c1": full("500m", "256Mi", "50m", "26843545"),
    }
    assert not kubectl.get(*PODS)["items"], "the controller was there"


@pytest.mark.exclusive
def test_running_pods_stay_limited_without_the_controller(
    kubectl: Kubectl, new_namespace: Callable[[str], str], no_controller: None
) -> None:
    namespace = new_namespace("alone")
    kubectl.give_quota(namespace, {"container": {"limits": {"cpu": "500m", "memory": "256Mi"}}})
    kubectl.wait_for_admission(namespace)
    kubectl.create(pod(namespace, {})).ok()
    tenant = f"system:serviceaccount:{namespace}:tenant"
    kubectl(
        "create", "rolebinding", "tenant", "--clusterrole=edit", f"--user={tenant}", f"-n={namespace}"
    ).ok()
    kubectl("create", "role", "resize", "--verb=*", "--resource=pods/resize", f"-n={namespace}").ok()
    kubectl("create", "rolebinding", "resize", "--role=resize", f"--user={tenant}", f"-n={namespace}").ok()

    patch = '{"spec": {"containers": [{"name": "c0", "resources": {"limits": {"cpu": "64"}}}]}}'
    answer = kubectl.impersonating(tenant)(
        "patch", "pod", "agent", f"--namespace={namespace}", "--subresource=resize", f"--patch={patch}"
    )

    assert "asks for limits.cpu 64 where at most 500m is allowed" in answer.refusal()
    assert not kubectl.get(*PODS)["items"], "the controller was there"
