"""Limits for containers that ended once before, whose memory usage the kubelet may not be able to read."""

from collections.abc import Callable

import pytest

from e2e.harness import tenants
from e2e.harness.cluster import Cluster, Manifest
from e2e.harness.wait import NotYet, wait_until
from tests.integration.tenant import MI, Tenant

PODS = ("one", "two", "three", "four")
CPU_SECONDS = 20
"""The kubelet tries again what it refused every 10 to 15 s: who depends on that is late."""
MEMORY_SECONDS = 120
ENDS_ONCE = "mkdir /scratch/begun && exit 1; exec sleep 100000"


@pytest.fixture
def tenant(cluster: Cluster, controller: object, new_namespace: Callable[[str], str]) -> Tenant:
    return Tenant(cluster, new_namespace("anew"))


def ends_once(name: str, tenant: str) -> Manifest:
    pod = tenants.agent(name, tenant, scratch=True)
    pod["spec"]["containers"][0] |= {"command": ["sh", "-c", ENDS_ONCE], "args": []}
    return pod


def begun_anew(tenant: Tenant) -> bool:
    containers = tenant.cluster.running(tenant.namespace)
    if len(containers) < len(PODS) or not all(each.restarts for each in containers):
        raise NotYet(", ".join(f"{each.pod} {each.restarts}" for each in containers))
    return True


def test_cpu_limits_do_not_wait_for_memory_that_the_kubelet_cannot_read(tenant: Tenant) -> None:
    tenant.cluster.apply(*(ends_once(name, tenant.namespace) for name in PODS))
    wait_until(lambda: begun_anew(tenant), what="containers to be begun anew", deadline_seconds=60)

    tenant.quota("300m", "64Mi")

    tenant.wait_cgroups(
        lambda reading: reading.cpu_limit_millicores == 300, "the CPU limit", deadline_seconds=CPU_SECONDS
    )

    def most_hold_memory() -> bool:
        held = [name for name, of in tenant.cgroups().items() if of.memory_limit_bytes == 64 * MI]
        if len(held) <= len(PODS) // 2:
            raise NotYet(f"only {', '.join(held)}")
        return True

    wait_until(most_hold_memory, what="memory limits of most of them", deadline_seconds=MEMORY_SECONDS)
