"""What tenants' containers and pods did in a second, from what was read of them."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from tenantquota.domain import runtime_work, weights
from tenantquota.domain.contention import Activity
from tenantquota.domain.usage import NANOSECONDS, increase
from tenantquota.node.containers import Container
from tenantquota.node.sampler import Tick

_MS: Final = 1_000_000


class PodUse(NamedTuple):
    """A tenant's pod.

    Attributes:
        path: its cgroup's directory.
        weight: its tenant's ``spec.weight``.
        kubelets: the CPU weight that the kubelet gives it.
        used_ms: of CPU, in this second.
        resizing: the kubelet is about to change its resources.
        starting: a container of it is about to start.
        shown_milli: what the kubelet shows it to request beyond what it does.
    """

    path: str
    tenant: str
    enforces: bool
    weight: int
    kubelets: int
    used_ms: float
    resizing: bool = False
    starting: bool = False
    shown_milli: int = 0


def activities_of(containers: Iterable[Container], tick: Tick) -> list[Activity]:
    """Of each tenant, from its containers that were read in this tick."""
    sums: dict[str, list[float]] = {}
    requested: dict[str, dict[str, int]] = {}  # milli-CPU, by tenant and pod
    throttled = set()
    weight: dict[str, int] = {}
    for container in containers:
        sample, before = container.samples.latest, container.samples.previous
        if sample is None or before is None or sample.at_ns < tick.at_ns:
            continue
        owner = container.owner
        of = sums.setdefault(owner.tenant, [0.0, 0.0, 0.0])
        requested.setdefault(owner.tenant, {})[container.pod_uid] = owner.cpu_request_milli
        weight[owner.tenant] = max(owner.weight, weight.get(owner.tenant, 0))
        elapsed_ns = sample.at_ns - before.at_ns
        used_ns = increase(before.cpu_usage_ns, sample.cpu_usage_ns)
        if not used_ns:
            continue
        of[0] += used_ns / elapsed_ns * 1000
        if container.throttled:
            throttled.add(owner.tenant)
        elif (waits := container.waits()) is not None:
            of[1] += waits.run_delay_ns / elapsed_ns * 1000
            of[2] += waits.timeslices / elapsed_ns * NANOSECONDS
    return [
        Activity(
            tenant,
            weight[tenant],
            used_ms,
            max(0.0, waiting_ms),
            max(0.0, dispatches),
            tenant in throttled,
            float(sum(requested[tenant].values())),
        )
        for tenant, (used_ms, waiting_ms, dispatches) in sums.items()
    ]


def looked_at(containers: Iterable[Container], tick: Tick) -> list[Container]:
    """Those whose threads' waits were read in this tick."""
    return [each for each in containers if (delay := each.run_delays.latest) and delay.at_ns >= tick.at_ns]


def pods_of(containers: Iterable[Container], version: int, at_ns: int) -> dict[str, PodUse]:
    """By uid, of containers that were read.

    Args:
        at_ns: now.
    """
    found: dict[str, PodUse] = {}
    for container in containers:
        owner, sample, before = container.owner, container.samples.latest, container.samples.previous
        used_ns = increase(before and before.cpu_usage_ns, sample and sample.cpu_usage_ns) or 0
        former = found.get(container.pod_uid)
        used_ms = used_ns / _MS + (former.used_ms if former is not None else 0.0)
        starts = runtime_work.starts(owner.starting, (at_ns - container.first_seen_ns) / NANOSECONDS)
        kubelets = weights.kubelet_weight(owner.cpu_request_milli, version=version)
        found[container.pod_uid] = PodUse(
            container.pod_path,
            owner.tenant,
            owner.enforces,
            owner.weight,
            kubelets,
            used_ms,
            owner.resizing,
            starts or (former is not None and former.starting),
            owner.cpu_excess_milli,
        )
    return found
