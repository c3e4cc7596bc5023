import copy
import json
from typing import Any

import pytest

from tenantquota.api.enforcement import Enforcement
from tenantquota.api.leaks import Action, Kind
from tenantquota.api.names import DECLARED_ANNOTATION, TENANT_LABEL
from tenantquota.api.tenantquota import Leaks
from tenantquota.domain.findings import DEFAULTS, Thresholds
from tenantquota.domain.manifests import resources_body
from tenantquota.domain.model import (
    Budget,
    ContainerQuota,
    InvalidQuota,
    PendingResize,
    QosClass,
    Quota,
    Resources,
)
from tenantquota.domain.quantities import parse_memory_bytes
from tenantquota.domain.reports import Reported, ReportedLeak, Yielding
from tenantquota.kube.reading import (
    read_declared,
    read_finished_pod,
    read_node_report,
    read_pod,
    read_quota,
    read_resource_quota,
)
from tenantquota.node import owners

MI = 2**20

POD: dict[str, Any] = {
    "metadata": {
        "namespace": "acme",
        "name": "p",
        "uid": "u",
        "generation": 3,
        "labels": {TENANT_LABEL: "acme"},
    },
    "spec": {
        "containers": [
            {
                "name": "agent",
                "resources": {"limits": {"cpu": "1", "memory": "128Mi"}, "requests": {"cpu": "50m"}},
            }
        ],
        "initContainers": [
            {"name": "setup", "resources": {}},
            {"name": "proxy", "restartPolicy": "Always", "resources": {"limits": {"cpu": "100m"}}},
        ],
    },
    "status": {
        "phase": "Running",
        "qosClass": "Burstable",
        "observedGeneration": 2,
        "containerStatuses": [
            {
                "name": "agent",
                "state": {"running": {}},
                "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}},
                "restartCount": 0,
            }
        ],
        "initContainerStatuses": [
            {"name": "proxy", "state": {"waiting": {}}, "resources": {}, "restartCount": 1}
        ],
    },
}

LEAKS: dict[str, Any] = {
    "memoryFastPerMinute": "100Mi",
    "memorySlowPerMinute": "1Mi",
    "openFilesPerMinute": 5,
    "processesPerMinute": 6,
    "cpuPercent": 70,
    "cpuSeconds": 60,
}

QUOTA: dict[str, Any] = {
    "metadata": {"namespace": "acme", "name": "q", "uid": "u", "generation": 2, "resourceVersion": "41"},
    "spec": {
        "container": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "50m"}},
        "budget": {"memory": "1Gi", "pods": 10},
    },
}


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    body = copy.deepcopy(body)
    *parents, last = path.split(".")
    target = body
    for parent in parents:
        target = target[parent]
    target[last] = value
    return body


def test_a_pod() -> None:
    pod = read_pod(POD)
    assert pod is not None
    assert (pod.generation, pod.observed_generation, pod.qos) == (3, 2, QosClass.BURSTABLE)
    agent, proxy = pod.containers
    assert agent.spec == Resources(1000, 128 * MI, 50, None)
    assert agent.actual == Resources(500, 64 * MI)
    assert (proxy.name, proxy.sidecar, proxy.actual) == ("proxy", True, None)
    assert (agent.begun_anew, proxy.begun_anew) == (False, True)
    assert (pod.declared, pod.tenant, pod.pending, pod.static) == (None, "acme", None, False)


@pytest.mark.parametrize(
    ("path", "value"),
    [("status.phase", "Succeeded"), ("status.phase", "Failed"), ("metadata.deletionTimestamp", "now")],
)
def test_a_pod_that_has_ended_is_none(path: str, value: str) -> None:
    assert read_pod(changed(POD, path, value)) is None


ENDED = {
    "phase": "Failed",
    "containerStatuses": [
        {"name": "agent", "state": {"terminated": {"finishedAt": "2026-01-01T00:00:05Z"}}},
        {"name": "second", "state": {"terminated": {"finishedAt": "2026-01-01T00:00:02Z"}}},
    ],
    "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:09Z"}],
}


def test_a_finished_pod() -> None:
    found = read_finished_pod(changed(POD, "status", ENDED))
    assert found is not None
    assert (found.name, found.phase, found.finished) == ("p", "Failed", "2026-01-01T00:00:05Z")
    assert not found.of_job


@pytest.mark.parametrize(
    ("status", "finished"),
    [
        (ENDED | {"containerStatuses": []}, "2026-01-01T00:00:09Z"),
        ({"phase": "Failed"}, "2026-01-01T00:00:00Z"),
    ],
    ids=["turned away by the kubelet", "no conditions"],
)
def test_when_a_pod_finished_that_never_ran(status: Any, finished: str) -> None:
    body = changed(changed(POD, "status", status), "metadata.creationTimestamp", "2026-01-01T00:00:00Z")
    found = read_finished_pod(body)
    assert found is not None
    assert found.finished == finished


