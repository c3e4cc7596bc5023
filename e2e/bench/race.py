"""Both arms in turn, and what the controller needs meanwhile."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from typing import Final

import psutil

from e2e.bench.arms import SETTLE_DEADLINE_SECONDS, START_CPU_MILLICORES, Arm
from e2e.cluster.settings import NAMESPACE as OPERATOR_NAMESPACE
from e2e.harness.cgroups import read_all
from e2e.harness.cluster import POD, TENANT_QUOTA, Cluster, Container, condition, is_ready
from e2e.harness.limit_watch import Limit, LimitWatch
from e2e.harness.tenants import DECLARED_ANNOTATION, QUOTA
from e2e.harness.wait import DeadlineExceededError, NotYet, wait_until

CPU_LIMITS_MILLICORES: Final = (300, 350, 400, 450, 500)
"""In turn, so that every change is one."""
ARRIVAL_DEADLINE_SECONDS: Final = 30
QUIET_PERCENT: Final = 40.0
QUIET_DEADLINE_SECONDS: Final = 5


@dataclass(frozen=True)
class Change:
    """One change of limits.

    Attributes:
        first_seconds: from the first request until the first cgroup file held the new limit.
        last_seconds: until the last did; the figure of the benchmark.
        controller_cpu_seconds: what the controller used from the request until it was settled.
        load_average: the machine's, over the minute before.
    """

    arm: str
    cpu_millicores: int
    first_seconds: float
    last_seconds: float
    controller_cpu_seconds: float
    load_average: float


@dataclass(frozen=True)
class ControllerIdle:
    """What the controller uses while nothing changes."""

    seconds: float
    millicores: float
    memory_bytes: int


@dataclass(frozen=True)
class Restart:
    """How long a replacement of the controller takes.

    Attributes:
        replaced_seconds: from the deletion of its pod until another was Ready.
        ready_seconds: from the start of the new container until it was Ready.
    """

    replaced_seconds: float
    ready_seconds: float


def race(
    cluster: Cluster,
    operator: Arm,
    bare_loop: Arm,
    containers: Sequence[Container],
    controller: Container,
    *,
    changes: int,
) -> Iterator[Change]:
    """``changes`` changes by each arm, in turn, each as soon as it is measured.

    Raises:
        LimitsMissingError: names the pods that didn't get a change within 30 s.
    """
    limits = cycle(CPU_LIMITS_MILLICORES)
    for _ in range(changes):
        for arm in (operator, bare_loop):
            reset(cluster, bare_loop, containers)
            arm.prepare()
            settle(cluster, containers)
            await_quiet()
            yield _measure(cluster, arm, containers, controller, next(limits))


def reset(cluster: Cluster, bare_loop: Arm, containers: Sequence[Container]) -> None:
    """Brings the pods to where each change begins: no quota, and the limit that they declare."""
    (namespace,) = {container.namespace for container in containers}
    cluster.delete(TENANT_QUOTA, QUOTA, namespace)

    def released() -> bool:
        held = [
            pod["metadata"]["name"]
            for pod in cluster.pods(namespace)
            if DECLARED_ANNOTATION in pod["metadata"].get("annotations", {})
        ]
        if held:
            raise NotYet(f"{len(held)} still carry what they declared, such as {held[0]}")
        return cluster.gone(TENANT_QUOTA, QUOTA, namespace)

    wait_until(
        released,
        what="the pods to be released from their quota",
        deadline_seconds=SETTLE_DEADLINE_SECONDS,
        poll_seconds=0.5,
    )
    bare_loop.change(START_CPU_MILLICORES)
    settle(cluster, containers)


def _measure(
    cluster: Cluster, arm: Arm, containers: Sequence[Container], controller: Container, cpu_millicores: int
) -> Change:
    load_average = os.getloadavg()[0]
    before = read_all([controller])[controller]
    wanted = {container: Limit(cpu_millicores=cpu_millicores) for container in containers}
    with LimitWatch(wanted, deadline_seconds=ARRIVAL_DEADLINE_SECONDS) as watch:
        start = time.time()
        arm.change(cpu_millicores)
        arrived = watch.arrivals().values()
    settle(cluster, containers)
    after = read_all([controller])[controller]
    return Change(
        arm=arm.name,
        cpu_millicores=cpu_millicores,
        first_seconds=min(arrived) - start,
        last_seconds=max(arrived) - start,
        controller_cpu_seconds=after.cpu_used_seconds - before.cpu_used_seconds,
        load_average=load_average,
    )


def settle(cluster: Cluster, containers: Sequence[Container]) -> None:
    """Waits until no pod has a resize on its way."""
    (namespace,) = {container.namespace for container in containers}

    def resized() -> bool:
        pods = cluster.pods(namespace)
        waiting = [
            pod["metadata"]["name"]
            for pod in pods
            if pod["status"].get("observedGeneration") != pod["metadata"]["generation"]
            or condition(pod, "PodResizePending")
            or condition(pod, "PodResizeInProgress")
        ]
        if waiting:
            raise NotYet(f"{len(waiting)} of {len(pods)} are on their way, such as {waiting[0]}")
        return True

    wait_until(
        resized, what="resizes to be done", deadline_seconds=2 * ARRIVAL_DEADLINE_SECONDS, poll_seconds=0.5
    )


def await_quiet() -> None:
    """Waits a little for a quiet machine. One that stays busy slows both arms; the report has its load."""
    with suppress(DeadlineExceededError):
        wait_until(
            lambda: psutil.cpu_percent(interval=0.5) < QUIET_PERCENT,
            what="a quiet machine",
            deadline_seconds=QUIET_DEADLINE_SECONDS,
            poll_seconds=0,
        )


def idle(controller: Container, seconds: float) -> ControllerIdle:
    """The controller's use over a time in which nothing is asked of it."""
    before = read_all([controller])[controller]
    time.sleep(seconds)  # the window that is measured
    after = read_all([controller])[controller]
    used = after.cpu_used_seconds - before.cpu_used_seconds
    window = after.at_seconds - before.at_seconds
    return ControllerIdle(window, used / window * 1000, after.memory_used_bytes)


def restart(cluster: Cluster, controller: Container) -> Restart:
    """Deletes the controller's pod and waits for its successor."""

    def successor() -> tuple[float, float]:
        for pod in cluster.pods(OPERATOR_NAMESPACE, selector="app.kubernetes.io/component=controller"):
            if pod["metadata"]["name"] != controller.pod and is_ready(pod):
                running = pod["status"]["containerStatuses"][0]["state"]["running"]
                return _epoch(running["startedAt"]), _epoch(
                    (condition(pod, "Ready") or {})["lastTransitionTime"]
                )
        raise NotYet("no other pod is Ready")

    start = time.time()
    cluster.delete(POD, controller.pod, controller.namespace)
    started, ready = wait_until(
        successor, what="the controller's successor", deadline_seconds=120, poll_seconds=0.1
    )
    return Restart(replaced_seconds=time.time() - start, ready_seconds=ready - started)


def _epoch(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
