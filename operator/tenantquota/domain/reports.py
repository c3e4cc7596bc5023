"""What the nodes' agents report: the limits that the cgroup files hold, and what is used.

A report is old by the controller's own clock: since its heartbeat came, not since when the node says that it
was. So a node whose clock is wrong is neither taken for dead nor, when it dies, for alive.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from tenantquota.api.leaks import Kind
from tenantquota.api.stalls import Resource
from tenantquota.api.status import Usage
from tenantquota.domain.model import Pod, Resources
from tenantquota.domain.quantities import (
    format_cpu,
    format_memory,
    parse_cpu_milli,
    parse_memory_bytes,
)

STALE_PERIODS: Final = 3
"""Heartbeats that may be missed before an agent counts as gone: one may be late, one may be lost."""
REPORT_LAG_SECONDS: Final = 3.0
"""What a report may say of a moment before its arrival: the agent looks, waits for its turn to write, and the
API server passes it on. A report that comes later after a resize than this has seen what it did."""
SYSTEMD_STEP_MILLI: Final = 10
"""With the systemd cgroup driver a CPU limit stands in the file rounded up to whole percents of a CPU
(runc's systemd manager does so, since systemd knows no smaller step)."""
LARGEST_PAGE_BYTES: Final = 64 * 2**10
"""The kernel rounds a memory limit down to whole pages; of 4 KiB on most machines, of 64 KiB on some."""
USAGE_SECONDS: Final = 15.0
"""``status.usage`` is for people who look now and then, metrics are for those who watch: so often at most."""
_CPU_STEP_MILLI: Final = 10
_MEMORY_STEP_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Reported:
    """What the cgroup of one container holds, by the agent of its node."""

    cpu_limit_milli: int | None
    """None: no limit."""
    memory_limit_bytes: int | None
    cpu_milli: int | None = None
    """Used over the last seconds; None: not known yet."""
    memory_bytes: int | None = None
    """Working set."""


@dataclass(frozen=True, slots=True)
class Yielding:
    """A tenant that gets on a node what others leave, since it wants more than its share."""

    since: str
    """RFC 3339."""
    victims: tuple[str, ...]
    """The tenants whom it was seen to make wait."""
    message: str
    caps: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Pod's uid and container's name → the CPU limit in milli-CPU that it is to have at most, since others go
    on waiting though it yields."""


@dataclass(frozen=True, slots=True)
class Harming:
    """A tenant that makes others stall for I/O or memory on a node."""

    tenant: str
    resource: Resource
    since: str
    """RFC 3339."""
    message: str


@dataclass(frozen=True, slots=True)
class ReportedLeak:
    """A leak or a runaway that the agent of a node is sure of."""

    pod_uid: str
    container: str
    kind: Kind
    since: str
    """As the agent wrote it."""
    limit_at: str | None
    """When the memory limit will be hit, RFC 3339 to the minute; None where it won't."""
    evidence: str
    rate_per_minute: int = 0
    """Bytes, files, processes; of CPU, core-seconds."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """One node's report as the API server holds it."""

    node: str
    heartbeat: str
    """As the agent wrote it."""
    heartbeat_seconds: float
    """The same as Unix time, by the node's clock."""
    period_seconds: float
    namespaces: frozenset[str]
    containers: Mapping[tuple[str, str], Reported]
    """Pod's uid and container's name → what its cgroup holds."""
    yielding: Mapping[str, Yielding] = field(default_factory=dict)
    """By tenant."""
    leaks: tuple[ReportedLeak, ...] = ()
    pressure: bool = False
    """The node's kernel tells who stalls for I/O and memory."""
    harming: tuple[Harming, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeAccount:
    """A report and how long ago it came."""

    report: NodeReport
    age_seconds: float

    @property
    def stale(self) -> bool:
        return self.age_seconds > STALE_PERIODS * self.report.period_seconds

    def leaks_of(self, pod: Pod) -> Iterator[ReportedLeak]:
        return (leak for leak in self.report.leaks if leak.pod_uid == pod.uid)

    def of(self, pod: Pod, container: str) -> Reported | None:
        return self.report.containers.get((pod.uid, container))


def differences(asked: Resources, found: Reported) -> Iterator[str]:
    """Where a cgroup doesn't hold the limits that the kubelet was asked for, in words: ``cpu limit is 900m,
    not 300m``."""
    cpu, memory = asked.cpu_limit_milli, asked.memory_limit_bytes
    if cpu and not _same_cpu(cpu, found.cpu_limit_milli):
        yield f"cpu limit is {_cpu(found.cpu_limit_milli)}, not {format_cpu(cpu)}"
    if memory and not _same_memory(memory, found.memory_limit_bytes):
        yield f"memory limit is {_memory(found.memory_limit_bytes)}, not {format_memory(memory)}"


def _same_cpu(asked_milli: int, found_milli: int | None) -> bool:
    rounded_up = -(-asked_milli // SYSTEMD_STEP_MILLI) * SYSTEMD_STEP_MILLI
    return found_milli in {max(asked_milli, SYSTEMD_STEP_MILLI), rounded_up}


def _same_memory(asked_bytes: int, found_bytes: int | None) -> bool:
    return found_bytes is not None and 0 <= asked_bytes - found_bytes < LARGEST_PAGE_BYTES


def _cpu(milli: int | None) -> str:
    return "none" if milli is None else format_cpu(milli)


def _memory(size_bytes: int | None) -> str:
    return "none" if size_bytes is None else format_memory(size_bytes)


@dataclass(frozen=True, slots=True)
class Use:
    """What a tenant's containers use together."""

    cpu_milli: int
    memory_bytes: int


def use_of(pods: Iterable[tuple[Pod, NodeAccount | None]]) -> Use | None:
    """The sum over the containers that the pods' nodes report; None where there are none, and where a report
    is stale: a sum without it would read as if the tenant had stopped."""
    reported: list[Reported] = []
    for pod, account in pods:
        if account is None:
            continue
        if account.stale:
            return None
        reported += (found for c in pod.containers if (found := account.of(pod, c.name)) is not None)
    if not reported:
        return None
    return Use(sum(r.cpu_milli or 0 for r in reported), sum(r.memory_bytes or 0 for r in reported))


def usage_to_show(use: Use | None, shown: Usage | None, shown_for_seconds: float) -> Usage | None:
    """``status.usage``: what is shown stays for as long as it is nearly so (within a tenth, or one step), and
    for USAGE_SECONDS in any case, so that noise isn't written to the API server all day."""
    if use is None:
        return None
    if shown is not None and (shown_for_seconds < USAGE_SECONDS or _nearly(use, shown)):
        return shown
    return Usage(
        cpu=format_cpu(_rounded(use.cpu_milli, _CPU_STEP_MILLI)),
        memory=format_memory(_rounded(use.memory_bytes, _MEMORY_STEP_BYTES)),
    )


def _nearly(use: Use, shown: Usage) -> bool:
    return _near(use.cpu_milli, parse_cpu_milli(shown.cpu), _CPU_STEP_MILLI) and _near(
        use.memory_bytes, parse_memory_bytes(shown.memory), _MEMORY_STEP_BYTES
    )


def _near(value: int, shown: int, step: int) -> bool:
    return abs(value - shown) <= max(step, shown // 10)


def _rounded(value: int, step: int) -> int:
    return (value + step // 2) // step * step
