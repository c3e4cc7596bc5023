"""Whether anybody on the cluster makes noise before the suite does: its victims would suffer from that too,
and what is held for it is never given back."""

from typing import Final

from e2e.harness.cluster import NODE_REPORT, Cluster
from e2e.harness.wait import DeadlineExceededError, NotYet, wait_until

QUIET_WITHIN_SECONDS: Final = 60.0
"""Who was noisy until now is given back within so long."""


def noisy(cluster: Cluster, within_seconds: float = QUIET_WITHIN_SECONDS) -> dict[str, str]:
    """``TENANT on NODE`` → why it is held, of those that stay so; waits for the others."""

    def nobody() -> bool:
        if found := held(cluster):
            raise NotYet(", ".join(found))
        return True

    try:
        wait_until(nobody, what="quiet", deadline_seconds=within_seconds, poll_seconds=0.5)
    except DeadlineExceededError:
        return held(cluster)
    return {}


def held(cluster: Cluster) -> dict[str, str]:
    """The same at this moment, by the nodes' reports."""
    return {
        f"{hold['tenant']} on {report['metadata']['name']}": hold["message"]
        for report in cluster.objects(NODE_REPORT)
        for hold in report.get("holds", [])
    }
