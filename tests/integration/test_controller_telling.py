"""What the controller tells of itself: metrics, probes, logs."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from e2e.cluster.settings import NAMESPACE
from e2e.harness.cluster import Cluster, Container
from e2e.harness.wait import NotYet, wait_until
from tests.integration.tenant import Tenant

PROXY = f"/api/v1/namespaces/{NAMESPACE}/pods"


@pytest.fixture
def tenant(cluster: Cluster, controller: object, new_namespace: Callable[[str], str]) -> Tenant:
    return Tenant(cluster, new_namespace("tell"))


@pytest.fixture
def get(cluster: Cluster, controller: Container) -> Callable[[str], str]:
    return lambda path: str(cluster.kubectl("get", "--raw", f"{PROXY}/{controller.pod}:8080/proxy{path}"))


def samples(text: str, name: str) -> Iterator[tuple[dict[str, str], float]]:
    for family in text_string_to_metric_families(text):
        yield from ((sample.labels, sample.value) for sample in family.samples if sample.name == name)


def test_metrics_count_what_is_done(tenant: Tenant, get: Callable[[str], str]) -> None:
    def applied() -> float:
        labels = {"rule": "LimitsFollowQuota", "outcome": "Applied"}
        return sum(
            value for found, value in samples(get("/metrics"), "tenantquota_resizes_total") if found == labels
        )

    before = applied()
    tenant.start("agent")
    tenant.quota("300m", "64Mi")
    tenant.wait_limits(300, 64)
    assert applied() > before
    text = get("/metrics")
    results = {labels["result"] for labels, _ in samples(text, "tenantquota_reconciles_total")}
    assert "success" in results
    (count,) = (value for _, value in samples(text, "tenantquota_reconcile_duration_seconds_count"))
    assert count > 0
    assert any(True for _ in samples(text, "process_resident_memory_bytes"))


def test_the_last_reconcile_is_never_long_ago_though_nothing_happens(
    tenant: Tenant, get: Callable[[str], str]
) -> None:
    tenant.quota("300m", "64Mi")
    tenant.wait_condition("Ready", "True", "Reconciled")

    def last() -> float:
        ((_, value),) = samples(get("/metrics"), "tenantquota_last_reconcile_timestamp_seconds")
        return value

    before = last()
    wait_until(lambda: last() > before, what="another reconcile", deadline_seconds=60, poll_seconds=0.5)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_answer(get: Callable[[str], str], path: str) -> None:
    assert get(path) == "ok"


def test_each_resize_is_a_record_of_the_audit_log(tenant: Tenant, controller: Container) -> None:
    tenant.start("agent")
    tenant.quota("300m", "64Mi")
    tenant.wait_limits(300, 64)

    def closed() -> tuple[dict[str, Any], dict[str, Any]]:
        lines = tenant.cluster.kubectl("logs", controller.pod, f"--namespace={NAMESPACE}").splitlines()
        records = [record for line in lines if (record := json.loads(line).get("audit"))]
        mine = [record for record in records if record["namespace"] == tenant.namespace]
        if len(mine) < 2:
            raise NotYet(f"there are {mine}")
        decided, read = mine
        return decided, read

    decided, read = wait_until(closed, what="a record that is read back", deadline_seconds=60)
    assert (decided["rule"], decided["outcome"]) == ("LimitsFollowQuota", "Applied")
    assert (decided["pod"], decided["container"], decided["mode"]) == ("agent", "agent", "Enforce")
    assert decided["old"] == {"requests": {"cpu": "5m", "memory": "16Mi"}}
    assert decided["new"]["limits"] == {"cpu": "300m", "memory": "64Mi"}
    assert (decided["quota"], decided["tenant"]) == ("quota", tenant.namespace)
    assert decided["window"]["podGeneration"] == 1
    assert (read["outcome"], read["read"]) == ("InForce", {"cpu": "300m", "memory": "64Mi"})
    assert read["correlationId"] == decided["correlationId"]
    assert read["rule"] == "LimitsFollowQuota"
    (decision,) = tenant.status()["decisions"]
    assert (decision["correlationId"], decision["mode"]) == (decided["correlationId"], "Enforce")
