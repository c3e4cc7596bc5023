"""What ``/metrics`` of the node agent tells: every container, every tenant, and the agent itself.

Everything is made from what is followed at the moment of the question, so nothing is left of a container or a
tenant that is gone. Called from the server's threads, it only reads what the sampler's thread replaces as a
whole: the last records, never the windows.
"""

import os
import resource
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tenantquota.domain.usage import NANOSECONDS
from tenantquota.node import tenant_metrics
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.containers import Container
from tenantquota.node.exposition import Exposition, Value, labels
from tenantquota.node.informer import Informer
from tenantquota.node.leaks import Found
from tenantquota.node.neighbours import Neighbours
from tenantquota.node.owners import TenantsPods
from tenantquota.node.report import ReportWriter
from tenantquota.node.sampler import Sampler
from tenantquota.node.stalls import Stalls
from tenantquota.node.ticks import ERROR_BOUNDS_SECONDS, Ticks
from tenantquota.node.totals import TenantTotals
from tenantquota.node.weight_orders import WeightOrders

_PAGE_BYTES: Final = resource.getpagesize()


class View(NamedTuple):
    """The state after a tick; a new one replaces it."""

    containers: Collection[Container]
    at_ns: int
    """CLOCK_MONOTONIC of the tick."""
    seconds: float
    """How long it took."""
    leaks: Collection[Found] = ()


class AgentState(NamedTuple):
    """The parts that have something to tell of themselves."""

    ticks: Ticks
    errors: ReadErrors
    sampler: Sampler
    report: ReportWriter
    informers: Mapping[str, Informer[Any]]
    owners: TenantsPods
    totals: TenantTotals
    neighbours: Neighbours
    weights: WeightOrders
    stalls: Stalls


def exposition(view: View, state: AgentState, proc: Path) -> bytes:
    """The whole page."""
    page = Exposition()
    named = [container for container in view.containers if container.owner.container]
    tenant_metrics.each_container(page, named)
    tenant_metrics.leaks(page, view.leaks)
    tenant_metrics.tenants(page, view.containers, state.totals)
    tenant_metrics.neighbours(page, state.neighbours, state.stalls)
    _agent(page, view, state)
    _process(page, proc)
    return page.encode()


def _agent(page: Exposition, view: View, state: AgentState) -> None:
    prefix, report = "tenantquota_node", state.report

    def one(value: Value) -> list[tuple[str, Value]]:
        return [("", value)]

    def by(name: str, values: Mapping[str, int]) -> list[tuple[str, Value]]:
        return [(labels({name: key}), value) for key, value in values.items()]

    page.counter(f"{prefix}_ticks_total", "Times that everything due was read.", one(state.ticks.begun))
    page.counter(f"{prefix}_ticks_late_total", "Ticks that began over 50 ms late.", one(state.ticks.late))
    page.counter(f"{prefix}_ticks_missed_total", "Ticks that never began.", one(state.ticks.missed))
    page.gauge(
        f"{prefix}_last_tick_age_seconds",
        "Since the last tick began.",
        one((time.monotonic_ns() - view.at_ns) / NANOSECONDS),
    )
    page.gauge(f"{prefix}_tick_duration_seconds", "How long the last tick took.", one(view.seconds))
    page.histogram(
        f"{prefix}_period_error_seconds",
        "By how much the time between two ticks missed the period.",
        ERROR_BOUNDS_SECONDS,
        state.ticks.error_counts,
        state.ticks.error_sum_seconds,
    )
    page.counter(
        f"{prefix}_read_errors_total",
        "Reads that gave nothing, by file and reason.",
        [
            (labels({"file": file, "reason": reason}), count)
            for (file, reason), count in sorted(state.errors.counts.copy().items())
        ],
    )
    page.counter(
        f"{prefix}_weight_errors_total",
        "CPU weights that could not be set.",
        one(state.weights.errors),
    )
    page.counter(
        f"{prefix}_container_resets_total",
        "How often a container's counter went back.",
        one(state.sampler.counter_resets),
    )
    page.gauge(f"{prefix}_containers", "Containers that are followed.", one(len(view.containers)))
    page.gauge(
        f"{prefix}_pods", "Pods of tenants on this node, by the API server.", one(state.owners.count())
    )
    page.counter(
        f"{prefix}_api_errors_total",
        "Requests that the API server refused or didn't answer.",
        by(
            "request",
            {name: informer.errors for name, informer in state.informers.items()} | {"report": report.errors},
        ),
    )
    page.counter(
        f"{prefix}_reports_total",
        "Reports made, by what they were made for.",
        by("reason", {reason.value: count for reason, count in report.handed_over.items()}),
    )
    page.counter(f"{prefix}_reports_written_total", "Reports that the API server took.", one(report.written))
    page.gauge(f"{prefix}_report_size_bytes", "Size of the last report, as JSON.", one(report.last_bytes))
    page.gauge(
        f"{prefix}_report_last_write_timestamp_seconds",
        "When a report was last written, Unix time.",
        one(report.last_write_seconds),
    )


def _process(page: Exposition, proc: Path) -> None:
    """As Prometheus' client libraries name them."""
    page.counter("process_cpu_seconds_total", "CPU time used by the agent.", [("", time.process_time())])
    resident = int((proc / "self/statm").read_text().split()[1]) * _PAGE_BYTES
    page.gauge("process_resident_memory_bytes", "Resident memory of the agent.", [("", resident)])
    descriptors = len(os.listdir(proc / "self/fd"))  # noqa: PTH208 - names are enough
    page.gauge("process_open_fds", "File descriptors that the agent has open.", [("", descriptors)])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    page.gauge("process_max_fds", "How many it may have open.", [("", most)])
