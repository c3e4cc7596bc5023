"""The table of what is watched. Handlers only say which namespace to look at; nothing is decided here."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, Protocol

import kopf

from tenantquota.api.names import GROUP, MANAGED_BY_LABEL, MANAGER, VERSION
from tenantquota.controller.heartbeats import Heartbeats
from tenantquota.domain.budgets import OwnedResourceQuota
from tenantquota.domain.model import FinishedPod, InvalidQuota, Pod, Quota
from tenantquota.domain.reports import NodeReport
from tenantquota.kube.reading import (
    Body,
    read_finished_pod,
    read_node_report,
    read_pod,
    read_quota,
    read_resource_quota,
)

SETTLE_SECONDS: Final = 0.3
"""A resize shows as three or four changes of the pod; waiting a moment looks at all of them once. A changed
quota waits for nothing."""


class Changed(Protocol):
    def __call__(self, namespace: str, delay_seconds: float = 0.0) -> None: ...


def register(registry: kopf.OperatorRegistry, changed: Changed, heartbeats: Heartbeats) -> None:
    """Only indices and event handlers: timers, daemons and change handlers would write annotations and
    finalizers on the objects, and a finalizer of a stopped operator blocks their deletion."""
    in_a_moment = partial(changed, delay_seconds=SETTLE_SECONDS)
    owned = {MANAGED_BY_LABEL: MANAGER}
    kopf.index(GROUP, VERSION, "tenantquotas", id="quotas", registry=registry)(index_quota)
    kopf.index("v1", "pods", id="pods", registry=registry)(index_pod)
    kopf.index("v1", "pods", id="finished", registry=registry)(index_finished)
    kopf.index("v1", "resourcequotas", labels=owned, id="resource_quotas", registry=registry)(index_owned)
    kopf.index(GROUP, VERSION, "nodereports", id="reports", registry=registry)(index_report)
    kopf.on.event(GROUP, VERSION, "tenantquotas", registry=registry)(_tell(changed))
    kopf.on.event("v1", "pods", registry=registry)(_tell(in_a_moment))
    kopf.on.event("v1", "resourcequotas", labels=owned, registry=registry)(_tell(changed))
    kopf.on.event(GROUP, VERSION, "nodereports", registry=registry)(_tell_of_report(changed, heartbeats))


def index_quota(body: Body, **_: Any) -> dict[str, Quota | InvalidQuota]:
    quota = read_quota(body)
    return {quota.namespace: quota}


def index_pod(body: Body, **_: Any) -> dict[str, Pod]:
    """Nothing for a pod that has ended; None would keep what was indexed before."""
    pod = read_pod(body)
    return {pod.namespace: pod} if pod is not None else {}


def index_finished(body: Body, **_: Any) -> dict[str, FinishedPod]:
    pod = read_finished_pod(body)
    return {pod.namespace: pod} if pod is not None else {}


def index_owned(body: Body, **_: Any) -> dict[str, OwnedResourceQuota]:
    return {body["metadata"]["namespace"]: read_resource_quota(body)}


def index_report(body: Body, **_: Any) -> dict[str, NodeReport]:
    report = read_node_report(body)
    return {report.node: report}


def _tell(changed: Changed) -> Callable[..., Coroutine[None, None, None]]:
    async def handler(body: Body, **_: Any) -> None:
        changed(body["metadata"]["namespace"])

    return handler


def _tell_of_report(changed: Changed, heartbeats: Heartbeats) -> Callable[..., Coroutine[None, None, None]]:
    async def handler(type: str, body: Body, **_: Any) -> None:  # noqa: A002 - Kopf's name
        ended = type == "DELETED"
        told = (
            heartbeats.ended(body["metadata"]["name"]) if ended else heartbeats.came(read_node_report(body))
        )
        for namespace in told:
            changed(namespace)

    return handler
