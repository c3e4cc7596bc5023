"""Noisy tenants among quiet ones that serve their customers, and how these are answered meanwhile."""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from e2e.harness import load as loads
from e2e.harness import tenants
from e2e.harness.cluster import NAMESPACE, TENANT_QUOTA, Cluster, condition
from e2e.harness.controls import Controls, ControlWatch
from e2e.harness.load import Answers, DriverPod, Load
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.served import Tenant, Terms
from e2e.harness.wait import NotYet, wait_until
from e2e.results import Moment, MomentKind
from e2e.tenant.protocol import Burn, Request
from tenantquota.domain import capping

LOG: Final = logging.getLogger(__name__)
NOISE_CORES: Final = 4
"""Each noisy tenant wants so many, whatever the node has."""
HELD_WEIGHT: Final = 2
"""The least of cgroup v1; on v2 it is 1."""
WITHIN_SHARE: Final = "WithinShare"
GONE_WITHIN_SECONDS: Final = 120.0
CAPPED_SECONDS: Final = 4 * capping.AFTER_SECONDS
"""For limits beside latency-sensitive tenants, which come some seconds after weights."""
POLL_SECONDS: Final = 0.2
LEAST_LIMIT_MILLI: Final = capping.REQUESTED_LEAST_MILLI
"""Of who is noisy: each requests less than that."""
REQUEST_MILLISECONDS: Final = 20.0
"""CPU time of an agent's request."""


@dataclass(frozen=True)
class Customers:
    """What one tenant's ask of it, all together."""

    requests_per_second: float
    cpu_milliseconds: float = REQUEST_MILLISECONDS


def terms(suffixes: Sequence[str], of_all: Terms, *, hogs: int) -> dict[str, Terms]:
    """Of a scene's tenants: the quiet ones, which come after the noisy ones, are latency-sensitive."""
    noisy, quiet = suffixes[:hogs], suffixes[hogs:]
    return dict.fromkeys(noisy, of_all) | dict.fromkeys(quiet, replace(of_all, latency_sensitive=True))


def tell(told: Iterable[Tenant], request: Request) -> None:
    """Has all these tenants' agents do something, at once."""

    async def one(tenant: Tenant) -> None:
        async with tenant.customer() as session:
            await session.ask(request)

    async def everyone() -> None:
        await asyncio.gather(*(one(tenant) for tenant in told))

    asyncio.run(everyone())