@pytest.mark.parametrize(("kind", "of_job"), [("Job", True), ("ReplicaSet", False)])
def test_a_jobs_finished_pod(kind: str, of_job: bool) -> None:
    owners = [{"kind": kind, "name": "owner", "controller": True}]
    found = read_finished_pod(changed(changed(POD, "status", ENDED), "metadata.ownerReferences", owners))
    assert found is not None
    assert found.of_job is of_job


def test_no_finished_pod() -> None:
    assert read_finished_pod(POD) is None
    deleted = changed(changed(POD, "status", ENDED), "metadata.deletionTimestamp", "now")
    assert read_finished_pod(deleted) is None


def test_a_pod_without_a_status_yet() -> None:
    pod = read_pod(changed(POD, "status", {}))
    assert pod is not None
    assert all(container.actual is None for container in pod.containers)


def test_conditions_of_a_resize() -> None:
    conditions = [
        {"type": "Ready", "status": "True"},
        {"type": "PodResizePending", "status": "True", "reason": "Deferred", "message": "no room"},
    ]
    pod = read_pod(changed(POD, "status.conditions", conditions))
    assert pod is not None
    assert pod.pending == PendingResize("Deferred", "no room")


@pytest.mark.parametrize(
    ("shown", "allocated", "excess"),
    [
        ({"cpu": "196m"}, {"cpu": "50m"}, 146),
        ({"cpu": "2m"}, {"cpu": "50m"}, 0),
        ({}, {"cpu": "50m"}, 0),
        ({"cpu": "196m"}, None, 0),
    ],
)
def test_a_pod_that_counts_as_requesting_more(shown: Any, allocated: Any, excess: int) -> None:
    """As from 1.37 on; before, the kubelet shows neither of a whole pod."""
    body = changed(POD, "status.resources", {"requests": shown})
    pod = read_pod(changed(body, "status.allocatedResources", allocated))
    assert pod is not None
    assert pod.cpu_excess_milli == excess


def test_static_pods_and_pod_level_resources_are_seen() -> None:
    static = read_pod(changed(POD, "metadata.annotations", {"kubernetes.io/config.mirror": "x"}))
    level = read_pod(changed(POD, "spec.resources", {"limits": {"cpu": "1"}}))
    assert static is not None
    assert level is not None
    assert (static.static, level.pod_level_resources) == (True, True)


@pytest.mark.parametrize(
    ("owners", "controlled"),
    [([], False), ([{"uid": "u"}], False), ([{"uid": "u"}, {"uid": "v", "controller": True}], True)],
)
def test_who_makes_a_pod_anew(owners: list[dict[str, Any]], controlled: bool) -> None:
    pod = read_pod(changed(POD, "metadata.ownerReferences", owners))
    assert pod is not None
    assert pod.controlled is controlled


@pytest.mark.parametrize(
    ("leaks", "action"),
    [(None, Action.REPORT), ({}, Action.REPORT), ({"action": "Contain"}, Action.CONTAIN)],
)
def test_what_is_to_be_done_about_leaks(leaks: Any, action: Action) -> None:
    quota = read_quota(changed(QUOTA, "spec.leaks", leaks))
    assert isinstance(quota, Quota)
    assert quota.leak_action is action


def test_what_a_pod_declares_survives_the_way_there_and_back() -> None:
    declared = {"agent": Resources(1500, 3 * MI, None, 12345), "proxy": Resources()}
    written = json.dumps({name: resources_body(resources) for name, resources in declared.items()})
    assert read_declared(written) == declared
    pod = read_pod(changed(POD, "metadata.annotations", {DECLARED_ANNOTATION: written}))
    assert pod is not None
    assert pod.declared == declared


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", "3", '{"agent": 3}', '{"agent": {"limits": {"cpu": "x"}}}']
)
def test_nonsense_declares_nothing(text: str) -> None:
    assert read_declared(text) == {}
    assert read_declared(None) is None


def test_a_quota() -> None:
    quota = read_quota(QUOTA)
    assert isinstance(quota, Quota)
    assert (quota.tenant, quota.generation, quota.resource_version) == ("acme", 2, 41)
    assert quota.container == ContainerQuota(500, 128 * MI, 50, None)
    assert quota.budget == Budget(None, 1024 * MI, 10)
    assert (quota.enforcement, quota.covers_namespace) == (Enforcement.ENFORCE, True)


