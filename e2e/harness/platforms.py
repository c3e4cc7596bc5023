"""Tenants whose quotas are set and changed, and what their agents' cgroups hold then."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from e2e.harness import many, served
from e2e.harness.cgroups import read_all
from e2e.harness.cluster import POD, Cluster, Container, Manifest
from e2e.harness.contamination import Contamination
from e2e.harness.limit_watch import Limit, LimitWatch
from e2e.harness.load import DriverPod
from e2e.harness.readings import CpuUse, Reading, cpu_use
from e2e.harness.served import Tenant
from e2e.harness.services import Services
from e2e.harness.sessions import ServedAgent, Sessions
from e2e.harness.wait import NotYet, wait_until
from e2e.specification import QUOTA_ACTIVE_WITHIN_SECONDS
from tenantquota.domain.contention import DEFAULT_WEIGHT

ENTITLED_WEIGHT: Final = 20 * DEFAULT_WEIGHT
"""Among a hundred others a sixth of the node."""


@dataclass
class Platform:
    """The tenants of one run."""

    cluster: Cluster
    services: Services
    sessions: Sessions
    driver: DriverPod
    tenants: Sequence[Tenant]
    contamination: Contamination

    @property
    def names(self) -> list[str]:
        return [tenant.name for tenant in self.tenants]

    @property
    def hog(self) -> str:
        return self.tenants[0].name

    @property
    def neighbours(self) -> list[str]:
        return self.names[1:]

    def agents(self) -> list[ServedAgent]:
        """The first is the hog's."""
        return [ServedAgent(self.sessions, tenant) for tenant in self.tenants]

    def containers(self, names: Collection[str] | None = None) -> list[Container]:
        """Of the agents that are older than the quotas."""
        selector = f"app={served.AGENT}"
        return [
            item for name in (names or self.names) for item in self.cluster.running(name, selector=selector)
        ]

    def container(self, tenant: str) -> Container:
        (container,) = self.containers([tenant])
        return container

    def set_limits(self, names: Collection[str], cpu_millicores: int, memory_bytes: int) -> float:
        """Writes the quotas, waits until the cgroup files hold the limits, and gives the seconds that the
        slowest CPU limit took from the first write on."""
        containers = self.containers(names)
        wanted = {item: Limit(cpu_millicores=cpu_millicores) for item in containers}
        with LimitWatch(wanted, deadline_seconds=QUOTA_ACTIVE_WITHIN_SECONDS) as watch:
            start = time.time()
            many.each(lambda name: self.cluster.apply(self._quota(name, cpu_millicores, memory_bytes)), names)
            arrived = watch.arrivals()
        wait_until(
            lambda: limits_are(containers, cpu_millicores, memory_bytes),
            what="memory limits in the cgroup files",
            deadline_seconds=QUOTA_ACTIVE_WITHIN_SECONDS,
            poll_seconds=0.5,
        )
        return max(arrived.values()) - start

    def _quota(self, name: str, cpu_millicores: int, memory_bytes: int) -> Manifest:
        """The hog's makes it entitled to what it allows: among fifty tenants that share two CPUs it would
        be held for taking more than its share, and its limit would be lower."""
        weight = ENTITLED_WEIGHT if name == self.hog else DEFAULT_WEIGHT
        return served.Terms(cpu=f"{cpu_millicores}m", memory=str(memory_bytes), weight=weight).quota(name)


def limits_are(containers: Collection[Container], cpu_millicores: int, memory_bytes: int) -> bool:
    """Whether every cgroup has these limits; NotYet names those that don't."""
    found = {
        item: (reading.cpu_limit_millicores, reading.memory_limit_bytes)
        for item, reading in read_all(containers).items()
    }
    others = [
        f"{item} has {limits}" for item, limits in found.items() if limits != (cpu_millicores, memory_bytes)
    ]
    if others:
        raise NotYet(f"{len(others)} of {len(found)} differ: {'; '.join(others[:5])}")
    return True


def use_over(containers: Collection[Container], seconds: float) -> dict[Container, CpuUse]:
    before = read_all(containers)
    time.sleep(seconds)  # the window that is measured
    after = read_all(containers)
    return {item: cpu_use(before[item], after[item]) for item in before}


def last_end(platform: Platform, hog: Container) -> dict[str, Any] | None:
    """How the hog's container ended, once another runs in its stead."""
    status = platform.cluster.get(POD, hog.pod, hog.namespace)["status"]["containerStatuses"][0]
    if "running" not in status["state"] or status["restartCount"] == hog.restarts:
        raise NotYet(f"{status['state']}")
    ended: dict[str, Any] | None = status["lastState"].get("terminated")
    return ended


def unharmed(before: Reading, after: Reading) -> bool:
    """Neither throttled nor squeezed in between."""
    return (
        after.throttled_periods == before.throttled_periods
        and after.memory_limit_bytes == before.memory_limit_bytes
        and after.memory_used_bytes > before.memory_used_bytes / 2
    )
