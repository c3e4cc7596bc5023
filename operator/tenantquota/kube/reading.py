"""Objects of the API server as the domain's values."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from tenantquota.api import nodereport
from tenantquota.api.leaks import Action
from tenantquota.api.names import DECLARED_ANNOTATION, TENANT_LABEL
from tenantquota.api.status import TenantQuotaStatus
from tenantquota.api.tenantquota import Budget as BudgetSpec
from tenantquota.api.tenantquota import ContainerResources, LabelSelector, TenantQuotaSpec
from tenantquota.domain.budgets import OwnedResourceQuota
from tenantquota.domain.labels import Selector, requirement
from tenantquota.domain.model import (
    Budget,
    Container,
    ContainerQuota,
    FinishedPod,
    InvalidQuota,
    PendingResize,
    Pod,
    QosClass,
    Quota,
    Resources,
)
from tenantquota.domain.quantities import QuantityError, parse_cpu_milli, parse_memory_bytes
from tenantquota.domain.reports import Harming, NodeReport, Reported, ReportedLeak, Yielding

Body = Mapping[str, Any]

MAX_LIMIT_SECONDS = 365 * 86_400
"""A limit that is farther away is as good as none, and a date must not overflow."""
_FINISHED = {"Succeeded", "Failed"}
_MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


def read_quota(body: Body) -> Quota | InvalidQuota:
    """A TenantQuota; an InvalidQuota where the spec can't be read, which the CRD's schema prevents for specs
    that were written under it."""
    metadata = body["metadata"]
    identity = {key: metadata[key] for key in ("namespace", "name", "uid")}
    try:
        status = TenantQuotaStatus.model_validate(body.get("status") or {})
    except ValidationError:
        status = TenantQuotaStatus()
    try:
        spec = TenantQuotaSpec.model_validate(body.get("spec") or {})
        return Quota(
            **identity,
            generation=metadata["generation"],
            resource_version=int(metadata["resourceVersion"]),
            tenant=spec.tenant or metadata["namespace"],
            selector=_selector(spec.selector),
            container=_container_quota(spec.container),
            budget=_budget(spec.budget),
            enforcement=spec.enforcement,
            leak_action=spec.leaks.action if spec.leaks else Action.REPORT,
            finished_ttl_seconds=spec.cleanup.ttl_seconds_after_finished if spec.cleanup else None,
            status=status,
        )
    except (ValidationError, QuantityError) as error:
        return InvalidQuota(
            **identity, generation=metadata["generation"], problem=_problem(error), status=status
        )


def _problem(error: ValidationError | QuantityError) -> str:
    if isinstance(error, QuantityError):
        return str(error)
    return "; ".join(f"spec.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


def _selector(selector: LabelSelector | None) -> Selector | None:
    if selector is None:
        return None
    return Selector(
        selector.match_labels,
        tuple(requirement(each.key, each.operator, each.values) for each in selector.match_expressions),
    )


def _container_quota(container: ContainerResources) -> ContainerQuota:
    requests = container.requests
    return ContainerQuota(
        parse_cpu_milli(container.limits.cpu),
        parse_memory_bytes(container.limits.memory),
        parse_cpu_milli(requests.cpu) if requests and requests.cpu is not None else None,
        parse_memory_bytes(requests.memory) if requests and requests.memory is not None else None,
    )


def _budget(budget: BudgetSpec | None) -> Budget:
    if budget is None:
        return Budget()
    return Budget(
        parse_cpu_milli(budget.cpu) if budget.cpu is not None else None,
        parse_memory_bytes(budget.memory) if budget.memory is not None else None,
        budget.pods,
    )


def read_pod(body: Body) -> Pod | None:
    """A pod that limits can matter to; None for one that has ended or is being deleted."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    if status.get("phase") in _FINISHED or metadata.get("deletionTimestamp"):
        return None
    annotations, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    return Pod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata.get("generation") or 0,
        observed_generation=status.get("observedGeneration") or 0,
        labels=dict(labels),
        qos=QosClass(status.get("qosClass") or QosClass.BURSTABLE),
        containers=tuple(_containers(spec, status)),
        declared=read_declared(annotations.get(DECLARED_ANNOTATION)),
        tenant=labels.get(TENANT_LABEL),
        pending=_pending(status.get("conditions") or ()),
        static=_MIRROR_ANNOTATION in annotations,
        pod_level_resources=any((spec.get("resources") or {}).get(part) for part in ("limits", "requests")),
        node=spec.get("nodeName"),
        controlled=any(owner.get("controller") for owner in metadata.get("ownerReferences") or ()),
        cpu_excess_milli=_cpu_excess_milli(status),
    )


def read_finished_pod(body: Body) -> FinishedPod | None:
    """A pod that has ended; None for any other, and for one that is being deleted."""
    metadata, status = body["metadata"], body.get("status") or {}
    phase = status.get("phase")
    if phase not in _FINISHED or metadata.get("deletionTimestamp"):
        return None
    owners = metadata.get("ownerReferences") or ()
    return FinishedPod(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        labels=dict(metadata.get("labels") or {}),
        phase=phase,
        finished=_finished_at(metadata, status),
        of_job=any(owner.get("controller") and owner.get("kind") == "Job" for owner in owners),
    )