def test_a_quota_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    assert isinstance(read_quota(changed(QUOTA, "spec.novelty", {"a": 1})), Quota)
    assert isinstance(read_quota(changed(QUOTA, "status", {"phase": "Unheard"})), Quota)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("spec", {}, "spec.container: Field required"),
        ("spec.container.limits", {"cpu": "1"}, "spec.container.limits.memory: Field required"),
        ("spec.container.limits.cpu", "much", "'much' is not a quantity"),
    ],
)
def test_a_quota_that_cant_be_read_says_why(path: str, value: Any, problem: str) -> None:
    quota = read_quota(changed(QUOTA, path, value))
    assert isinstance(quota, InvalidQuota)
    assert problem in quota.problem


def test_a_resource_quota() -> None:
    owned = read_resource_quota(
        {
            "metadata": {"name": "tenantquota-q", "ownerReferences": [{"uid": "u"}]},
            "spec": {"hard": {"limits.memory": "1Gi", "pods": "10"}},
            "status": {"hard": {"limits.memory": "512Mi"}, "used": {"limits.memory": "1Mi"}},
        }
    )
    assert owned.in_force == {"limits.memory": 2**29}
    assert (owned.name, owned.owner_uid, owned.hard) == (
        "tenantquota-q",
        "u",
        {"limits.memory": 2**30, "pods": 10},
    )


REPORT: dict[str, Any] = {
    "metadata": {"name": "n1"},
    "heartbeat": "2026-01-01T00:00:00Z",
    "periodSeconds": 15,
    "containers": [
        {
            "namespace": "acme",
            "pod": "p",
            "uid": "u",
            "name": "agent",
            "tenant": "acme",
            "cpuLimitMilli": 300,
            "memoryLimitBytes": 64 * MI,
            "cpuMilli": 12,
            "memoryBytes": 9 * MI,
        },
        {"namespace": "other", "pod": "q", "uid": "v", "name": "agent", "tenant": "t"},
    ],
}


def test_a_node_report_is_read_by_pod_and_container() -> None:
    report = read_node_report(REPORT)
    assert (report.node, report.period_seconds, report.heartbeat_seconds) == ("n1", 15, 1767225600.0)
    assert report.namespaces == {"acme", "other"}
    assert report.containers == {
        ("u", "agent"): Reported(300, 64 * MI, 12, 9 * MI),
        ("v", "agent"): Reported(None, None),
    }


def test_a_report_of_an_empty_node_is_one_too() -> None:
    bare = {key: value for key, value in REPORT.items() if key != "containers"}
    report = read_node_report(bare | {"heartbeat": "2026-01-01T01:00:00.5+01:00"})
    assert (report.heartbeat_seconds, report.containers) == (1767225600.5, {})


def test_who_yields_is_read_with_its_caps() -> None:
    hold = {"tenant": "acme", "since": "2026-01-01T00:00:00Z", "victims": ["t"], "message": "why"}
    caps = [{"uid": "u", "name": "agent", "cpuLimitMilli": 200}]
    assert read_node_report(REPORT | {"holds": [hold | {"caps": caps}]}).yielding == {
        "acme": Yielding("2026-01-01T00:00:00Z", ("t",), "why", {("u", "agent"): 200})
    }
    assert read_node_report(REPORT | {"holds": [hold]}).yielding["acme"].caps == {}, "an older agent's"


def test_the_node_agent_reads_the_thresholds_that_the_resource_has() -> None:
    """It reads them without the model, defaults included."""
    for leaks in ({}, LEAKS, {"memorySlowPerMinute": 10_000_000}):
        model = Leaks.model_validate(leaks)
        expected = Thresholds(
            parse_memory_bytes(model.memory_fast_per_minute),
            parse_memory_bytes(model.memory_slow_per_minute),
            model.open_files_per_minute,
            model.processes_per_minute,
            model.cpu_percent,
            model.cpu_seconds,
        )
        manifest = changed(QUOTA, "spec.leaks", leaks)
        assert owners.read_quota(manifest)[1].thresholds == expected
    assert owners.read_quota(QUOTA)[1].thresholds == DEFAULTS


def test_leaks_that_a_node_reports() -> None:
    leak = {
        "namespace": "acme",
        "pod": "p",
        "uid": "u",
        "name": "agent",
        "tenant": "acme",
        "kind": "memory_slow",
        "stage": "confirmed",
        "since": "2026-01-01T00:00:00Z",
        "ratePerMinute": 5,
        "evidence": "it grew",
    }
    body = {
        "metadata": {"name": "n1"},
        "heartbeat": "2026-01-01T00:10:00Z",
        "periodSeconds": 30,
        "findings": [leak | {"limitInSeconds": limit} for limit in (None, 3600, 10**12)],
    }
    leaks = read_node_report(body).leaks
    assert leaks[0] == ReportedLeak(
        "u", "agent", Kind.MEMORY_SLOW, "2026-01-01T00:00:00Z", None, "it grew", 5
    )
    assert [each.limit_at for each in leaks] == [None, "2026-01-01T01:10Z", "2027-01-01T00:10Z"]
