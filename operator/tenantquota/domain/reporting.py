"""When a node's report is worth a write: each is an object of tens of kilobytes that goes through etcd."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from tenantquota.api.stalls import Resource

MAX_CONTAINERS: Final = 500
"""What the resource takes; ``api.nodereport`` says why."""

MAX_FINDINGS: Final = 100
"""Told in one report; a node with more of them has one trouble, not a hundred."""

HOLD_PERIOD_SECONDS: Final = 8
"""The longest age of a report by which somebody is held. Three of these may pass until a hold ends whose
agent died (``reports.STALE_PERIODS``): no hold outlives its cause by more than 30 s."""
MARGIN_SECONDS: Final = 1.5
"""By how much a heartbeat comes early: it is decided once a second, and takes its way."""
USAGE_SECONDS: Final = 10.0
"""How often usage alone may be a reason."""
CPU_STEP_MILLI: Final = 100
MEMORY_STEP_BYTES: Final = 64 * 2**20
STEP_FRACTION: Final = 0.2
"""A tenant's usage has changed when it differs by both a step and this part of what was told."""


class Reason(StrEnum):
    """Why a report is written."""

    FIRST = "first"
    CONTAINERS = "containers"
    LIMITS = "limits"
    HOLDS = "holds"
    HARMS = "harms"
    FINDINGS = "findings"
    USAGE = "usage"
    HEARTBEAT = "heartbeat"


class Held(NamedTuple):
    """What of a container is told at once: whose it is and the limits that its cgroup holds."""

    tenant: str
    namespace: str
    pod: str
    pod_uid: str
    container: str
    cpu_limit_milli: int | None
    memory_limit_bytes: int | None


class Usage(NamedTuple):
    """What a container or a tenant uses."""

    cpu_milli: int
    memory_bytes: int


class Entry(NamedTuple):
    """One container of a report. None: not known."""

    held: Held
    cpu_milli: int | None
    memory_bytes: int | None


class Hold(NamedTuple):
    """A tenant that yields on this node."""

    tenant: str
    victims: tuple[str, ...]
    caps: tuple[tuple[str, str, int], ...] = ()
    """Pod's uid, container and the CPU limit in milli-CPU that it is to have."""


class Harms(NamedTuple):
    """A tenant that makes others stall on this node."""

    tenant: str
    resource: Resource
    victims: tuple[str, ...]


class Told(NamedTuple):
    """What is told at once."""

    held: Mapping[str, Held]
    """By container id."""
    holds: tuple[Hold, ...] = ()
    findings: frozenset[tuple[str, str]] = frozenset()
    """Container id and kind of each."""
    harms: tuple[Harms, ...] = ()


def reason_to_write(told: Told | None, now: Told, age_seconds: float, period_seconds: float) -> Reason | None:
    """Whether what is held now must be told, usage aside. Asked once a second, which bounds the writes.

    Args:
        told: what the last report said; None where there was none.
        now: what is the case.
        age_seconds: of the last report.
        period_seconds: the longest age that it may reach.
    """
    if told is None:
        return Reason.FIRST
    for reason, same in (
        (Reason.CONTAINERS, told.held.keys() == now.held.keys()),
        (Reason.LIMITS, told.held == now.held),
        (Reason.HOLDS, told.holds == now.holds),
        (Reason.HARMS, told.harms == now.harms),
        (Reason.FINDINGS, told.findings == now.findings),
    ):
        if not same:
            return reason
    return Reason.HEARTBEAT if age_seconds >= period_seconds - MARGIN_SECONDS else None


def period_of(now: Told, period_seconds: int, *, held: bool) -> int:
    """How often to report at least, in seconds.

    Args:
        period_seconds: when nobody is held.
        held: a tenant with containers here is held by the controller.
    """
    busy = held or now.holds or now.findings
    return min(period_seconds, HOLD_PERIOD_SECONDS) if busy else period_seconds


def usage_by_tenant(entries: Iterable[Entry]) -> dict[str, Usage]:
    """Sums; what isn't known counts as nothing."""
    sums: dict[str, Usage] = {}
    for held, cpu_milli, memory_bytes in entries:
        before = sums.get(held.tenant, Usage(0, 0))
        sums[held.tenant] = Usage(
            before.cpu_milli + (cpu_milli or 0), before.memory_bytes + (memory_bytes or 0)
        )
    return sums


def usage_changed(told: Mapping[str, Usage], now: Mapping[str, Usage]) -> bool:
    """Whether any tenant uses so much more or less than was told that it should be told."""
    none = Usage(0, 0)
    return any(
        _moved(told.get(tenant, none).cpu_milli, usage.cpu_milli, CPU_STEP_MILLI)
        or _moved(told.get(tenant, none).memory_bytes, usage.memory_bytes, MEMORY_STEP_BYTES)
        for tenant, usage in now.items()
    )


def _moved(told: int, now: int, step: int) -> bool:
    return abs(now - told) >= max(step, STEP_FRACTION * told)


def bounded(entries: Iterable[Entry]) -> list[Entry]:
    """In an order that doesn't change from report to report, and no more than the resource takes."""
    return sorted(entries, key=lambda entry: entry.held[1:5])[:MAX_CONTAINERS]
