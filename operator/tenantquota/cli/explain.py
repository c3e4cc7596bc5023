"""``kubectl tenantquota explain NAMESPACE/NAME``: what is the case with a tenant and how it came to that, as
a story; and ``top``: what all tenants use."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tenantquota.api.enforcement import Enforcement
from tenantquota.api.nodereport import ContainerReport, NodeReport
from tenantquota.api.status import ConditionStatus, Decision, Hold, LeakStatus, Phase, TenantQuotaStatus
from tenantquota.api.tenantquota import TenantQuota
from tenantquota.domain.decisions import Outcome
from tenantquota.domain.neighbour_caps import HARMS_NEIGHBOURS
from tenantquota.domain.quantities import format_cpu, format_memory
from tenantquota.domain.resizes import Rule

Body = Mapping[str, Any]

_RULES: Final[Mapping[str, str]] = {
    Rule.LIMITS_FOLLOW_QUOTA: "brought to what the quota says",
    Rule.MEMORY_STEPS_DOWN: "memory limit lowered as far as what is in use allows",
    Rule.LIMITS_BEFORE_REQUESTS: "limits set without the requests, for which the node has no room",
    Rule.DECLARED_COMES_BACK: "given back what it declares",
    Rule.CGROUP_PUT_RIGHT: "cgroup put right, which somebody else had changed",
    Rule.CPU_SIZED_DOWN: "CPU limit lowered, since the tenant used more than its budget",
    Rule.CPU_GIVEN_BACK: "CPU limit given back",
    Rule.CPU_CAPPED: "CPU limit lowered, since others went on waiting for it",
    Rule.CPU_UNCAPPED: "CPU limit given back after others had waited for it",
    Rule.LEAK_CONTAINED: "memory limit lowered, since it leaks",
    Rule.LEAK_RELEASED: "memory limit given back after a leak",
    Rule.LEAK_RESTARTED: "evicted, since it leaks",
    Rule.FINISHED_POD_REMOVED: "removed, since it has finished",
}
_OUTCOMES: Final[Mapping[str, str]] = {
    Outcome.REFUSED: "the API server refused it",
    Outcome.FAILED: "the API server didn't answer",
    Outcome.GONE: "the pod was gone",
    Outcome.SKIPPED: "so it was left alone",
    Outcome.OBSERVED: "only recorded, as enforcement is Observe",
}
_PHASES: Final[Mapping[Phase, str]] = {
    Phase.NORMAL: "Nothing is held back.",
    Phase.THROTTLED: "CPU limits are lowered, or it yields to others on a full node.",
    Phase.RECOVERING: "It is well within its bounds again, and what was lowered is being given back.",
}
_OBSERVED_PHASES: Final[Mapping[Phase, str]] = {
    Phase.NORMAL: "Nothing would be held back.",
    Phase.THROTTLED: "CPU limits would be lowered, or it would yield to others on a full node.",
    Phase.RECOVERING: "It is well within its bounds again.",
}


def explain(quota: Body, reports: Iterable[Body], now: datetime) -> str:
    """The story of one TenantQuota.

    Args:
        quota: the object as the API server gives it.
        reports: the NodeReports, all of them or those of its pods' nodes.
        now: with a time zone.
    """
    metadata, parsed = quota["metadata"], TenantQuota.model_validate(quota)
    status = parsed.status or TenantQuotaStatus()
    tenant = parsed.spec.tenant or metadata["namespace"]
    containers = _containers(reports, metadata["namespace"], tenant)
    paragraphs = [
        _rules(metadata, parsed, tenant),
        _present(metadata, parsed, status, containers),
        _hold(status.hold, parsed.spec.enforcement, containers, now) if status.hold else [],
        _leaks(status.leaks, parsed.spec.enforcement, now) if status.leaks else [],
        _conditions(status, now),
        _decisions(status.decisions, now),
    ]
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)


def top(quotas: Iterable[Body], reports: Collection[Body]) -> str:
    """A table of all TenantQuotas: what each uses, its budget and phase; who uses most CPU comes first."""
    rows: list[tuple[int, tuple[str, ...]]] = []
    for body in quotas:
        metadata, quota = body["metadata"], TenantQuota.model_validate(body)
        found = _containers(reports, metadata["namespace"], quota.spec.tenant or metadata["namespace"])
        cpu_milli = sum(each.cpu_milli or 0 for each in found)
        memory_bytes = sum(each.memory_bytes or 0 for each in found)
        budget, status = quota.spec.budget, quota.status or TenantQuotaStatus()
        row = (
            metadata["namespace"],
            metadata["name"],
            format_cpu(cpu_milli) if found else "-",
            str(budget.cpu) if budget and budget.cpu is not None else "-",
            _mebibytes(memory_bytes) if found else "-",
            str(budget.memory) if budget and budget.memory is not None else "-",
            str(len(found)),
            status.phase.value if status.phase else "-",
        )
        rows.append((cpu_milli, row))
    rows.sort(key=lambda row: (-row[0], row[1]))
    titles = ("NAMESPACE", "NAME", "CPU", "BUDGET", "MEMORY", "BUDGET", "CONTAINERS", "PHASE")
    return "\n".join(_columns([titles, *(row for _, row in rows)]))


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "   ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _containers(reports: Iterable[Body], namespace: str, tenant: str) -> list[ContainerReport]:
    return [
        container
        for body in reports
        for container in NodeReport.model_validate(body).containers
        if (container.namespace, container.tenant) == (namespace, tenant)
    ]


def _rules(metadata: Body, quota: TenantQuota, tenant: str) -> list[str]:
    spec, limits = quota.spec, quota.spec.container.limits
    who = "every pod of the namespace" if spec.selector is None else "the pods that it selects"
    lines = [
        f"TenantQuota {metadata['name']} in {metadata['namespace']} is about tenant {tenant}: {who}.",
        f"Each container may use {limits.cpu} CPU and {limits.memory} of memory.",
    ]
    if (budget := spec.budget) is not None:
        parts = {"CPU": budget.cpu, "of memory": budget.memory, "pods": budget.pods}
        said = [f"{value} {unit}" for unit, value in parts.items() if value is not None]
        lines.append(f"All of them together may use {_and(said)}." if said else "")
    if spec.enforcement is Enforcement.OBSERVE:
        lines.append("Enforcement is Observe: all of this is decided and recorded, and nothing is changed.")
    return [line for line in lines if line]


def _present(
    metadata: Body, quota: TenantQuota, status: TenantQuotaStatus, containers: Sequence[ContainerReport]
) -> list[str]:
    if status.observed_generation is None:
        return ["The operator hasn't looked at it yet."]
    lines = []
    if status.observed_generation != metadata.get("generation", status.observed_generation):
        lines.append("It was edited, and the operator hasn't looked at it since; below is what was before.")
    if status.phase is not None:
        phases = _OBSERVED_PHASES if quota.spec.enforcement is Enforcement.OBSERVE else _PHASES
        lines.append(f"{status.phase.value}: {phases[status.phase]}")
    pods = status.pods or 0
    if not containers:
        return [*lines, f"It has {pods} pods. No node agent reports what they use."]
    cpu = format_cpu(sum(each.cpu_milli or 0 for each in containers))
    memory = _mebibytes(sum(each.memory_bytes or 0 for each in containers))
    lines.append(
        f"It has {pods} pods; their {len(containers)} containers use {cpu} CPU and {memory} of memory."
    )
    return lines


def _hold(
    hold: Hold, enforcement: Enforcement, containers: Iterable[ContainerReport], now: datetime
) -> list[str]:
    found = {(each.pod, each.name): each for each in containers}
    held_since = "would be held" if enforcement is Enforcement.OBSERVE else "is held"
    lines = [f"It {held_since} since {_when(hold.since, now)}: {hold.reason}. Measured: {hold.evidence}."]
    for held in hold.containers:
        line = f"  {held.pod}/{held.container}: {held.old_limit} → {held.new_limit} CPU"
        if (report := found.get((held.pod, held.container))) is not None:
            in_force = "no limit" if report.cpu_limit_milli is None else format_cpu(report.cpu_limit_milli)
            line += f"; its cgroup holds {in_force}"
            line += f", and it uses {format_cpu(report.cpu_milli)}" if report.cpu_milli is not None else ""
        lines.append(line)
    if not hold.containers:
        return [*lines, "  Everything has been given back, on trial: if it is over again, it waits longer."]
    if hold.reason == HARMS_NEIGHBOURS:
        return [
            *lines,
            "Limits are given back once no neighbour waits for it or, being latency-sensitive, is at work;"
            " and all of them once it wants no more than its share.",
            f"The hold ends at {_clock(hold.expires)} unless the node's agent is heard of.",
        ]
    return [
        *lines,
        f"A step is given back once it is well within its bounds for {hold.give_back_after_seconds} s.",
        f"The hold ends at {_clock(hold.expires)} unless the controller renews it.",
    ]


def _leaks(leaks: LeakStatus, enforcement: Enforcement, now: datetime) -> list[str]:
    """What is done about leaks now; an eviction that is over stands among the decisions."""
    are = "would be" if enforcement is Enforcement.OBSERVE else "are"
    lines = [
        f"  {each.pod}/{each.container}: {each.old_limit} → {each.new_limit} of memory, since it leaks from"
        f" {_when(each.since, now)} on: {each.evidence}"
        for each in leaks.contained
    ]
    return [f"Memory limits {are} lowered until leaks are over:", *lines] if lines else []


def _conditions(status: TenantQuotaStatus, now: datetime) -> list[str]:
    signs = {ConditionStatus.TRUE: "yes", ConditionStatus.FALSE: "NO", ConditionStatus.UNKNOWN: "not known"}
    return [
        f"{each.type}: {signs[each.status]}, since {_when(each.last_transition_time, now)}: {each.message}."
        for each in status.conditions
    ]


def _decisions(decisions: Sequence[Decision], now: datetime) -> list[str]:
    if not decisions:
        return []
    lines = ["What was decided lately, the newest last:"]
    for each in decisions:
        what = _RULES.get(each.rule, each.rule)
        came = f"; {_OUTCOMES[each.outcome]}" if each.outcome in _OUTCOMES else ""
        lines.append(f"  {_when(each.time, now)}, {each.target}: {what}: {each.message}{came}")
    return lines


def _when(moment: str, now: datetime) -> str:
    """``10:00:00 (2 min ago)``; with its date where that is another day."""
    then = datetime.fromisoformat(moment)
    day = "" if then.date() == now.astimezone(then.tzinfo).date() else f"{then.date().isoformat()} "
    seconds = max(0, int((now - then).total_seconds()))
    return f"{day}{_clock(moment)} ({_ago(seconds)} ago)"


def _clock(moment: str) -> str:
    return datetime.fromisoformat(moment).strftime("%H:%M:%S")


def _ago(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def _mebibytes(size_bytes: int) -> str:
    return format_memory(-(-size_bytes // 2**20) * 2**20)


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
