"""What tenants' pods did, from what was read of their containers."""

import pytest

from tenantquota.domain.runtime_work import MOST_SECONDS
from tenantquota.domain.usage import NANOSECONDS
from tenantquota.node.activities import activities_of, pods_of
from tenantquota.node.containers import Container
from tenantquota.node.sampler import Tick
from tests.unit.node.samples import container, used


def starting(of: Container) -> Container:
    of.owner = of.owner._replace(starting=True)
    return of


@pytest.mark.parametrize("turned", [False, True])
def test_a_pod_starts_while_one_of_its_containers_does(turned: bool) -> None:
    containers = [starting(container("new")), container("running")]
    if turned:
        containers.reverse()

    [pod] = pods_of(containers, 1, 2 * NANOSECONDS).values()

    assert pod.starting


def test_no_pod_starts_for_ever() -> None:
    at_ns = round((2 + MOST_SECONDS) * NANOSECONDS)

    [pod] = pods_of([starting(container("new"))], 1, at_ns).values()

    assert not pod.starting


def test_a_tenant_requests_what_all_its_pods_do() -> None:
    containers = [used(container(name, pod=pod)) for name, pod in (("a", "one"), ("b", "one"), ("c", "two"))]
    for each, milli in zip(containers, (50, 50, 30), strict=True):
        each.owner = each.owner._replace(cpu_request_milli=milli)

    [activity] = activities_of(containers, Tick(0, NANOSECONDS, 0.0, [], []))

    assert activity.requested_ms == 80
