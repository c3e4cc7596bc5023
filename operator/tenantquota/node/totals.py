"""What each tenant used, as counters that never go back while the tenant has containers."""

from collections.abc import Collection
from typing import Final, NamedTuple

from tenantquota.domain.usage import Sample
from tenantquota.node.containers import Container

_COUNTERS: Final = tuple(
    Sample._fields.index(name)
    for name in ("cpu_usage_ns", "throttled_ns", "io_read_bytes", "io_written_bytes")
)


class Totals(NamedTuple):
    """Of all containers of a tenant on this node, ended ones too, from when each was first seen."""

    cpu_usage_ns: int
    throttled_ns: int
    io_read_bytes: int
    io_written_bytes: int


class TenantTotals:
    """Adds up what containers' counters grew by.

    A sum of the counters themselves would fall whenever a container ends, and Prometheus takes a counter that
    falls for one that began anew.
    """

    def __init__(self) -> None:
        self.by_tenant: dict[str, Totals] = {}
        """Replaced as a whole, so that any thread may read it. A tenant without containers isn't in it."""
        self._counted: dict[str, Sample] = {}

    def add(self, containers: Collection[Container]) -> None:
        """To be called after each tick, with all that are followed."""
        counted: dict[str, Sample] = {}
        sums: dict[str, list[int]] = {}
        for container in containers:
            tenant = container.owner.tenant
            total = sums.get(tenant)
            if total is None:
                total = sums[tenant] = list(self.by_tenant.get(tenant, (0, 0, 0, 0)))
            sample = container.samples.latest
            if sample is None:
                continue
            counted[container.id] = sample
            before = self._counted.get(container.id)
            if before is None or before is sample:
                continue
            for position, field in enumerate(_COUNTERS):
                was, now = before[field], sample[field]
                if was is not None and now is not None and now > was:
                    total[position] += now - was
        self._counted = counted
        self.by_tenant = {tenant: Totals(*total) for tenant, total in sums.items()}
