"""What is still there of tenants that are gone: on the node, in the API server, in metrics, in services."""

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import asyncpg
from kubernetes.utils.quantity import parse_quantity
from redis import RedisError

from e2e.harness import nodes
from e2e.harness.administration import administrator
from e2e.harness.cgroups import NodeCgroups, node_bash
from e2e.harness.cluster import NODE, POD, RESOURCE_QUOTA, TENANT_QUOTA, Cluster, Container, Manifest
from e2e.harness.controller import metrics as controller_metrics
from e2e.harness.footprint import Footprint, Uid, Use, footprint, millicores
from e2e.harness.node_agent import NodeAgent, Scrape
from e2e.harness.services import Services

CPU: Final = "CPU"
MEMORY: Final = "memory"
THREADS: Final = "threads"
OPEN_FILES: Final = "open files"
PROCESSES: Final = "processes, none an orphan"
ZOMBIES: Final = "zombies"
CGROUPS: Final = "cgroup directories"
PODS: Final = "pods"
RESOURCE_QUOTAS: Final = "ResourceQuota status.used"
QUOTAS: Final = "TenantQuota status"
NODE_SERIES: Final = "series of the node agent"
CONTROLLER_SERIES: Final = "series of the controller"
REPORT: Final = "entries of the NodeReport"
SESSIONS: Final = "sessions in Redis and PostgreSQL"
CONNECTIONS: Final = "connections to PostgreSQL"

CPU_TOLERANCE_MILLICORES: Final = 10.0
MEMORY_TOLERANCE_BYTES: Final = 4 << 20
"""The parent of all pods and each of them are read within some milliseconds, in which others go on."""
THREADS_TOLERANCE: Final = 3
ASKED_SECONDS: Final = 2.0
"""The way to the services leads through the kubelet: while that is away, they can't be asked."""
KILL_SCRIPT: Final = """
cd /sys/fs/cgroup
while read -r pid; do
  if grep -q '^NSpid:.*[[:space:]]1$' "/proc/$pid/status"; then kill -KILL "$pid"; fi
done < "$1/cgroup.procs"
"""


