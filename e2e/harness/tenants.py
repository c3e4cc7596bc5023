"""Manifests of a tenant: its quota, its agents."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from e2e.harness.cluster import DEPLOYMENT, POD, TENANT_QUOTA, Kind, Manifest

IMAGE: Final = "tenantquota/agent:dev"
PORT: Final = 8080
CONTAINER: Final = "agent"
"""The name of the one container of an agent's pod."""
QUOTA: Final = "quota"
"""The name of a tenant's quota, where it has one."""
DECLARED_ANNOTATION: Final = "tenantquota.io/declared-resources"
"""On every pod that a quota holds: what it declared itself."""

Resources = Mapping[str, Mapping[str, str]]
"""As in a manifest: ``{"limits": {"cpu": "500m"}, "requests": {...}}``."""


def quota(
    tenant: str,
    *,
    cpu: str,
    memory: str,
    name: str = QUOTA,
    requests: Mapping[str, str] | None = None,
    **spec: Any,
) -> Manifest:
    """A TenantQuota with these limits for each container in the namespace ``tenant``.

    Args:
        requests: by default small ones, so that many agents fit on a small node.
        spec: further fields of the spec.
    """
    container = {
        "limits": {"cpu": cpu, "memory": memory},
        "requests": dict(requests or {"cpu": "5m", "memory": "16Mi"}),
    }
    return _object(TENANT_QUOTA, name, tenant, spec={"container": container, **spec})


def limits(*, cpu: str | None = None, memory: str | None = None) -> Manifest:
    """The merge patch that edits a quota's limits."""
    edited = {resource: value for resource, value in (("cpu", cpu), ("memory", memory)) if value}
    return {"spec": {"container": {"limits": edited}}}


def agent(
    name: str,
    tenant: str,
    *,
    resources: Resources | None = None,
    arguments: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    scratch: bool = False,
) -> Manifest:
    """A pod that runs the agent; without ``resources`` it declares a small request and no limit. With
    ``scratch`` it has a directory on the node's disk that it can write to."""
    spec = _pod_spec(resources, arguments)
    if scratch:
        spec["volumes"] = [{"name": "scratch", "emptyDir": {}}]
        spec["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]
    return _object(POD, name, tenant, labels={"app": name, **(labels or {})}, spec=spec)


def agents(
    name: str,
    tenant: str,
    *,
    replicas: int,
    resources: Resources | None = None,
    node: str | None = None,
) -> Manifest:
    """A Deployment of agents, all on ``node`` where one is given."""
    labels = {"app": name}
    pod = _pod_spec(resources, ())
    if node:
        pod["nodeSelector"] = {"kubernetes.io/hostname": node}
    return _object(
        DEPLOYMENT,
        name,
        tenant,
        spec={
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    )


def _pod_spec(resources: Resources | None, arguments: Sequence[str]) -> Manifest:
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": IMAGE,
                "imagePullPolicy": "IfNotPresent",
                **({"args": list(arguments)} if arguments else {}),
                "ports": [{"containerPort": PORT}],
                "resources": resources or {"requests": {"cpu": "5m", "memory": "16Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def _object(
    kind: Kind, name: str, tenant: str, *, labels: Mapping[str, str] | None = None, **rest: Any
) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": tenant}
    if labels:
        metadata["labels"] = dict(labels)
    return {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata, **rest}
