"""Limits hold beside whatever else changes pods at admission: other policies, webhooks, LimitRanges."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from e2e.harness.wait import NotYet, wait_until
from tests.integration.kubectl import (
    DECLARED_ANNOTATION,
    TENANT_LABEL,
    Answer,
    Kubectl,
    Manifest,
    full,
    limits,
    pod,
    resources,
)

GROUP = "admissionregistration.k8s.io"


@pytest.fixture
def namespace(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> str:
    namespace = new_namespace("interplay")
    kubectl.give_quota(namespace, {"container": {"limits": {"cpu": "500m", "memory": "256Mi"}}})
    kubectl.wait_for_admission(namespace)
    return namespace


@contextmanager
def another_policy(
    kubectl: Kubectl,
    namespace: str,
    spec: str = "Object.spec{}",
    *,
    labels: Manifest | None = None,
    once: bool = False,
) -> Iterator[str]:
    """A MutatingAdmissionPolicy of somebody else: it applies ``spec`` and labels, its name too."""
    name = f"test-{secrets.token_hex(3)}"
    metadata = f"Object.metadata{{labels: {json.dumps({'changed-by': name, **(labels or {})})}}}"
    kubectl.apply(
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never" if once else "IfNeeded",
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "resources": ["pods"],
                            "operations": ["CREATE"],
                        }
                    ]
                },
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {"expression": f"Object{{metadata: {metadata}, spec: {spec}}}"},
                    }
                ],
            },
        },
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "matchResources": {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
                },
            },
        },
    )
    try:
        yield name
    finally:
        kubectl("delete", f"mutatingadmissionpolicybinding/{name}", f"mutatingadmissionpolicy/{name}").ok()


def create_once_in_force(kubectl: Kubectl, policy: str, manifest: Manifest) -> Answer:
    """Creates the pod again and again until the policy has changed it, or something refuses it."""

    def changed() -> Answer:
        answer = kubectl.try_create(manifest)
        if answer.code == 0 and answer.manifest["metadata"]["labels"].get("changed-by") != policy:
            raise NotYet("it doesn't change pods yet")
        return answer

    return wait_until(changed, what=f"policy {policy} to be in force", deadline_seconds=30)


def test_injected_container_is_limited_and_noted(kubectl: Kubectl, namespace: str) -> None:
    """As a service mesh does it."""
    injected = (
        "Object.spec{containers: [Object.spec.containers{name: 'mesh', image: 'any',"
        " resources: Object.spec.containers.resources{limits: {'cpu': '2'}}}]}"
    )
    with another_policy(kubectl, namespace, injected, once=True) as policy:
        created = create_once_in_force(kubectl, policy, pod(namespace, {}, limits("100m"))).manifest

    assert {name: of["limits"] for name, of in resources(created).items()} == {
        "c0": limits("500m", "256Mi")["limits"],
        "c1": limits("100m", "256Mi")["limits"],
        "mesh": limits("500m", "256Mi")["limits"],
    }
    assert json.loads(created["metadata"]["annotations"][DECLARED_ANNOTATION]) == {
        "c0": {},
        "c1": {"limits": {"cpu": "100m"}, "requests": {"cpu": "100m"}},
        "mesh": {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}},
    }
    assert created["status"]["qosClass"] == "Burstable"


def test_limits_raised_afterwards_are_refused(kubectl: Kubectl, namespace: str) -> None:
    """The API server calls policies in no particular order, and once more after changes. Where the other one
    has the last word the pod is refused; where the quota has it, the limits are lowered again."""
    raised = (
        "Object.spec{containers: object.spec.containers.map(c, Object.spec.containers{name: c.name,"
        " resources: Object.spec.containers.resources{limits: {'cpu': '64'}}})}"
    )

    def refused() -> str:
        with another_policy(kubectl, namespace, raised) as policy:
            answer = create_once_in_force(kubectl, policy, pod(namespace, {}))
        if answer.code == 0:
            assert resources(answer.manifest)["c0"]["limits"] == limits("500m", "256Mi")["limits"]
            raise NotYet("the quota had the last word each time")
        return answer.refusal()

    message = wait_until(refused, what="the other policy to have the last word", deadline_seconds=180)

    assert "container c0 asks for limits.cpu 64 where at most 500m is allowed" in message
    assert "something changed the pod after the quota was applied to it" in message


def test_another_tenants_label_written_by_a_policy_is_refused(kubectl: Kubectl, namespace: str) -> None:
    with another_policy(kubectl, namespace, labels={TENANT_LABEL: "stolen"}) as policy:
        message = create_once_in_force(kubectl, policy, pod(namespace, {})).refusal()

    assert f"label {TENANT_LABEL} is stolen, but this pod belongs to tenant {namespace}" in message


def test_defaults_of_a_limit_range_are_lowered(kubectl: Kubectl, namespace: str) -> None:
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "generous", "namespace": namespace},
            "spec": {
                "limits": [{"type": "Container", "default": {"cpu": "4"}, "defaultRequest": {"cpu": "10m"}}]
            },
        }
    )

    def defaulted() -> Manifest:
        created = kubectl.try_create(pod(namespace, {})).manifest
        if resources(created)["c0"]["requests"]["cpu"] != "10m":
            raise NotYet("the LimitRange isn't in force yet")
        return created

    created = wait_until(defaulted, what="the LimitRange to be in force", deadline_seconds=30)

    assert resources(created) == {"c0": full("500m", "256Mi", "10m", "26843545")}
