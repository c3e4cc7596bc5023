"""Everything that the controller writes: one function per kind of write."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tenantquota.api.names import (
    API_VERSION,
    ASKED_AGAIN_ANNOTATION,
    DECLARED_ANNOTATION,
    GROUP,
    MANAGED_BY_LABEL,
    MANAGER,
    TENANT_LABEL,
    VERSION,
)
from tenantquota.api.status import TenantQuotaStatus
from tenantquota.domain.budgets import BudgetChange
from tenantquota.domain.manifests import resources_body
from tenantquota.domain.model import FinishedPod, InvalidQuota, Pod, Quota, Resources
from tenantquota.domain.quantities import format_memory
from tenantquota.kube.client import AGAIN, APPLY_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, Client, GoneError

_OWNED_BY_US = {"fieldManager": MANAGER}


async def resize_pod(client: Client, pod: Pod, change: Mapping[str, Resources]) -> int:
    """Sets the resources of the named containers through ``pods/resize``; the generation written.

    A strategic patch: a merge patch would replace the whole list of containers.
    """
    spec: dict[str, list[dict[str, Any]]] = {}
    for container in pod.containers:
        if container.name in change:
            field = "initContainers" if container.sidecar else "containers"
            resources = resources_body(change[container.name])
            spec.setdefault(field, []).append({"name": container.name, "resources": resources})
    path = f"{_pod_path(pod)}/resize"
    answer = await client.request(
        "PATCH", path, {"spec": spec}, content_type=STRATEGIC_MERGE_PATCH, query=_OWNED_BY_US
    )
    generation: int = answer["metadata"]["generation"]
    return generation


async def evict_pod(client: Client, pod: Pod | FinishedPod) -> None:
    """Asks for the pod's eviction, which heeds PodDisruptionBudgets; for a finished pod, whom they don't
    guard, that is its deletion at once (``canIgnorePDB`` in k8s.io/kubernetes, registry/core/pod/storage).
    Raises RefusedError where they don't let it go now (429), or more than one is about it (500): neither
    passes within seconds."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
    await client.request("POST", f"{_pod_path(pod)}/eviction", body, again=AGAIN - {429, 500})


async def adopt_pod(client: Client, pod: Pod, tenant: str) -> None:
    """Writes the tenant label, and what the pod declares where that isn't written down yet."""
    metadata: dict[str, Any] = {"labels": {TENANT_LABEL: tenant}}
    if pod.declared is None:
        declared = {container.name: resources_body(container.spec) for container in pod.containers}
        metadata["annotations"] = {DECLARED_ANNOTATION: json.dumps(declared, separators=(",", ":"))}
    await _patch_metadata(client, pod, metadata)


async def release_pod(client: Client, pod: Pod, *, forget: bool) -> None:
    """Takes the tenant label away, and the record of what the pod declares where it can be forgotten."""
    metadata: dict[str, Any] = {"labels": {TENANT_LABEL: None}}
    if forget:
        metadata["annotations"] = {DECLARED_ANNOTATION: None, ASKED_AGAIN_ANNOTATION: None}
    await _patch_metadata(client, pod, metadata)


async def touch_pod(client: Client, pod: Pod, now: str) -> None:
    """Changes an annotation and nothing else: at a pod that changes the kubelet looks again at once."""
    await _patch_metadata(client, pod, {"annotations": {ASKED_AGAIN_ANNOTATION: now}})


async def _patch_metadata(client: Client, pod: Pod, metadata: Mapping[str, Any]) -> None:
    body = {"metadata": {"uid": pod.uid, **metadata}}
    await client.request("PATCH", _pod_path(pod), body, content_type=MERGE_PATCH, query=_OWNED_BY_US)


async def write_budget(client: Client, namespace: str, change: BudgetChange) -> None:
    """Applies the ResourceQuota that holds a budget, or deletes it where there is none to hold."""
    path = f"/api/v1/namespaces/{namespace}/resourcequotas/{change.name}"
    if change.quota is None:
        with suppress(GoneError):
            await client.request("DELETE", path)
        return
    hard = {
        name: format_memory(value) if name == "limits.memory" else str(value)
        for name, value in change.hard.items()
    }
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {
            "name": change.name,
            "labels": {MANAGED_BY_LABEL: MANAGER},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": "TenantQuota",
                    "name": change.quota.name,
                    "uid": change.quota.uid,
                    "controller": True,
                }
            ],
        },
        "spec": {"hard": hard},
    }
    await client.request(
        "PATCH", path, body, content_type=APPLY_PATCH, query={"force": "true"} | _OWNED_BY_US
    )


async def write_status(
    client: Client, quota: Quota | InvalidQuota, status: TenantQuotaStatus
) -> dict[str, Any]:
    """Replaces the status of a TenantQuota; the object as it then is."""
    path = f"{_quotas_path(quota.namespace)}/{quota.name}/status"
    fields = status.model_dump(by_alias=True, mode="json")
    body = {"metadata": {"uid": quota.uid}, "status": fields}
    return await client.request("PATCH", path, body, content_type=MERGE_PATCH, query=_OWNED_BY_US)


async def list_quota_uids(client: Client) -> set[str]:
    """The uids of all TenantQuotas that exist, without their content."""
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    answer = await client.request("GET", f"/apis/{GROUP}/{VERSION}/tenantquotas", accept=accept)
    return {item["metadata"]["uid"] for item in answer["items"] or ()}  # null where there are none


async def write_event(client: Client, event: Mapping[str, Any]) -> None:
    """Creates an Event (events.k8s.io/v1)."""
    namespace = event["metadata"]["namespace"]
    await client.request("POST", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events", event)


def _pod_path(pod: Pod | FinishedPod) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"


def _quotas_path(namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/tenantquotas"
