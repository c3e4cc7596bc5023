"""What a new pod's containers get: limits and requests as the API server writes them at admission.

Every pod here is created with ``--dry-run=server``: it passes all of admission, defaulting and validation.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

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

QUOTAS: dict[str, Manifest] = {
    "plain": {"container": {"limits": {"cpu": "500m", "memory": "512Mi"}}},
    "requests": {
        "container": {
            "limits": {"cpu": "2", "memory": "1Gi"},
            "requests": {"cpu": "50m", "memory": "64Mi"},
        }
    },
    "cpu-request": {
        "container": {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "500m"}},
    },
    "odd": {"container": {"limits": {"cpu": "0.2345", "memory": "100000000.5"}}},
    "tiny": {"container": {"limits": {"cpu": "10m", "memory": "16Mi"}}},
    "huge": {"container": {"limits": {"cpu": "1024", "memory": "64Ti"}}},
    "observed": {"container": {"limits": {"cpu": "500m", "memory": "512Mi"}}, "enforcement": "Observe"},
}
"""Quotas of one namespace; each selects the pods that are labelled ``quota: NAME``."""


@dataclass(frozen=True)
class Case:
    """A container that declares ``declared`` under the quota is created with ``expected``."""

    quota: str
    declared: Manifest
    expected: Manifest


A_TENTH_OF_512_MI = "53687091"
CASES = {
    "nothing declared": Case("plain", {}, full("500m", "512Mi", "50m", A_TENTH_OF_512_MI)),
    "lower limits stay": Case(
        "plain", full("200m", "256Mi", "100m", "128Mi"), full("200m", "256Mi", "100m", "128Mi")
    ),
    "higher limits are lowered": Case(
        "plain", full("4", "8Gi", "100m", "128Mi"), full("500m", "512Mi", "100m", "128Mi")
    ),
    "higher requests are lowered": Case(
        "plain", full("4", "8Gi", "2", "4Gi"), full("500m", "512Mi", "499m", "512Mi")
    ),
    "one limit lower, one higher": Case(
        "plain", limits("100m", "1Gi"), full("100m", "512Mi", "99m", "512Mi")
    ),
    "only a cpu limit": Case("plain", limits("100m"), full("100m", "512Mi", "99m", A_TENTH_OF_512_MI)),
    "only requests": Case("plain", requests("100m", "64Mi"), full("500m", "512Mi", "100m", "64Mi")),
    "only one request": Case("plain", requests(memory="64Mi"), full("500m", "512Mi", "50m", "64Mi")),
    "requests above limits": Case("plain", requests("3", "3Gi"), full("500m", "512Mi", "499m", "512Mi")),
    "Guaranteed by declaration": Case(
        "plain", full("200m", "256Mi", "200m", "256Mi"), full("200m", "256Mi", "199m", "256Mi")
    ),
    "exactly the quota": Case(
        "plain", full("500m", "512Mi", "500m", "512Mi"), full("500m", "512Mi", "499m", "512Mi")
    ),
    "a limit of zero is none": Case("plain", limits("0", "0"), full("500m", "512Mi", "0", "0")),
    "requests of zero stay": Case("plain", requests("0", "0"), full("500m", "512Mi", "0", "0")),
    "giant values": Case("plain", limits("9E", "9E"), full("500m", "512Mi", "499m", "512Mi")),
    "one thousandth": Case("plain", limits("1m", "1Mi"), full("1m", "1Mi", "0", "1Mi")),
    "a tenth rounds down": Case(
        "plain", limits("19m") | requests(memory="1Mi"), full("19m", "512Mi", "18m", "1Mi")
    ),
    "quota's requests by default": Case("requests", {}, full("2", "1Gi", "50m", "64Mi")),
    "quota's requests as a ceiling": Case("requests", requests("1", "1Gi"), full("2", "1Gi", "50m", "64Mi")),
    "requests lower than the quota's": Case(
        "requests", requests("10m", "16Mi"), full("2", "1Gi", "10m", "16Mi")
    ),
    "quota's requests above an own limit": Case(
        "requests", limits("20m", "32Mi"), full("20m", "32Mi", "19m", "32Mi")
    ),
    "quota's request equals its limit": Case(
        "cpu-request", {}, full("500m", "512Mi", "499m", A_TENTH_OF_512_MI)
    ),
    "quota of fractions rounds up": Case("odd", {}, full("235m", "100000001", "23m", "10M")),
    "declared just under a fraction": Case(
        "odd", limits("234m", "100000000"), full("234m", "100M", "233m", "100M")
    ),
    "declared just over a fraction": Case(
        "odd", limits("235m", "100000001"), full("235m", "100000001", "234m", "100000001")
    ),
    "least quota": Case("tiny", {}, full("10m", "16Mi", "1m", "1677721")),
    "least quota and least request": Case(
        "tiny", limits("5m") | requests(memory="1"), full("5m", "16Mi", "4m", "1")
    ),
    "most quota": Case("huge", {}, full("1024", "64Ti", "102400m", "7036874417766")),
    "0.29 cores are 290m": Case("huge", limits("0.29", "1Gi"), full("290m", "1Gi", "289m", "1Gi")),
    "1.001 cores are 1001m": Case("huge", limits("1.001", "1Gi"), full("1001m", "1Gi", "1", "1Gi")),
    "2500u rounds up to 3m": Case("huge", limits("2500u", "1Gi"), full("3m", "1Gi", "2m", "1Gi")),
    "memory in every unit": Case(
        "huge", limits("1", "1.5Gi") | requests("1m", "1e6"), full("1", "1536Mi", "1m", "1e6")
    ),
    "a fraction of a byte rounds up": Case(
        "huge", limits("1", "1000000.5") | requests("1m", "1"), full("1", "1000001", "1m", "1")
    ),
    "Observe changes nothing": Case("observed", limits("4") | requests("1"), limits("4") | requests("1")),
    "Observe leaves BestEffort": Case("observed", {}, {}),
}


@pytest.fixture(scope="module")
def tenants(kubectl: Kubectl, new_namespace: Callable[[str], str]) -> str:
    """A namespace with all of QUOTAS."""
    namespace = new_namespace("limits")
    for name, spec in QUOTAS.items():
        kubectl.give_quota(namespace, {"selector": {"matchLabels": {"quota": name}}, **spec}, name)
    kubectl.wait_for_admission(namespace)
    return namespace


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_resources_of_a_container(kubectl: Kubectl, tenants: str, case: Case) -> None:
    created = kubectl.try_create(pod(tenants, case.declared, labels={"quota": case.quota})).manifest

    assert resources(created) == {"c0": case.expected}
    if QUOTAS[case.quota].get("enforcement") != "Observe":
        assert created["status"]["qosClass"] == "Burstable"
        assert created["metadata"]["labels"][TENANT_LABEL] == tenants


def test_every_kind_of_container_is_limited(kubectl: Kubectl, tenants: str) -> None:
    created = kubectl.try_create(
        pod(
            tenants,
            limits("4", "4Gi"),
            {},
            limits("100m", "64Mi"),
            init=[
                limits("8", "8Gi"),
                {"restartPolicy": "Always", "resources": requests("10m", "16Mi")},
                {},
            ],
            labels={"quota": "plain"},
        )
    ).manifest

    assert resources(created) == {
        "c0": full("500m", "512Mi", "499m", "512Mi"),
        "c1": full("500m", "512Mi", "50m", A_TENTH_OF_512_MI),
        "c2": full("100m", "64Mi", "99m", "64Mi"),
        "i0": full("500m", "512Mi", "499m", "512Mi"),
        "i1": full("500m", "512Mi", "10m", "16Mi"),
        "i2": full("500m", "512Mi", "50m", A_TENTH_OF_512_MI),
    }
    assert created["spec"]["initContainers"][1]["restartPolicy"] == "Always"


def test_declared_resources_are_noted(kubectl: Kubectl, tenants: str) -> None:
    """Names that are words of the note itself must not confuse it."""
    created = kubectl.try_create(
        pod(
            tenants,
            {"name": "limits", "resources": limits("4", "512Mi") | requests("0.5")},
            {"name": "cpu", "resources": {}},
            {"name": "requests", "resources": requests(memory="1Gi")},
            init=[limits(memory="0")],
            labels={"quota": "plain"},
        )
    ).manifest

    assert json.loads(created["metadata"]["annotations"][DECLARED_ANNOTATION]) == {
        # before any policy sees the pod, the API server takes a limit for the request that isn't declared
        "limits": {"limits": {"cpu": "4", "memory": "512Mi"}, "requests": {"cpu": "500m", "memory": "512Mi"}},
        "cpu": {},
        "requests": {"requests": {"memory": "1Gi"}},
        "i0": {"limits": {"memory": "0"}, "requests": {"memory": "0"}},
    }


def test_other_resources_and_fields_stay(kubectl: Kubectl, tenants: str) -> None:
    other = {"ephemeral-storage": "2Gi", "hugepages-2Mi": "4Mi", "example.com/gpu": "1"}
    claims = [{"name": "accelerator"}]
    container = {
        "resources": {"limits": {"cpu": "4", **other}, "requests": {"memory": "1Gi"}, "claims": claims},
        "env": [{"name": "A", "value": "1"}],
        "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}],
        "ports": [{"containerPort": 80}],
    }
    created = kubectl.try_create(
        pod(
            tenants,
            container,
            labels={"quota": "plain", "kept": "yes"},
            annotations={"kept": "too"},
            resourceClaims=[{"name": "accelerator", "resourceClaimName": "gpu"}],
        )
    ).manifest

    (written,) = created["spec"]["containers"]
    assert written["resources"] == {
        "limits": {"cpu": "500m", "memory": "512Mi", **other},
        "requests": {"cpu": "499m", "memory": "512Mi", **other},
        "claims": claims,
    }
    assert written["env"] == container["env"]
    assert {"resourceName": "memory", "restartPolicy": "RestartContainer"} in written["resizePolicy"]
    assert written["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert created["metadata"]["labels"]["kept"] == "yes"
    assert created["metadata"]["annotations"]["kept"] == "too"


def test_a_hundred_containers(kubectl: Kubectl, tenants: str) -> None:
    """CEL has a cost limit for each expression; ordinary pods are far from it."""
    many = pod(tenants, *[limits("0.29", "1.5Gi")] * 100, labels={"quota": "plain"})

    assert (
        list(resources(kubectl.try_create(many).manifest).values())
        == [full("290m", "512Mi", "289m", "512Mi")] * 100
    )
