"""Kubernetes Events and the audit log: who was changed, why, and what came of it."""

import logging
from collections.abc import Iterable
from typing import Any, Final
from uuid import uuid4

from tenantquota.api.names import API_VERSION, CORRELATION_ANNOTATION, GROUP, MANAGER
from tenantquota.api.status import Condition, ConditionStatus, Decision
from tenantquota.domain.audit import Record
from tenantquota.domain.decisions import Outcome
from tenantquota.domain.model import InvalidQuota, Pod, Quota

NOTE_BYTES: Final = 1024
"""The longest note of an Event that the API server takes."""

_audit = logging.getLogger("tenantquota.audit")


def event(
    about: Pod | Quota | InvalidQuota, reason: str, note: str, now: str, *, warning: bool = False
) -> dict[str, Any]:
    """An ``events.k8s.io/v1`` Event; ``now`` is RFC 3339."""
    pod = isinstance(about, Pod)
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": about.namespace, "name": f"{about.name[:200]}.{uuid4().hex[:16]}"},
        "eventTime": now,
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "action": reason,
        "note": note.encode()[:NOTE_BYTES].decode(errors="ignore"),
        "reportingController": f"{GROUP}/controller",
        "reportingInstance": MANAGER,
        "regarding": {
            "apiVersion": "v1" if pod else API_VERSION,
            "kind": "Pod" if pod else "TenantQuota",
            "namespace": about.namespace,
            "name": about.name,
            "uid": about.uid,
        },
    }


def decision_event(quota: Quota | InvalidQuota, decision: Decision, now: str) -> dict[str, Any]:
    note = f"{decision.target}: {decision.message}"
    if decision.outcome != Outcome.APPLIED:
        note = f"{decision.outcome}: {note}"
    trouble = decision.outcome in {Outcome.REFUSED, Outcome.FAILED, Outcome.SKIPPED}
    body = event(quota, decision.rule, note, now, warning=trouble)
    body["metadata"]["annotations"] = {CORRELATION_ANNOTATION: decision.correlation_id}
    return body


def condition_event(quota: Quota | InvalidQuota, condition: Condition, now: str) -> dict[str, Any]:
    trouble = condition.status is ConditionStatus.FALSE
    return event(quota, condition.reason, f"{condition.type}: {condition.message}", now, warning=trouble)


def audit(records: Iterable[Record]) -> None:
    """Writes records to the log."""
    for record in records:
        _audit.info(
            "%s: %s of %s/%s",
            record["outcome"],
            record["container"] or "all",
            record["namespace"],
            record["pod"],
            extra={"audit": record},
        )
