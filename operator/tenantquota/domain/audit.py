"""The audit log: one record per container and decision, and one when its cgroup holds what was decided.

From these records alone it can be told which limits were in force when, who was told, and on what ground. The
correlation id of a resize is the pod's uid and the generation that it wrote, so that a controller that was
restarted in between still closes what its predecessor began. CPU and memory are written as Kubernetes does.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tenantquota.api.enforcement import Enforcement
from tenantquota.api.status import ContainedLeak, LeakRestart
from tenantquota.domain.cleanup import Removal
from tenantquota.domain.cpu_budget import Verdict
from tenantquota.domain.decisions import Result, correlation_id
from tenantquota.domain.leak_restarts import correlation_id as restart_id
from tenantquota.domain.manifests import resources_body
from tenantquota.domain.model import Pod, Quota, Resources
from tenantquota.domain.reports import NodeAccount, Reported
from tenantquota.domain.resizes import PodPlan, Rule

IN_FORCE: Final = "InForce"
"""The outcome once the node's agent has read the limits back from the cgroup."""

Record = dict[str, Any]


def decided(
    result: Result,
    quota: Quota | None,
    account: NodeAccount | None,
    cpu: Verdict | None,
    now: str,
    leaks: Iterable[ContainedLeak] = (),
) -> Iterator[Record]:
    """A record for each container that the step changes, or would.

    Args:
        quota: None where no quota selects the pod any more.
        account: what the agent of the pod's node said, if there is one.
        cpu: what the quota's CPU budget comes to, if it has one.
        now: RFC 3339.
        leaks: those that are contained, or were.
    """
    plan, pod = result.plan, result.plan.pod
    change = plan.change or {}
    for container in pod.containers:
        if container.name not in change:
            continue
        yield _record(plan, container.name, quota, now) | {
            "correlationId": correlation_id(result, now),
            "rule": plan.rule.value,
            "window": _window(plan, container.name, account, cpu) | _leak(plan, container.name, leaks),
            "old": resources_body(container.spec),
            "new": resources_body(change[container.name]),
            "outcome": result.outcome.value,
            "message": result.message or plan.message,
        }


def read_back(
    plan: PodPlan, quota: Quota, account: NodeAccount, rule: Rule | None, now: str
) -> Iterator[Record]:
    """A record for each container of a pod of which the node's agent has just confirmed the last resize.

    Args:
        rule: why it was resized; None where another controller did it, whose record says so.
    """
    for container in plan.pod.containers:
        found = account.of(plan.pod, container.name)
        if found is None:
            continue
        yield _record(plan, container.name, quota, now) | {
            "correlationId": f"{plan.pod.uid}-{plan.pod.generation}",
            "rule": rule.value if rule else None,
            "window": _window(plan, container.name, account, None),
            "new": resources_body(container.spec),
            "read": _limits(found),
            "outcome": IN_FORCE,
        }


def evicted(
    quota: Quota, restart: LeakRestart, pod: Pod | None, account: NodeAccount | None, now: str
) -> Record:
    """The record of an eviction that was decided, or of its end.

    Args:
        pod: None once it is no more.
        account: what the agent of the pod's node said, if there is one.
    """
    window: Record = {} if pod is None else {"podGeneration": pod.generation}
    if account is not None:
        window |= {"node": account.report.node, "reportedAt": account.report.heartbeat}
    return {
        "time": now,
        "mode": quota.enforcement.value,
        "namespace": quota.namespace,
        "pod": restart.pod,
        "uid": restart.uid,
        "container": restart.container,
        "tenant": quota.tenant,
        "quota": quota.name,
        "quotaGeneration": quota.generation,
        "correlationId": restart_id(restart),
        "rule": Rule.LEAK_RESTARTED.value,
        "window": window | {"leak": evidence_of(restart)},
        "outcome": restart.outcome,
        "message": restart.message,
    }


def removed(quota: Quota, removal: Removal, now: str) -> Record:
    """The record of the removal of a finished pod: of all of it, not of a container."""
    pod = removal.pod
    return {
        "time": now,
        "mode": quota.enforcement.value,
        "namespace": pod.namespace,
        "pod": pod.name,
        "uid": pod.uid,
        "container": None,
        "tenant": quota.tenant,
        "quota": quota.name,
        "quotaGeneration": quota.generation,
        "correlationId": removal.correlation_id(),
        "rule": Rule.FINISHED_POD_REMOVED.value,
        "window": {
            "phase": pod.phase,
            "finished": pod.finished,
            "ttlSecondsAfterFinished": quota.finished_ttl_seconds,
        },
        "outcome": removal.outcome.value,
        "message": removal.message,
    }


def _record(plan: PodPlan, container: str, quota: Quota | None, now: str) -> Record:
    pod: Pod = plan.pod
    return {
        "time": now,
        "mode": (quota.enforcement if quota else Enforcement.ENFORCE).value,
        "namespace": pod.namespace,
        "pod": pod.name,
        "uid": pod.uid,
        "container": container,
        "tenant": quota.tenant if quota else pod.tenant,
        "quota": quota.name if quota else None,
        "quotaGeneration": quota.generation if quota else None,
    }


def _window(plan: PodPlan, container: str, account: NodeAccount | None, cpu: Verdict | None) -> Record:
    """What the decision was made on: the pod's generation; what its node's agent last read of the container,
    and when; for the CPU budget the tenant's sum."""
    window: Record = {"podGeneration": plan.pod.generation}
    if account is not None:
        window |= {"node": account.report.node, "reportedAt": account.report.heartbeat}
        if (found := account.of(plan.pod, container)) is not None:
            window |= {
                "limits": _limits(found),
                "cpuMilli": found.cpu_milli,
                "memoryBytes": found.memory_bytes,
            }
    if cpu is not None and plan.rule in {Rule.CPU_SIZED_DOWN, Rule.CPU_GIVEN_BACK}:
        window |= {"tenantCpuMilli": cpu.used_milli, "budgetCpuMilli": cpu.budget_milli}
    return window


def _leak(plan: PodPlan, container: str, leaks: Iterable[ContainedLeak]) -> Record:
    """The leak that a decision was about."""
    if plan.rule not in {Rule.LEAK_CONTAINED, Rule.LEAK_RELEASED}:
        return {}
    of = (each for each in leaks if (each.uid, each.container) == (plan.pod.uid, container))
    return next(({"leak": evidence_of(each)} for each in of), {})


def evidence_of(leak: ContainedLeak | LeakRestart) -> Record:
    return {
        "kind": leak.kind.value,
        "since": leak.since,
        "ratePerMinute": leak.rate_per_minute,
        "evidence": leak.evidence,
    }


def _limits(found: Reported) -> Mapping[str, str]:
    """Those that a cgroup holds; what has no limit is left out."""
    read = Resources(cpu_limit_milli=found.cpu_limit_milli, memory_limit_bytes=found.memory_limit_bytes)
    return resources_body(read).get("limits", {})
