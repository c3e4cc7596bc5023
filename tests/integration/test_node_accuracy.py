"""What the node agent says of workloads of known size, on the real cluster."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.harness.agents import Agent
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import Cluster, Container
from e2e.harness.figures import machine, write_report
from e2e.harness.node_agent import NodeAgent, Scrape
from e2e.harness.readings import cpu_use
from e2e.harness.wait import NotYet, wait_until
from tests.integration.tenant import MI, Tenant

pytestmark = pytest.mark.xdist_group("accuracy")
"""One process runs them all, on one workload: the node has no CPU for a weighty one per process."""

COUNTED_WITHIN_SECONDS = 15
"""Files and processes are counted every ten seconds."""
CPU_USED = "cpu_usage_seconds_total"
CPU_PERCENT = 30
CPU_SECONDS = 30
CPU_WINDOWS_AT_MOST = 3
"""Tried until it gets all that it asks for: where others keep the machine busy it may get less."""
WORKLOAD = {"requests": {"cpu": "250m", "memory": "32Mi"}}
"""Its weight against what else is busy on the machine."""


class Workload:
    """A tenant's agent, and the node agent that watches it."""

    def __init__(self, tenant: Tenant, node_agents: dict[str, NodeAgent]) -> None:
        (self.container,) = tenant.cluster.running(tenant.namespace)
        self.agent: Agent = tenant.agent("agent")
        self.watcher = node_agents[self.container.node]
        self.agent.wait_answering()

    def said(self, what: str, scrape: Scrape | None = None) -> float:
        return (scrape or self.watcher.next_tick()).container(what, self.container)

    def wait_said(self, what: str, value: float) -> None:
        """
        Raises:
            DeadlineExceededError: when the agent doesn't come to say exactly this.
        """

        def so() -> bool:
            said = self.said(what, self.watcher.scrape())
            if said != value:
                counted = NodeCgroups(self.container.node).count([self.container])[self.container]
                raise NotYet(f"it is {said:.0f} by the agent; {counted}")
            return True

        wait_until(so, what=f"{what} of {value:.0f}", deadline_seconds=COUNTED_WITHIN_SECONDS)


@pytest.fixture(scope="module")
def figures(cluster: Cluster) -> Iterator[dict[str, Any]]:
    found: dict[str, Any] = {}
    yield found
    write_report("node_accuracy", {"machine": machine(cluster.version), **found})


@pytest.fixture(scope="module")
def workload(
    cluster: Cluster,
    controller: Container,
    node_agents: dict[str, NodeAgent],
    new_namespace: Callable[[str], str],
) -> Workload:
    tenant = Tenant(cluster, new_namespace("accuracy"))
    tenant.quota("1", "512Mi", requests=WORKLOAD["requests"])
    tenant.start("agent", scratch=True, resources=WORKLOAD)
    workload = Workload(tenant, node_agents)
    wait_until(lambda: workload.said("open_files") > 0, what="it to be followed", deadline_seconds=30)
    return workload


def test_a_third_of_a_core(workload: Workload, figures: dict[str, Any]) -> None:
    """30 % of a core for 30 s, within 2 percentage points; where a busy machine gave less, that is told."""
    cgroups, container = NodeCgroups(workload.container.node), workload.container
    figures["cpu"] = windows = []
    for _ in range(CPU_WINDOWS_AT_MOST):
        workload.agent.burn(1, percent=CPU_PERCENT)
        start, truth = workload.watcher.next_tick(), cgroups.read([container])[container]
        time.sleep(CPU_SECONDS)  # the window that is measured
        end, use = workload.watcher.next_tick(), cpu_use(truth, cgroups.read([container])[container])
        workload.agent.burn(0)
        used = workload.said(CPU_USED, end) - workload.said(CPU_USED, start)
        said = used / (end.tick_seconds - start.tick_seconds) * 100
        windows.append({"asked": CPU_PERCENT, "said": said, "cgroup": use.millicores / 10})
        assert said == pytest.approx(use.millicores / 10, abs=2)
        if use.millicores / 10 == pytest.approx(CPU_PERCENT, abs=1):
            break
    assert windows[-1]["said"] == pytest.approx(CPU_PERCENT, abs=2)


def test_held_memory(workload: Workload, figures: dict[str, Any]) -> None:
    """100 MiB, within 2 MiB."""
    workload.agent.hold(0)
    before = workload.said("memory_usage_bytes")
    workload.agent.hold(100 * MI)
    held = workload.said("memory_usage_bytes") - before
    figures["memory"] = {"asked_bytes": 100 * MI, "said_bytes": held}
    assert held == pytest.approx(100 * MI, abs=2 * MI)


def test_open_files(workload: Workload, figures: dict[str, Any]) -> None:
    """200, exactly. The connection by which the agent is told is one as well while it lasts."""
    cgroups, container = NodeCgroups(workload.container.node), workload.container
    workload.agent.open_files(0)
    before = cgroups.count([container])[container].open_files
    workload.wait_said("open_files", before)
    workload.agent.open_files(200)
    workload.wait_said("open_files", before + 200)
    figures["open_files"] = {"asked": 200, "said": workload.said("open_files") - before}


def test_processes(workload: Workload, figures: dict[str, Any]) -> None:
    """As many as there are, exactly."""
    workload.wait_said("processes", 1)
    for count in (7, 25, 0):
        workload.agent.start_processes(count)
        workload.wait_said("processes", 1 + count)
    figures["processes"] = {"asked": [7, 25, 0], "said": [7, 25, 0]}


def test_written_bytes(workload: Workload, figures: dict[str, Any]) -> None:
    """64 MiB to the disk, within 5 %."""
    before = workload.said("io_written_bytes_total")
    workload.agent.write(64 * MI)
    written = workload.said("io_written_bytes_total") - before
    figures["written"] = {"asked_bytes": 64 * MI, "said_bytes": written}
    assert written == pytest.approx(64 * MI, rel=0.05)


def test_threads_and_limits(workload: Workload) -> None:
    scrape = workload.watcher.next_tick()
    assert workload.said("cpu_limit_cores", scrape) == 1
    assert workload.said("memory_limit_bytes", scrape) == 512 * MI
    cgroups, container = NodeCgroups(workload.container.node), workload.container

    def same() -> bool:
        return workload.said("threads") == cgroups.read([container])[container].threads

    wait_until(same, what="as many threads as the cgroup has", deadline_seconds=COUNTED_WITHIN_SECONDS)
