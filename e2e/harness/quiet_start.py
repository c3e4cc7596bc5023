"""Whether anybody on the cluster makes noise before the suite does: its victims would suffer from that too,
and while they work what is held for it is never given back."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from e2e.harness.cluster import NODE, NODE_REPORT, Cluster, Manifest
from e2e.harness.wait import DeadlineExceededError, NotYet, wait_until
from tenantquota.domain.quantities import parse_cpu_milli

QUIET_WITHIN_SECONDS: Final = 60.0
"""Who was noisy until now is given back within so long."""
BUSY_FRACTION: Final = 0.1
"""Of its node's CPU: a tenant that uses more is noise once the suite's own fill the node."""


def noisy(cluster: Cluster, within_seconds: float = QUIET_WITHIN_SECONDS) -> dict[str, str]:
    """``TENANT on NODE`` → what makes it noise, of those for whom that doesn't end; waits for the others."""

    def nobody() -> bool:
        if found := noise(cluster):
            raise NotYet(", ".join(found))
        return True

    try:
        wait_until(nobody, what="quiet", deadline_seconds=within_seconds, poll_seconds=0.5)
    except DeadlineExceededError:
        return noise(cluster)
    return {}


def noise(cluster: Cluster) -> dict[str, str]:
    """The same at this moment, by the nodes' reports."""
    cpu_milli = {
        each["metadata"]["name"]: parse_cpu_milli(each["status"]["allocatable"]["cpu"])
        for each in cluster.objects(NODE)
    }
    return {
        f"{tenant} on {node}": why
        for report in cluster.objects(NODE_REPORT)
        if (node := report["metadata"]["name"]) in cpu_milli
        for tenant, why in _of_node(report, cpu_milli[node])
    }


def _of_node(report: Manifest, cpu_milli: int) -> Iterator[tuple[str, str]]:
    used: Counter[str] = Counter()
    for container in report.get("containers", []):
        used[container["tenant"]] += container.get("cpuMilli") or 0
    for tenant, milli in used.items():
        if milli > BUSY_FRACTION * cpu_milli:
            yield tenant, f"it uses {milli}m of {cpu_milli}m"
    for hold in report.get("holds", []):
        yield hold["tenant"], f"it is held: {hold['message']}"
