"""Busy tenants that end, each its own way: for case 7."""

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from e2e.harness import many, recovery, served, tenants
from e2e.harness.cluster import POD, Cluster, Container, Manifest
from e2e.harness.contamination import Contamination
from e2e.harness.crowd import Crowd
from e2e.harness.footprint import Footprint, Watch, millicores
from e2e.harness.node_agent import NodeAgent
from e2e.harness.rollout import roll_out
from e2e.harness.served import AGENT, Tenant
from e2e.harness.services import Services
from e2e.results import Chart, Line, Moment, MomentKind
from e2e.tenant.protocol import Burn, Crash, Hold, Keep, Leave

MIB: Final = 1 << 20
CPU_MILLICORES: Final = 300
MEMORY_BYTES: Final = 96 * MIB
OUT_OF_MEMORY: Final = Hold(2 * MEMORY_BYTES)
HELD_BYTES: Final = 24 * MIB
OPEN_FILES: Final = 40
PROCESSES: Final = 2
SESSIONS: Final = 3
BURNED_PERCENT: Final = 50
"""Of one core, by all tenants together: enough to see it go, and not so much that the node is full."""
FINISHED_SECONDS: Final = 2
PING_SECONDS: Final = 3


class Way(StrEnum):
    """How an agent ends."""

    CRASH = "ends without a word"
    OOM = "uses more memory than it may"
    KILLED = "killed from outside"
    DELETED = "pod deleted without grace"
    LEAVE = "leaves in order"
    STOPPED = "pod deleted"

    @property
    def restart_policy(self) -> str:
        """Those that crash for good stay as they are, the others are started anew when they crash."""
        return {Way.LEAVE: "OnFailure", Way.STOPPED: "Always"}.get(self, "Never")


CRASHES = (Way.CRASH, Way.OOM, Way.KILLED, Way.DELETED)
LEAVES = (Way.STOPPED, Way.LEAVE)


@dataclass
class Platform:
    """Busy tenants, and what was there before them."""

    cluster: Cluster
    services: Services
    people: Crowd
    ways: dict[str, Way]
    """How each tenant's agent is to end, by the tenant's name."""
    made: Sequence[Tenant]
    newcomer: Tenant
    newcomer_millicores: int
    contamination: Contamination
    before: Footprint
    agent: NodeAgent
    watch: Watch
    moments: list[tuple[float, MomentKind, str]] = field(default_factory=list)

    def that(self, *ways: Way) -> list[Tenant]:
        return [tenant for tenant in self.made if self.ways[tenant.name] in ways]

    def staying(self) -> list[Tenant]:
        return self.that(*LEAVES)

    def container(self, tenant: Tenant) -> Container:
        (container,) = self.cluster.running(tenant.name)
        return container

    def enter(self, tenant: Tenant) -> None:
        self.people.enter(tenant, SESSIONS, self.contamination.witness(tenant))

    def uids(self) -> frozenset[str]:
        return frozenset(
            pod["metadata"]["uid"] for tenant in self.made for pod in self.cluster.objects(POD, tenant.name)
        )

    def happened(self, kind: MomentKind, text: str) -> float:
        """Now, and that it is to be seen on the charts."""
        now = time.monotonic()
        self.moments.append((now, kind, text))
        return now


def agent_pod(tenant: Tenant, services: Services, way: Way, request_millicores: int) -> Manifest:
    # a lower request of its own would stay, and leave room on the node
    requests = {"cpu": f"{request_millicores}m", "memory": "16Mi"}
    manifest = served.agent(tenant.name, services, resources={"requests": requests})
    manifest["spec"]["restartPolicy"] = way.restart_policy
    (container,) = manifest["spec"]["containers"]
    container["env"].append({"name": "PING_SECONDS", "value": str(PING_SECONDS)})
    return manifest


def quota(tenant: Tenant, request_millicores: int, limit_millicores: int = CPU_MILLICORES) -> Manifest:
    return tenants.quota(
        tenant.name,
        cpu=f"{limit_millicores}m",
        memory=str(MEMORY_BYTES),
        requests={"cpu": f"{request_millicores}m", "memory": "16Mi"},
        budget={"cpu": "1", "memory": "256Mi", "pods": 2},
        cleanup={"ttlSecondsAfterFinished": FINISHED_SECONDS},
    )


def begin(platform: Platform, request_millicores: int) -> None:
    """Quotas and agents of all but the newcomer, ready and busy, with their canaries and sessions."""
    cluster, services = platform.cluster, platform.services

    def prepare(tenant: Tenant) -> None:
        cluster.apply(quota(tenant, request_millicores), served.credentials(tenant))

    many.each(prepare, platform.made)
    roll_out(
        cluster,
        [
            agent_pod(tenant, services, platform.ways[tenant.name], request_millicores)
            for tenant in platform.made
        ],
    )
    platform.contamination.plant()
    for tenant in platform.made:
        platform.enter(tenant)
        keep_busy(platform, tenant)


def keep_busy(platform: Platform, tenant: Tenant) -> None:
    percent = max(1, BURNED_PERCENT // len(platform.made))
    for request in (Hold(HELD_BYTES), Keep(OPEN_FILES, PROCESSES), Burn(1, percent)):
        platform.people.ask(tenant, request)


def end(platform: Platform, tenant: Tenant) -> None:
    """Ends the tenant's agent its way, and doesn't wait for that."""
    match platform.ways[tenant.name]:
        case Way.CRASH:
            platform.people.tell(tenant, Crash())
        case Way.OOM:
            platform.people.tell(tenant, OUT_OF_MEMORY)
        case Way.KILLED:
            recovery.kill(platform.container(tenant))
        case Way.DELETED:
            path = f"/api/v1/namespaces/{tenant.name}/pods/{AGENT}"
            platform.cluster.request("DELETE", path, {"gracePeriodSeconds": "0"})
        case Way.LEAVE:
            platform.people.tell(tenant, Leave())
        case Way.STOPPED:
            platform.cluster.delete(POD, AGENT, tenant.name)


def charts(platform: Platform) -> list[Chart]:
    """What all tenants used together, the newcomer left out."""
    seen = platform.watch.seen
    if len(seen) < 2:
        return []
    start = seen[0][0]
    newcomers = {pod["metadata"]["uid"] for pod in platform.cluster.objects(POD, platform.newcomer.name)}
    others = platform.before.pods.keys() | newcomers
    moments = [Moment(at=at - start, kind=kind, text=text) for at, kind, text in platform.moments]
    uses = [(at - start, each.besides(others)) for at, each in seen]
    cpu = [
        (at - start, millicores(earlier, later, others))
        for (_, earlier), (at, later) in itertools.pairwise(seen)
    ]

    def chart(title: str, unit: str, *lines: Line) -> Chart:
        return Chart(title=title, unit=unit, lines=list(lines), moments=moments)

    return [
        chart("CPU of all tenants", "m", Line(name="CPU", points=cpu)),
        chart(
            "Memory of all tenants",
            "MiB",
            Line(name="memory", points=[(at, use.memory_bytes / MIB) for at, use in uses]),
        ),
        chart(
            "Threads, processes and open files of all tenants",
            "",
            Line(name="threads", points=[(at, use.threads) for at, use in uses]),
            Line(name="processes", points=[(at, use.processes) for at, use in uses]),
            Line(name="open files", points=[(at, use.open_files) for at, use in uses]),
        ),
    ]
