"""What ``/metrics`` of the node agent tells: every container, every tenant, and the agent itself.

Everything is made from what is followed at the moment of the question, so nothing is left of a container or a
tenant that is gone. Called from the server's threads, it only reads what the sampler's thread replaces as a
whole: the last records, never the windows.
"""

import os
import resource
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tenantquota.api.stalls import Resource
from tenantquota.domain.findings import Stage
from tenantquota.domain.usage import NANOSECONDS
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

MICROSECONDS: Final = 1_000_000
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
    _containers(page, named)
    _leaks(page, view.leaks)
    _tenants(page, view.containers, state.totals)
    _neighbours(page, state.neighbours, state.stalls)
    _agent(page, view, state)
    _process(page, proc)
    return page.encode()


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / NANOSECONDS


def _from_us(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / MICROSECONDS


def _containers(page: Exposition, containers: Iterable[Container]) -> None:
    """One pass per file that is read, so that each container's records are looked up once."""
    sampled = []
    detailed = []
    counted = []
    delayed = []
    limited = []
    for container in containers:
        owner = container.owner
        of = labels(
            {
                "tenant": owner.tenant,
                "namespace": owner.namespace,
                "pod": owner.pod,
                "container": owner.container,
            }
        )
        if sample := container.samples.latest:
            sampled.append((of, sample))
        if detail := container.details.latest:
            detailed.append((of, detail, container.working_set_bytes))
        if processes := container.processes.latest:
            counted.append((of, processes))
        if delay := container.run_delays.latest:
            delayed.append((of, delay))
        if limits := container.limits:
            limited.append((of, limits))

    prefix = "tenantquota_container"
    page.counter(
        f"{prefix}_cpu_usage_seconds_total",
        "CPU time used.",
        [(of, _seconds(sample.cpu_usage_ns)) for of, sample in sampled],
    )
    page.counter(
        f"{prefix}_cpu_periods_total",
        "Periods of the CPU limit in which the container wanted to run.",
        [(of, sample.nr_periods) for of, sample in sampled],
    )
    page.counter(
        f"{prefix}_cpu_throttled_periods_total",
        "Periods in which the container used up its CPU limit.",
        [(of, sample.nr_throttled) for of, sample in sampled],
    )
    page.counter(
        f"{prefix}_cpu_throttled_seconds_total",
        "Time for which CPUs were taken from the container by its own limit, summed over CPUs.",
        [(of, _seconds(sample.throttled_ns)) for of, sample in sampled],
    )
    page.counter(
        f"{prefix}_cpu_waiting_seconds_total",
        "Time in which at least one thread was runnable and waited for a CPU (PSI some).",
        [(of, _from_us(sample.cpu_waiting_us)) for of, sample in sampled],
    )
    page.counter(
        f"{prefix}_run_delay_seconds_total",
        "Time for which threads were runnable and waited for a CPU, summed over threads, since first seen.",
        [(of, delay.run_delay_ns / NANOSECONDS) for of, delay in delayed],
    )
    page.counter(
        f"{prefix}_timeslices_total",
        "How often a thread got a CPU, since first seen.",
        [(of, delay.timeslices) for of, delay in delayed],
    )
    page.gauge(
        f"{prefix}_memory_usage_bytes",
        "Memory in use, page cache included.",
        [(of, sample.memory_usage_bytes) for of, sample in sampled],
    )
    page.gauge(
        f"{prefix}_memory_working_set_bytes",
        "Memory in use that can't be given back at once.",
        [(of, working_set) for of, _, working_set in detailed],
    )
    page.gauge(
        f"{prefix}_memory_peak_bytes",
        "The most memory that was ever in use, page cache included.",
        [(of, detail.memory_peak_bytes) for of, detail, _ in detailed],
    )
    page.counter(
        f"{prefix}_oom_kills_total",
        "Processes killed because the memory limit was reached.",
        [(of, detail.oom_kills) for of, detail, _ in detailed],
    )
    page.counter(
        f"{prefix}_memory_waiting_seconds_total",
        "Time in which at least one thread waited for memory (PSI some).",
        [(of, _from_us(detail.memory_waiting_us)) for of, detail, _ in detailed],
    )
    page.counter(
        f"{prefix}_io_waiting_seconds_total",
        "Time in which at least one thread waited for I/O (PSI some).",
        [(of, _from_us(detail.io_waiting_us)) for of, detail, _ in detailed],
    )
    page.counter(
        f"{prefix}_io_read_bytes_total",
        "Bytes read from block devices.",
        [(of, sample.io_read_bytes) for of, sample in sampled],
    )
    page.counter(
        f"{prefix}_io_written_bytes_total",
        "Bytes written to block devices; with cgroup v1 only those past the page cache.",
        [(of, sample.io_written_bytes) for of, sample in sampled],
    )
    page.gauge(f"{prefix}_threads", "Threads.", [(of, processes.threads) for of, processes in counted])
    page.gauge(f"{prefix}_processes", "Processes.", [(of, processes.processes) for of, processes in counted])
    page.gauge(
        f"{prefix}_open_files",
        "File descriptors open, of all processes together.",
        [(of, processes.open_files) for of, processes in counted],
    )
    page.gauge(
        f"{prefix}_cpu_limit_cores",
        "The CPU limit that the cgroup holds; no series where there is none.",
        [(of, None if limits.cpu_milli is None else limits.cpu_milli / 1000) for of, limits in limited],
    )
    page.gauge(
        f"{prefix}_memory_limit_bytes",
        "The memory limit that the cgroup holds; no series where there is none.",
        [(of, limits.memory_limit_bytes) for of, limits in limited],
    )


def _leaks(page: Exposition, found: Iterable[Found]) -> None:
    """No series of a container that leaks nothing."""
    series = []
    for container, finding in found:
        owner = container.owner
        of = {
            "tenant": owner.tenant,
            "namespace": owner.namespace,
            "pod": owner.pod,
            "container": owner.container,
            "kind": finding.kind.value,
        }
        if owner.container:
            series.append((of, finding))
    prefix = "tenantquota_container"
    for stage in (Stage.SUSPECTED, Stage.CONFIRMED):
        page.gauge(
            f"{prefix}_leak_{stage.value}",
            f"1 while a leak or a runaway of this kind is {stage.value}.",
            [(labels(of), 1) for of, finding in series if finding.stage is stage],
        )


class _Levels:
    """Sums over a tenant's containers."""

    __slots__ = ("containers", "open_files", "processes", "working_set_bytes")

    def __init__(self) -> None:
        self.containers = self.open_files = self.processes = self.working_set_bytes = 0


def _tenants(page: Exposition, containers: Iterable[Container], totals: TenantTotals) -> None:
    sums: dict[str, _Levels] = {}
    for container in containers:
        level = sums.setdefault(container.owner.tenant, _Levels())
        level.containers += 1
        level.working_set_bytes += container.working_set_bytes or 0
        if processes := container.processes.latest:
            level.processes += processes.processes or 0
            level.open_files += processes.open_files or 0
    levels = [(labels({"tenant": tenant}), level) for tenant, level in sorted(sums.items())]
    counters = [(labels({"tenant": tenant}), total) for tenant, total in sorted(totals.by_tenant.items())]

    prefix = "tenantquota_tenant"
    page.gauge(
        f"{prefix}_containers",
        "Containers of the tenant on this node.",
        [(of, level.containers) for of, level in levels],
    )
    page.gauge(
        f"{prefix}_memory_working_set_bytes",
        "Memory that can't be given back at once, of all containers.",
        [(of, level.working_set_bytes) for of, level in levels],
    )
    page.gauge(
        f"{prefix}_processes", "Processes of all containers.", [(of, level.processes) for of, level in levels]
    )
    page.gauge(
        f"{prefix}_open_files",
        "File descriptors open in all containers.",
        [(of, level.open_files) for of, level in levels],
    )
    since = "of all containers, ended ones included, since each was first seen."
    page.counter(
        f"{prefix}_cpu_usage_seconds_total",
        f"CPU time used, {since}",
        [(of, total.cpu_usage_ns / NANOSECONDS) for of, total in counters],
    )
    page.counter(
        f"{prefix}_cpu_throttled_seconds_total",
        f"Time for which CPUs were taken by limits, {since}",
        [(of, total.throttled_ns / NANOSECONDS) for of, total in counters],
    )
    page.counter(
        f"{prefix}_io_read_bytes_total",
        f"Bytes read from block devices, {since}",
        [(of, total.io_read_bytes) for of, total in counters],
    )
    page.counter(
        f"{prefix}_io_written_bytes_total",
        f"Bytes written to block devices, {since}",
        [(of, total.io_written_bytes) for of, total in counters],
    )


def _neighbours(page: Exposition, neighbours: Neighbours, stalls: Stalls) -> None:
    holdings = neighbours.holdings()
    prefix = "tenantquota_tenant"
    page.gauge(
        f"{prefix}_yielding",
        "1 while the tenant wants more than its share of this node and gets what others leave.",
        [(labels({"tenant": each.tenant}), 1) for each in holdings],
    )
    page.gauge(
        f"{prefix}_share_ratio",
        "Of a tenant that yields: the CPU that it wants, as a multiple of its share.",
        [(labels({"tenant": each.tenant}), each.evidence.factor) for each in holdings],
    )
    page.gauge(
        f"{prefix}_victims",
        "Of a tenant that yields: how many others it was seen to harm.",
        [(labels({"tenant": each.tenant}), len(each.victims)) for each in holdings],
    )
    page.gauge(
        f"{prefix}_stalling_neighbours",
        "Of a tenant that has more than its due of I/O or memory: how many others it was seen to make stall.",
        [
            (labels({"tenant": each.tenant, "resource": each.resource.value}), len(each.victims))
            for each in stalls.harming()
        ],
    )
    harmed = {Resource.CPU: neighbours.findings} | (stalls.findings if stalls.sees else {})
    page.counter(
        "tenantquota_node_neighbours_harmed_total",
        "Times that a tenant was found to wait because of others.",
        [(labels({"resource": resource.value}), count) for resource, count in harmed.items()],
    )


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
