"""Short ways to say which quota and pod a test is about. CPU in milli-CPU, memory in MiB."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tenantquota.api.enforcement import Enforcement
from tenantquota.domain.labels import Selector
from tenantquota.domain.model import (
    Budget,
    Container,
    ContainerQuota,
    PendingResize,
    Pod,
    QosClass,
    Quota,
    Resources,
)
from tenantquota.domain.reports import Harming, NodeAccount, NodeReport, Reported, Yielding

MI = 2**20


def res(
    cpu_limit: int | None = None,
    memory_limit: int | None = None,
    cpu_request: int | None = None,
    memory_request: int | None = None,
) -> Resources:
    return Resources(
        cpu_limit,
        memory_limit and memory_limit * MI,
        cpu_request,
        memory_request and memory_request * MI,
    )


def quota(
    cpu: int = 500,
    memory: int = 128,
    cpu_request: int | None = 50,
    memory_request: int | None = 32,
    *,
    name: str = "q",
    labels: dict[str, str] | None = None,
    observe: bool = False,
    budget: Budget | None = None,
    **fields: Any,
) -> Quota:
    return Quota(
        namespace="acme",
        name=name,
        uid=f"uid-{name}",
        generation=1,
        resource_version=1,
        tenant="acme",
        selector=Selector(labels) if labels else None,
        container=ContainerQuota(
            cpu, memory * MI, cpu_request, memory_request * MI if memory_request is not None else None
        ),
        budget=budget or Budget(),
        enforcement=Enforcement.OBSERVE if observe else Enforcement.ENFORCE,
        **fields,
    )


def container(
    spec: Resources,
    actual: Resources | None = None,
    name: str = "agent",
    *,
    sidecar: bool = False,
    begun_anew: bool = False,
) -> Container:
    return Container(name, sidecar, spec, actual, begun_anew)


def pod(*containers: Container, name: str = "p", **fields: Any) -> Pod:
    defaults: dict[str, Any] = {
        "generation": 1,
        "observed_generation": 1,
        "qos": QosClass.BURSTABLE,
        "node": "n1",
    }
    return Pod(
        namespace="acme",
        name=name,
        uid=f"uid-{name}",
        labels=fields.pop("labels", {}),
        containers=containers,
        **(defaults | fields),
    )


def held(spec: Resources, **fields: Any) -> Pod:
    """A pod of one container that a quota has adopted, its spec in force."""
    declared = fields.pop("declared", {"agent": spec})
    return pod(container(spec, spec), declared=declared, tenant="acme", **fields)


def report(
    *of: tuple[Pod, Reported],
    age_seconds: float = 1.0,
    period_seconds: float = 15.0,
    node: str = "n1",
    yielding: Mapping[str, Yielding] | None = None,
    harming: tuple[Harming, ...] = (),
    pressure: bool = True,
) -> NodeAccount:
    """What a node's agent said of the first container of each pod."""
    return NodeAccount(
        NodeReport(
            node,
            "2026-01-01T00:00:00Z",
            1767225600.0,
            period_seconds,
            frozenset(each.namespace for each, _ in of),
            {(each.uid, each.containers[0].name): found for each, found in of},
            yielding or {},
            harming=harming,
            pressure=pressure,
        ),
        age_seconds,
    )


def reported(
    cpu_limit: int | None = 500, memory_limit: int | None = 128, cpu: int | None = 0, memory: int | None = 0
) -> Reported:
    """Without arguments: the limits that ``quota()`` decides. Memory in MiB."""
    return Reported(cpu_limit, memory_limit and memory_limit * MI, cpu, memory and memory * MI)


def refused(of: Pod, usage_mib: int) -> Pod:
    """The pod with the kubelet's refusal of its memory limit."""
    message = (
        'cannot decrease memory limits: attempting to set container "agent" memory limit (1) below current'
        f" usage ({usage_mib * MI})"
    )
    return replace(of, pending=PendingResize("Error", message))