def _finished_at(metadata: Body, status: Body) -> str:
    """The end of the last container; the last change of a condition where none of them ever ran, as when the
    kubelet turns a pod away. RFC 3339 in UTC, as the API server writes all of them, so they sort as text."""
    ends = [
        ended["finishedAt"]
        for statuses in ("initContainerStatuses", "containerStatuses")
        for of in status.get(statuses) or ()
        if (ended := (of.get("state") or {}).get("terminated") or {}).get("finishedAt")
    ]
    changes = [
        of["lastTransitionTime"] for of in status.get("conditions") or () if of.get("lastTransitionTime")
    ]
    return str(max(ends or changes or [metadata["creationTimestamp"]]))


def _containers(spec: Body, status: Body) -> Iterable[Container]:
    """Regular containers and sidecars. Other init containers have run when a quota can reach the pod, and
    have had their limits from admission."""
    for field, statuses, sidecar in (
        ("containers", "containerStatuses", False),
        ("initContainers", "initContainerStatuses", True),
    ):
        entries = {entry["name"]: entry for entry in status.get(statuses) or ()}
        running = {
            name: entry["resources"]
            for name, entry in entries.items()
            if "running" in (entry.get("state") or {}) and "resources" in entry
        }
        for container in spec.get(field) or ():
            if sidecar and container.get("restartPolicy") != "Always":
                continue
            actual = running.get(container["name"])
            yield Container(
                container["name"],
                sidecar,
                read_resources(container.get("resources") or {}),
                read_resources(actual) if actual is not None else None,
                begun_anew=bool(entries.get(container["name"], {}).get("restartCount")),
            )


def read_resources(resources: Body) -> Resources:
    """A container's ``resources``."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return Resources(
        parse_cpu_milli(limits["cpu"]) if "cpu" in limits else None,
        parse_memory_bytes(limits["memory"]) if "memory" in limits else None,
        parse_cpu_milli(requests["cpu"]) if "cpu" in requests else None,
        parse_memory_bytes(requests["memory"]) if "memory" in requests else None,
    )


def read_declared(annotation: str | None) -> dict[str, Resources] | None:
    """What DECLARED_ANNOTATION holds. Whoever may create the pod can write nonsense there; it then declares
    nothing."""
    if annotation is None:
        return None
    try:
        return {name: read_resources(resources) for name, resources in json.loads(annotation).items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def _cpu_excess_milli(status: Body) -> int:
    shown = ((status.get("resources") or {}).get("requests") or {}).get("cpu")
    allocated = (status.get("allocatedResources") or {}).get("cpu")
    if shown is None or allocated is None:
        return 0
    return max(0, parse_cpu_milli(shown) - parse_cpu_milli(allocated))


def _pending(conditions: Iterable[Body]) -> PendingResize | None:
    for condition in conditions:
        if condition["type"] in {"PodResizePending", "PodResizeInProgress"} and condition["status"] == "True":
            return PendingResize(condition.get("reason") or "", condition.get("message") or "")
    return None


def read_resource_quota(body: Body) -> OwnedResourceQuota:
    hard, in_force = ((body.get(part) or {}).get("hard") or {} for part in ("spec", "status"))
    owners = body["metadata"].get("ownerReferences") or [{"uid": ""}]
    return OwnedResourceQuota(
        body["metadata"]["name"],
        owners[0]["uid"],
        {name: parse_memory_bytes(value) for name, value in hard.items()},
        {name: parse_memory_bytes(value) for name, value in in_force.items()},
    )


def read_node_report(body: Body) -> NodeReport:
    """Raises ValueError for what the CRD's schema would have refused."""
    report = nodereport.NodeReport.model_validate(body)
    heartbeat = datetime.fromisoformat(report.heartbeat)
    return NodeReport(
        node=body["metadata"]["name"],
        heartbeat=report.heartbeat,
        heartbeat_seconds=heartbeat.timestamp(),
        period_seconds=report.period_seconds,
        namespaces=frozenset(each.namespace for each in report.containers),
        containers={
            (each.uid, each.name): Reported(
                each.cpu_limit_milli, each.memory_limit_bytes, each.cpu_milli, each.memory_bytes
            )
            for each in report.containers
        },
        yielding={each.tenant: _yielding(each) for each in report.holds},
        leaks=tuple(_leak(each, heartbeat) for each in report.findings),
        pressure=report.pressure,
        harming=tuple(Harming(each.tenant, each.resource, each.since, each.message) for each in report.harms),
    )


def _yielding(hold: nodereport.HoldReport) -> Yielding:
    caps = {(each.uid, each.name): each.cpu_limit_milli for each in hold.caps}
    return Yielding(hold.since, hold.victims, hold.message, caps)


def _leak(found: nodereport.LeakReport, heartbeat: datetime) -> ReportedLeak:
    limit_at = None
    if found.limit_in_seconds is not None:
        hit = heartbeat.astimezone(UTC) + timedelta(seconds=min(found.limit_in_seconds, MAX_LIMIT_SECONDS))
        limit_at = hit.strftime("%Y-%m-%dT%H:%MZ")
    return ReportedLeak(
        found.uid, found.name, found.kind, found.since, limit_at, found.evidence, found.rate_per_minute
    )
