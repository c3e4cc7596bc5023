"""The release as a whole: an upgrade keeps every limit, an uninstallation leaves nothing in anybody's way."""

import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from e2e.cluster.settings import NAMESPACE, RELEASE, REPOSITORY
from e2e.harness.controller import CONTROLLER
from e2e.harness.target import Target
from e2e.harness.wait import NotYet, wait_until
from tests.integration.kubectl import Kubectl, full, limits, pod, resources

CHART = str(REPOSITORY / "charts" / "tenantquota")
OURS = "--selector=app.kubernetes.io/name=tenantquota"
LIMITED = full("500m", "256Mi", "50m", "64Mi")


def helm(target: Target, *arguments: str) -> str:
    command = ["helm", *target.options("--kube-context"), f"--namespace={NAMESPACE}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_ready(kubectl: Kubectl) -> None:
    kubectl("rollout", "status", f"deployment/{CONTROLLER}", f"--namespace={NAMESPACE}", "--timeout=55s").ok()


@pytest.fixture
def values(kubectl: Kubectl, tmp_path: Path) -> Iterator[str]:
    """A file with the values that the release has; it has them again afterwards."""
    path = tmp_path / "values.yaml"
    path.write_text(helm(kubectl.target, "get", "values", RELEASE, "--output=yaml"))
    try:
        yield str(path)
    finally:
        helm(kubectl.target, "upgrade", "--install", RELEASE, CHART, f"--values={path}")
        wait_ready(kubectl)


@pytest.fixture
def namespace(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> str:
    """A namespace with a quota and a pod within it."""
    namespace = new_namespace("release")
    kubectl.give_quota(
        namespace,
        {
            "container": {
                "limits": {"cpu": "500m", "memory": "256Mi"},
                "requests": {"cpu": "50m", "memory": "64Mi"},
            }
        },
    )
    kubectl.wait_for_admission(namespace)
    kubectl.create(pod(namespace, limits("64", "64Gi"), name="older")).ok()
    return namespace


@pytest.mark.exclusive
def test_upgrade_keeps_every_limit(kubectl: Kubectl, namespace: str, values: str) -> None:
    mark = secrets.token_hex(3)

    helm(
        kubectl.target,
        "upgrade",
        RELEASE,
        CHART,
        f"--values={values}",
        f"--set-string=controller.podAnnotations.mark={mark}",
    )
    between = kubectl.try_create(pod(namespace, limits("64", "64Gi"))).manifest
    wait_ready(kubectl)

    assert resources(between) == {"c0": LIMITED}
    assert resources(kubectl.get("pod", "older", f"--namespace={namespace}")) == {"c0": LIMITED}
    controllers = kubectl.get("pods", f"--namespace={NAMESPACE}", OURS)["items"]
    assert mark in {of["metadata"].get("annotations", {}).get("mark") for of in controllers}


@pytest.mark.exclusive
def test_uninstallation_leaves_nothing_in_the_way(kubectl: Kubectl, namespace: str, values: str) -> None:
    here = f"--namespace={namespace}"

    helm(kubectl.target, "uninstall", RELEASE, "--wait")

    for kind in ("mutatingadmissionpolicies", "validatingadmissionpolicies", "clusterroles"):
        assert not kubectl.get(kind, OURS)["items"]
    # what people own stays, and so do limits
    assert resources(kubectl.get("pod", "older", here)) == {"c0": LIMITED}
    assert kubectl.get("tenantquota", "agents", here)["spec"]["container"]["limits"]["cpu"] == "500m"

    def free() -> bool:
        created = kubectl.try_create(pod(namespace, {}))
        if created.code != 0:
            # the API server forgets the two kinds of policies one after the other
            raise NotYet(f"new pods are refused still: {created.stderr}")
        if resources(created.manifest) != {"c0": {}}:
            raise NotYet("new pods are limited still")
        return True

    wait_until(free, what="the policies to be forgotten", deadline_seconds=30)
    kubectl("delete", "pod", "older", here, "--timeout=55s").ok()
    kubectl("delete", "namespace", namespace, "--timeout=55s").ok()


@pytest.mark.exclusive
def test_installed_again_it_goes_on(
    kubectl: Kubectl, new_namespace: Callable[[str], str], namespace: str, values: str
) -> None:
    helm(kubectl.target, "uninstall", RELEASE, "--wait")

    helm(kubectl.target, "install", RELEASE, CHART, f"--values={values}")
    wait_ready(kubectl)

    def limited() -> bool:
        answer = kubectl.try_create(pod(namespace, limits("64", "64Gi")))
        if answer.code or resources(answer.manifest) != {"c0": LIMITED}:
            raise NotYet(answer.stderr or "new pods aren't limited yet")
        return True

    wait_until(limited, what="the kept TenantQuota to be in force again", deadline_seconds=60)
    kubectl.wait_for_admission(new_namespace("release"))
