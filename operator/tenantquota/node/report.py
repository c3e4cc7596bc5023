"""The NodeReport: gathered after a tick, written by a thread of its own."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from tenantquota.api.names import GROUP, MANAGER, VERSION
from tenantquota.domain.reporting import (
    MAX_FINDINGS,
    USAGE_SECONDS,
    Entry,
    Harms,
    Held,
    Hold,
    Reason,
    Told,
    Usage,
    bounded,
    period_of,
    reason_to_write,
    usage_by_tenant,
    usage_changed,
)
from tenantquota.kube.plain import ApiError, ApiServer, NodeIdentity
from tenantquota.node.containers import Container
from tenantquota.node.leaks import Found
from tenantquota.node.manifest import Clocks, manifest
from tenantquota.node.neighbours import Holding
from tenantquota.node.stalls import Harming

LOG: Final = logging.getLogger(__name__)

RATE_SECONDS: Final = 10.0
"""CPU is told as the mean over this time: two agents' bursts in one second are no news."""
RETRY_SECONDS: Final = (1.0, 2.0, 5.0, 10.0)


def held_by(containers: Iterable[Container]) -> dict[str, Held]:
    """By container id, of those whose name and limits are known; others are told once they are."""
    return {
        container.id: Held(
            container.owner.tenant,
            container.owner.namespace,
            container.owner.pod,
            container.pod_uid,
            container.owner.container,
            container.limits.cpu_milli,
            container.limits.memory_limit_bytes,
        )
        for container in containers
        if container.limits is not None and container.owner.container
    }


def entries_of(containers: Iterable[Container], held: Mapping[str, Held]) -> list[Entry]:
    """With what each of them uses."""
    result = []
    for container in containers:
        if container.id in held:
            rates = container.rates(RATE_SECONDS)
            cpu_milli = None if rates is None or rates.cpu_milli is None else round(rates.cpu_milli)
            result.append(Entry(held[container.id], cpu_milli, container.working_set_bytes))
    return result


def _key(found: Found) -> tuple[str, str]:
    return found.container.id, found.finding.kind.value


class _Last(NamedTuple):
    """What the last report said, and when (the clock's seconds)."""

    told: Told
    usage: dict[str, Usage]
    at_seconds: float


class Reporter:
    """Decides after each tick whether to report, and hands the report on.

    Args:
        write: takes a report and why it is written; must not block.
        pressure: the kernel tells who stalls.
        clock: seconds; never goes back.
        wall_clock: Unix time in seconds.
    """

    def __init__(
        self,
        node: NodeIdentity,
        period_seconds: int,
        write: Callable[[bytes, Reason], None],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        *,
        pressure: bool = False,
    ) -> None:
        self._pressure = pressure
        self._node = node
        self._period_seconds = period_seconds
        self._write = write
        self._clock = clock
        self._wall_clock = wall_clock
        self._last: _Last | None = None
        self._usage_due_seconds = 0.0

    def after_tick(
        self,
        containers: Collection[Container],
        holdings: Collection[Holding] = (),
        confirmed: Collection[Found] = (),
        harming: Collection[Harming] = (),
        *,
        any_held: bool = False,
    ) -> None:
        """To be called once it is known which of the node's pods are tenants'.

        Args:
            containers: all that are followed.
            holdings: who yields.
            confirmed: leaks.
            harming: who makes others stall.
            any_held: the controller holds one of the node's tenants.
        """
        now = self._clock()
        held = held_by(containers)
        found = sorted((each for each in confirmed if each.container.id in held), key=_key)[:MAX_FINDINGS]
        told = Told(
            held,
            tuple(Hold(each.tenant, each.victims, each.caps) for each in holdings),
            frozenset(map(_key, found)),
            tuple(Harms(each.tenant, each.resource, each.victims) for each in harming),
        )
        last = self._last
        period_seconds = period_of(told, self._period_seconds, held=any_held)
        reason = reason_to_write(
            last and last.told, told, now - last.at_seconds if last else 0.0, period_seconds
        )
        if reason is None and now < self._usage_due_seconds:
            return
        entries = entries_of(containers, told.held)
        usage = usage_by_tenant(entries)
        self._usage_due_seconds = now + USAGE_SECONDS
        if reason is None and last is not None and usage_changed(last.usage, usage):
            reason = Reason.USAGE
        if reason is not None:
            self._last = _Last(told, usage, now)
            told_of = bounded(entries)
            if len(told_of) < len(entries):
                LOG.warning("%d containers are left out of the report", len(entries) - len(told_of))
            report = manifest(
                self._node,
                told_of,
                holdings,
                found,
                Clocks(now, self._wall_clock()),
                period_seconds,
                harming,
                pressure=self._pressure,
            )
            self._write(report, reason)


class ReportWriter:
    """Writes the newest report, and goes on trying until it is written or there is a newer one."""

    def __init__(self, api: ApiServer, node: str, stop: threading.Event) -> None:
        self._api = api
        self._path = f"/apis/{GROUP}/{VERSION}/nodereports/{node}"
        self._stop = stop
        self._handed_over = threading.Condition()
        self._next: bytes | None = None
        self.handed_over = dict.fromkeys(Reason, 0)
        self.written = 0
        self.errors = 0
        self.last_bytes = 0
        self.last_write_seconds: float | None = None
        """Unix time."""

    def put(self, report: bytes, reason: Reason) -> None:
        """Takes the place of one that is not written yet."""
        with self._handed_over:
            self._next = report
            self.handed_over[reason] += 1
            self._handed_over.notify()

    def run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            with self._handed_over:
                self._handed_over.wait_for(lambda: self._next is not None)
                report, self._next = self._next, None
            if report is None:
                continue
            try:
                self._api.apply(self._path, report, manager=MANAGER)
            except ApiError as error:
                self.errors += 1
                # the first of a row is news, the rest are counted
                LOG.log(logging.WARNING if not failures else logging.DEBUG, "report not written: %s", error)
                with self._handed_over:
                    self._next = self._next or report
                self._stop.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1
            else:
                if failures:
                    LOG.info("report written after %d failures", failures)
                failures = 0
                self.written += 1
                self.last_bytes = len(report)
                self.last_write_seconds = time.time()
