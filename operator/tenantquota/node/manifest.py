"""The NodeReport as it is sent, put together by hand: pydantic, on which ``api.nodereport`` rests, takes 5 MB
to load. A test validates it by that model.
"""

import json
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from tenantquota.api.names import API_VERSION, MANAGED_BY_LABEL, MANAGER
from tenantquota.domain.findings import evidence
from tenantquota.domain.reporting import MAX_CONTAINERS, Entry
from tenantquota.kube.plain import NodeIdentity
from tenantquota.node.leaks import Found
from tenantquota.node.neighbours import Holding
from tenantquota.node.stalls import Harming


class Clocks(NamedTuple):
    """One moment by both clocks, in seconds."""

    monotonic: float
    wall: float
    """Unix time."""

    def timestamp(self, monotonic: float) -> str:
        """Of a moment that the other clock gave, in RFC 3339."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.wall - (self.monotonic - monotonic)))


def manifest(
    node: NodeIdentity,
    entries: Iterable[Entry],
    holdings: Iterable[Holding],
    found: Iterable[Found],
    now: Clocks,
    period_seconds: int,
    harming: Iterable[Harming] = (),
    *,
    pressure: bool = False,
) -> bytes:
    """The NodeReport as JSON.

    Args:
        now: when the agent last looked.
        pressure: the kernel tells who stalls.
    """
    report = {
        "apiVersion": API_VERSION,
        "kind": "NodeReport",
        "metadata": {
            "name": node.name,
            "labels": {MANAGED_BY_LABEL: MANAGER},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node.name, "uid": node.uid}],
        },
        "heartbeat": now.timestamp(now.monotonic),
        "periodSeconds": period_seconds,
        "containers": [_container(entry) for entry in entries],
    }
    if holds := [_hold(each, now) for each in holdings]:
        report["holds"] = holds
    if pressure:
        report["pressure"] = True
    if harms := [_harm(each, now) for each in harming]:
        report["harms"] = harms
    if findings := [_finding(each, now) for each in found]:
        report["findings"] = findings
    return json.dumps(report, separators=(",", ":")).encode()


def _finding(found: Found, now: Clocks) -> dict[str, Any]:
    container, finding = found
    owner, limit = container.owner, finding.limit_in_seconds
    fields = {
        "namespace": owner.namespace,
        "pod": owner.pod,
        "uid": container.pod_uid,
        "name": owner.container,
        "tenant": owner.tenant,
        "kind": finding.kind.value,
        "stage": finding.stage.value,
        "since": now.timestamp(finding.since_seconds),
        "ratePerMinute": round(finding.rate_per_minute),
        "limitInSeconds": None if limit is None else round(limit),
        "evidence": evidence(finding),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _container(entry: Entry) -> dict[str, Any]:
    held = entry.held
    fields = {
        "namespace": held.namespace,
        "pod": held.pod,
        "uid": held.pod_uid,
        "name": held.container,
        "tenant": held.tenant,
        "cpuLimitMilli": held.cpu_limit_milli,
        "memoryLimitBytes": held.memory_limit_bytes,
        "cpuMilli": entry.cpu_milli,
        "memoryBytes": entry.memory_bytes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _hold(holding: Holding, now: Clocks) -> dict[str, Any]:
    caps = [
        {"uid": each.pod_uid, "name": each.container, "cpuLimitMilli": each.cpu_limit_milli}
        for each in holding.caps[:MAX_CONTAINERS]
    ]
    return {
        "tenant": holding.tenant,
        "since": now.timestamp(holding.since),
        "victims": list(holding.victims),
        "message": holding.message,
    } | ({"caps": caps} if caps else {})


def _harm(harming: Harming, now: Clocks) -> dict[str, Any]:
    return {
        "tenant": harming.tenant,
        "resource": harming.resource.value,
        "since": now.timestamp(harming.since),
        "victims": list(harming.victims),
        "message": harming.message,
    }