@dataclass
class Aftermath:
    """Looks at what some tenants left.

    Attributes:
        names: of the tenants, which are also those of their namespaces.
        uids: of all pods that they ever had.
        before: the node before they came.
    """

    cluster: Cluster
    services: Services
    agent: NodeAgent
    controller: Container
    names: frozenset[str]
    uids: frozenset[Uid]
    before: Footprint
    _last: Footprint = field(init=False)

    def __post_init__(self) -> None:
        self._last = footprint(self.agent.node)

    def look(self) -> Mapping[str, str]:
        """By what it is that must come back, what is still to come; empty texts where nothing is."""
        pods = self.cluster.objects(POD)
        return {
            **self._on_the_node({pod["metadata"]["uid"] for pod in pods}),
            **self._in_the_api_server(pods),
            **asyncio.run(self._in_the_services()),
        }

    def _on_the_node(self, known: Collection[Uid]) -> dict[str, str]:
        last, now = self._last, footprint(self.agent.node)
        self._last = now
        others = (now.pods.keys() | last.pods.keys()) - self.uids
        cpu_millicores = millicores(last, now, others)
        rest = now.besides(others).less(self.before.besides(self.before.pods.keys()))
        strays = {uid for uid in now.pods if uid not in self.before.pods and uid not in known} | (
            self.uids & now.pods.keys()
        )
        processes = sum(now.pods[uid].processes for uid in strays)
        zombies = (now.zombies & last.zombies) - self.before.zombies
        names = ", ".join(sorted({each.name for each in zombies}))
        return {
            CPU: _over(f"{cpu_millicores:.1f}m", cpu_millicores > CPU_TOLERANCE_MILLICORES),
            MEMORY: _over(f"{rest.memory_bytes >> 20} MiB", rest.memory_bytes > MEMORY_TOLERANCE_BYTES),
            THREADS: _over(f"{rest.threads}", rest.threads > THREADS_TOLERANCE),
            OPEN_FILES: _over(f"{rest.open_files}", rest.open_files > 0),
            PROCESSES: _over(f"{processes}", processes > 0),
            ZOMBIES: _over(names, bool(zombies)),
            CGROUPS: _over(f"of {len(strays)} pods", bool(strays)),
        }

    def _in_the_api_server(self, pods: Collection[Manifest]) -> dict[str, str]:
        def mine(objects: Collection[Manifest]) -> list[Manifest]:
            return [each for each in objects if each["metadata"]["namespace"] in self.names]

        left = [pod["metadata"]["name"] for pod in mine(pods)]
        used = {
            f"{name} {amount}"
            for quota in mine(self.cluster.objects(RESOURCE_QUOTA))
            for name, amount in quota.get("status", {}).get("used", {}).items()
            if parse_quantity(amount) != 0
        }
        told = [
            quota
            for quota in mine(self.cluster.objects(TENANT_QUOTA))
            if quota.get("status", {}).get("pods") or quota.get("status", {}).get("hold")
        ]
        report = {key: of for key, of in self.agent.report().items() if key != "metadata"}
        return {
            PODS: _over(f"{len(left)}", bool(left)),
            RESOURCE_QUOTAS: _over(", ".join(sorted(used)), bool(used)),
            QUOTAS: _over(f"{len(told)} tell of pods", bool(told)),
            NODE_SERIES: self._series(self.agent.scrape()),
            CONTROLLER_SERIES: self._series(controller_metrics(self.cluster, self.controller)),
            REPORT: ", ".join(sorted(name for name in self.names if name in json.dumps(report))),
        }

    def _series(self, scrape: Scrape) -> str:
        told = {
            name
            for name, series in scrape.samples.items()
            for labels in series
            if self.names & {value for _, value in labels}
        }
        return ", ".join(sorted(told))

    async def _in_the_services(self) -> dict[str, str]:
        sessions, connections = 0, 0
        try:
            async with asyncio.timeout(ASKED_SECONDS), administrator(self.services) as all_of_it:
                for name in self.names:
                    sessions += sum((await all_of_it.sessions(name)).values())
                    connections += await all_of_it.connections(name)
        except (OSError, asyncpg.PostgresError, RedisError) as error:
            missing = f"a service can't be asked: {error}"
            return {SESSIONS: missing, CONNECTIONS: missing}
        return {
            SESSIONS: _over(f"{sessions}", sessions > 0),
            CONNECTIONS: _over(f"{connections}", connections > 0),
        }


def _over(text: str, is_over: bool) -> str:
    return text if is_over else ""


def free_millicores(cluster: Cluster, node: str) -> int:
    """What of a node's CPU no pod has requested yet."""
    allocatable = parse_quantity(cluster.get(NODE, node)["status"]["allocatable"]["cpu"])
    requested = sum(
        parse_quantity(of["resources"].get("requests", {}).get("cpu", "0"))
        for pod in cluster.objects(POD)
        if pod["spec"].get("nodeName") == node and pod["status"]["phase"] not in {"Succeeded", "Failed"}
        for of in (*pod["spec"]["containers"], *_sidecars(pod["spec"]))
    )
    return int((allocatable - requested) * 1000)


def _sidecars(spec: Manifest) -> list[dict[str, Any]]:
    return [of for of in spec.get("initContainers", []) if of.get("restartPolicy") == "Always"]


def kill(container: Container) -> None:
    """Ends the first process of a container as the kernel does, with no word to it."""
    directory = min(NodeCgroups(container.node).directories(container))
    node_bash(container.node, KILL_SCRIPT, directory)


def restart_kubelet(cluster: Cluster, node: str) -> bool:
    """Only of a node that is a container of this machine; whether it was.

    Raises:
        CgroupError: when it doesn't start again.
    """
    if node not in nodes.local_nodes(cluster.context):
        return False
    node_bash(node, "systemctl restart kubelet")
    return True


def tenants_use(footprint: Footprint, uids: Collection[Uid]) -> Use:
    """What those pods use, and what is left of pods that are gone."""
    return footprint.besides(footprint.pods.keys() - set(uids))
