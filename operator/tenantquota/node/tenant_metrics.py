"""What ``/metrics`` tells of tenants: each container, each tenant, and what neighbours do to each other."""

from collections.abc import Iterable
from typing import Final

from tenantquota.api.stalls import Resource
from tenantquota.domain.findings import Stage
from tenantquota.domain.usage import NANOSECONDS
from tenantquota.node.containers import Container
from tenantquota.node.exposition import Exposition, labels
from tenantquota.node.leaks import Found
from tenantquota.node.neighbours import Neighbours
from tenantquota.node.stalls import Stalls
from tenantquota.node.totals import TenantTotals

MICROSECONDS: Final = 1_000_000


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / NANOSECONDS


def _from_us(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / MICROSECONDS


def each_container(page: Exposition, containers: Iterable[Container]) -> None:
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


def leaks(page: Exposition, found: Iterable[Found]) -> None:
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


def tenants(page: Exposition, containers: Iterable[Container], totals: TenantTotals) -> None:
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


def neighbours(page: Exposition, neighbours: Neighbours, stalls: Stalls) -> None:
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
        f"{prefix}_capped_containers",
        "Of a tenant that yields: how many of its containers are to have a lower CPU limit besides.",
        [(labels({"tenant": each.tenant}), len(each.caps)) for each in holdings],
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
