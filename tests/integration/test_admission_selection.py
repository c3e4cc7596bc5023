"""Which pods a quota holds at admission: Kubernetes' own label selector semantics, and overlaps."""

import json
import secrets
from collections.abc import Callable

import pytest

from tests.integration.kubectl import (
    DECLARED_ANNOTATION,
    TENANT_LABEL,
    Kubectl,
    Manifest,
    full,
    limits,
    pod,
    requests,
    resources,
)

CONTAINER: Manifest = {"limits": {"cpu": "500m", "memory": "512Mi"}}
HELD_RESOURCES = full("500m", "512Mi", "50m", "53687091")
SELECTOR: Manifest = {
    "matchLabels": {"app": "agent"},
    "matchExpressions": [
        {"key": "tier", "operator": "In", "values": ["gold", "silver"]},
        {"key": "stage", "operator": "NotIn", "values": ["dev", "test"]},
        {"key": "customer", "operator": "Exists"},
        {"key": "debug", "operator": "DoesNotExist"},
    ],
}
HELD: Manifest = {"app": "agent", "tier": "gold", "customer": ""}


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> str:
    namespace = new_namespace("selection")
    kubectl.give_quota(namespace, {"selector": SELECTOR, "tenant": "acme", "container": CONTAINER})
    kubectl.wait_for_admission(namespace)
    return namespace


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ({}, True),
        ({"tier": "silver"}, True),
        ({"stage": "live"}, True),
        ({"unrelated": "dev"}, True),
        ({"app": "other"}, False),
        ({"app": None}, False),
        ({"tier": "bronze"}, False),
        ({"tier": None}, False),
        ({"stage": "dev"}, False),
        ({"customer": None}, False),
        ({"debug": ""}, False),
    ],
    ids=str,
)
def test_selector(kubectl: Kubectl, namespace: str, change: Manifest, held: bool) -> None:
    labels = {key: value for key, value in (HELD | change).items() if value is not None}

    created = kubectl.try_create(pod(namespace, {}, labels=labels)).manifest

    assert resources(created) == {"c0": HELD_RESOURCES if held else {}}
    assert created["metadata"].get("labels", {}).get(TENANT_LABEL) == ("acme" if held else None)
    assert (DECLARED_ANNOTATION in created["metadata"].get("annotations", {})) is held
    assert created["status"]["qosClass"] == ("Burstable" if held else "BestEffort")


def test_pod_without_labels(kubectl: Kubectl, namespace: str) -> None:
    created = kubectl.try_create(pod(namespace, {})).manifest

    assert resources(created) == {"c0": {}}


def test_quota_without_selector_holds_every_pod(
    kubectl: Kubectl, new_namespace: Callable[[str], str]
) -> None:
    namespace = new_namespace("whole")
    kubectl.give_quota(namespace, {"container": CONTAINER})
    kubectl.wait_for_admission(namespace)

    for labels in ({}, {"any": "label"}):
        created = kubectl.try_create(pod(namespace, {}, labels=labels)).manifest
        assert resources(created) == {"c0": HELD_RESOURCES}


def assert_untouched(created: Manifest) -> None:
    assert resources(created) == {"c0": {}, "c1": full("64", "64Gi", "64", "64Gi")}
    assert created["metadata"]["labels"] == HELD
    assert DECLARED_ANNOTATION not in created["metadata"].get("annotations", {})


def test_namespace_without_quota_is_untouched(
    kubectl: Kubectl, new_namespace: Callable[[str], str], namespace: str
) -> None:
    """``namespace`` has a quota, so the policies are at work; the other has none."""
    without = new_namespace("without")

    assert_untouched(kubectl.try_create(pod(without, {}, limits("64", "64Gi"), labels=HELD)).manifest)


@pytest.mark.parametrize("system", ["kube-system", "kube-public", "kube-node-lease", "tenantquota-system"])
def test_system_namespace_is_untouched_even_with_a_quota(
    kubectl: Kubectl, new_namespace: Callable[[str], str], system: str
) -> None:
    quota = f"test-{secrets.token_hex(3)}"
    kubectl.give_quota(system, {"selector": SELECTOR, "container": CONTAINER}, quota)
    try:
        # a later quota of another namespace is known, so this one is, too
        kubectl.wait_for_admission(new_namespace("later"))
        created = kubectl.try_create(pod(system, {}, limits("64", "64Gi"), labels=HELD)).manifest
    finally:
        kubectl("delete", "tenantquota", quota, f"--namespace={system}").ok()

    assert_untouched(created)


@pytest.fixture(scope="module")
def overlapping(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> str:
    """A namespace with quotas a, b and c that select pods labelled ``a: yes`` and so on."""
    namespace = new_namespace("overlap")
    specs = {
        "a": {"container": {"limits": {"cpu": "1", "memory": "128Mi"}}},
        "b": {
            "container": {
                "limits": {"cpu": "300m", "memory": "1Gi"},
                "requests": {"cpu": "20m", "memory": "32Mi"},
            }
        },
        "c": {"tenant": "other", "container": {"limits": {"cpu": "1", "memory": "1Gi"}}},
    }
    for name, spec in specs.items():
        kubectl.give_quota(namespace, {"selector": {"matchLabels": {name: "yes"}}, **spec}, name)
    kubectl.wait_for_admission(namespace)
    return namespace


def test_minimum_of_overlapping_quotas_holds(kubectl: Kubectl, overlapping: str) -> None:
    manifest = pod(overlapping, {}, limits("4", "4Gi"), {}, labels={"a": "yes", "b": "yes"})

    created = kubectl.try_create(manifest).manifest

    assert {name: value["limits"] for name, value in resources(created).items()} == {
        name: limits("300m", "128Mi")["limits"] for name in ("c0", "c1", "c2")
    }
    assert resources(created)["c1"] == full("300m", "128Mi", "20m", "32Mi")
    for value in resources(created).values():
        assert value["requests"] in (
            requests("20m", "32Mi")["requests"],
            requests("20m", "13421772")["requests"],
        )


def test_what_the_author_declared_is_noted_not_what_the_first_quota_wrote(
    kubectl: Kubectl, overlapping: str
) -> None:
    manifest = pod(overlapping, {}, {}, limits("4"), {}, labels={"a": "yes", "b": "yes"})

    created = kubectl.try_create(manifest).manifest

    assert json.loads(created["metadata"]["annotations"][DECLARED_ANNOTATION]) == {
        "c0": {},
        "c1": {},
        "c2": {"limits": {"cpu": "4"}, "requests": {"cpu": "4"}},
        "c3": {},
    }


def test_a_pod_of_two_tenants_is_refused(kubectl: Kubectl, overlapping: str) -> None:
    """Whose it is, is never guessed."""
    message = kubectl.try_create(pod(overlapping, {}, labels={"a": "yes", "c": "yes"})).refusal()

    assert "if quotas of two tenants select this pod, have their selectors changed" in message