@dataclass
class Scene:
    """Quiet tenants under load, and noisy ones that make none yet.

    Attributes:
        moments: what happened, in seconds since the start of the load.
    """

    cluster: Cluster
    hogs: Sequence[Tenant]
    victims: Sequence[Tenant]
    load: Load
    agent: NodeAgent
    watch: ControlWatch
    moments: list[Moment] = field(default_factory=list)
    quotas_milli: Mapping[str, int] = field(init=False)
    """CPU limits by tenant, as they are while nobody is held."""

    def __post_init__(self) -> None:
        self.quotas_milli = {name: each.limit_milli for name, each in self.controls().items()}

    def note(self, kind: MomentKind, text: str = "") -> float:
        """Something happens now; the time since the load's start."""
        now = self.load.now
        self.moments.append(Moment(at=now, kind=kind, text=text))
        return now

    @contextmanager
    def noise(self) -> Iterator[None]:
        """As much as the noisy tenants can make."""
        tell(self.hogs, Burn(NOISE_CORES))
        self.note(MomentKind.ONSET)
        try:
            yield
        finally:
            tell(self.hogs, Burn(0))
            self.note(MomentKind.QUIET)

    def enforce(self, enforcement: str) -> None:
        """
        Args:
            enforcement: ``Enforce`` or ``Observe``, for the noisy tenants' quotas.
        """
        for hog in self.hogs:
            self.cluster.patch(TENANT_QUOTA, tenants.QUOTA, hog.name, {"spec": {"enforcement": enforcement}})

    def wait_for(self, kind: MomentKind, deadline_seconds: float) -> float:
        """Until it is seen; how long that took."""
        checks = {
            MomentKind.HELD: self.held,
            MomentKind.FOUND: self.found,
            MomentKind.GIVEN_BACK: self.given_back,
        }
        start = time.monotonic()
        wait_until(
            checks[kind],
            what=f"the noisy tenants: {kind}",
            deadline_seconds=deadline_seconds,
            poll_seconds=POLL_SECONDS,
        )
        self.note(kind)
        return time.monotonic() - start

    def wait_capped(self) -> float:
        """Until the operator has nothing more to do: every noisy tenant has the least limit. How long that
        took."""
        start = time.monotonic()
        wait_until(
            self.all_capped,
            what="limits of who is noisy to be the least",
            deadline_seconds=CAPPED_SECONDS,
            poll_seconds=POLL_SECONDS,
        )
        return time.monotonic() - start

    def controls(self) -> dict[str, Controls]:
        """Of each tenant's container, by the cgroup files."""
        return {item.namespace: controls for item, controls in self.watch.now().items()}

    def capped(self, now: Mapping[str, Controls]) -> set[str]:
        """The tenants whose limit is lower than their quota's."""
        return {name for name, each in now.items() if each.limit_milli < self.quotas_milli[name]}

    def held(self) -> bool:
        """Every noisy tenant has the least weight, and runs idle or is capped, which excludes that; nobody
        else runs idle. Else NotYet."""
        now = self.controls()
        hogs = {hog.name for hog in self.hogs}
        idle = {name for name, each in now.items() if each.idle}
        known = all(each.idle is not None for each in now.values())
        heavy = any(now[hog].weight > HELD_WEIGHT for hog in hogs)
        free = known and hogs - idle - self.capped(now)
        if heavy or idle - hogs or free:
            raise NotYet(f"these are {now}")
        return True

    def all_capped(self) -> bool:
        """Every noisy tenant has the least limit that there is beside latency-sensitive ones; else NotYet."""
        now = self.controls()
        limits = {hog.name: now[hog.name].limit_milli for hog in self.hogs}
        if max(limits.values()) > LEAST_LIMIT_MILLI:
            raise NotYet(f"limits are {limits}")
        return True

    def found(self) -> bool:
        """Every noisy tenant is in the node's report; else NotYet."""
        reported = {each["tenant"] for each in self.agent.report().get("holds", [])}
        if missing := {hog.name for hog in self.hogs} - reported:
            raise NotYet(f"{missing} are not")
        return True

    def given_back(self) -> bool:
        """All weights are those of the pods' requests, which are alike, nobody runs idle, and all have their
        quota's limit; else NotYet."""
        now = self.controls()
        weights = {each.weight for each in now.values()}
        if len(weights) != 1 or min(weights) <= HELD_WEIGHT:
            raise NotYet(f"weights differ or are the least: {now}")
        if any(each.idle for each in now.values()) or self.capped(now):
            raise NotYet(f"some run idle or are capped: {now}")
        return True

    def blamed(self) -> set[str]:
        """The quiet tenants of which a condition or the node's report says that they harm others."""
        told = {victim.name for victim in self.victims if _reason(self.cluster, victim.name) != WITHIN_SHARE}
        reported = {each["tenant"] for each in self.agent.report().get("holds", [])}
        return told | (reported - {hog.name for hog in self.hogs})

    def answers(self, start: float, end: float) -> Answers:
        """Of the requests that were due then, once they are answered."""
        self.load.wait_until(end + loads.ANSWERED_SECONDS)
        return self.load.between(start, end)


def settled(cluster: Cluster) -> bool:
    """No namespace is being deleted, which would be felt; else NotYet."""
    if leaving := [each for each in cluster.objects(NAMESPACE) if "deletionTimestamp" in each["metadata"]]:
        raise NotYet(f"{len(leaving)} are left")
    return True


def _reason(cluster: Cluster, tenant: str) -> str:
    told = condition(cluster.get(TENANT_QUOTA, tenants.QUOTA, tenant), "Isolated") or {}
    return str(told.get("reason", WITHIN_SHARE))


@contextmanager
def scene(
    cluster: Cluster,
    node_agents: dict[str, NodeAgent],
    driver_pod: DriverPod,
    served: Sequence[Tenant],
    *,
    hogs: int,
    customers: Sequence[Customers],
    seconds: float,
) -> Iterator[Scene]:
    """The first of these tenants noisy when told to, the others under load for so long at most.

    Args:
        customers: of each tenant that is not noisy.
    """
    noisy, quiet = served[:hogs], served[hogs:]
    containers = [item for tenant in served for item in cluster.running(tenant.name)]
    agent = the_only(node_agents, {item.node for item in containers})
    targets = [
        loads.target(each, of.requests_per_second, of.cpu_milliseconds)
        for each, of in zip(quiet, customers, strict=True)
    ]
    wait_until(
        lambda: settled(cluster), what="namespaces of before to be gone", deadline_seconds=GONE_WITHIN_SECONDS
    )
    with ControlWatch(containers) as watch, driver_pod.load(targets, seconds) as load:
        made = Scene(cluster, noisy, quiet, load, agent, watch)
        try:
            yield made
        finally:
            made.enforce("Enforce")
