"""Case 7, recovery and cleanup: half of the tenants crash, the others leave in order, and all that they had
is free again: on the node, in the API server, in metrics and reports, in the services.

What crashes does so in four ways: the agent ends without a word, the kernel kills it for want of memory or by
signal, its pod is deleted without grace. Meanwhile the node's kubelet is restarted; of more than ten tenants
the others end once it is back.
"""

import asyncio
import itertools
import time
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from websockets.exceptions import WebSocketException

from e2e.harness import canaries, footprint, recovery, served
from e2e.harness.administration import administrator
from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import POD, Cluster, Container, Manifest, condition, is_ready
from e2e.harness.contamination import Contamination
from e2e.harness.crowd import crowd
from e2e.harness.departures import (
    CPU_MILLICORES,
    CRASHES,
    LEAVES,
    MEMORY_BYTES,
    OUT_OF_MEMORY,
    Platform,
    Way,
    agent_pod,
    begin,
    charts,
    end,
    keep_busy,
    quota,
)
from e2e.harness.figures import machine
from e2e.harness.footprint import Watch
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.readings import Reading
from e2e.harness.recording import About
from e2e.harness.recovery import Aftermath
from e2e.harness.served import AGENT, Tenant
from e2e.harness.services import Services
from e2e.harness.wait import NotYet, wait_until
from e2e.results import MomentKind, Recorder
from e2e.tenant.protocol import Crash, Recall, Request

CASE = About(
    7,
    "Recovery and cleanup",
    "half of the tenants crash, the others leave in order, the kubelet is restarted meanwhile;"
    " all that they had must be free again",
)
DEFAULT_TENANTS = [10]
NIGHTLY_TENANTS = [10, 25, 50]
BACK_WITHIN_SECONDS = 30
"""The specification's bound for all of it."""
GOAL_SECONDS = 10
FREE_PART = 0.9
"""Of what is left of the node's CPU, what the tenants request: a newcomer finds no room in the rest."""
WITHOUT_KUBELET = 10
"""Tenants that end while the kubelet is away. One that starts first waits 3.1 s for each container that ended
without it (decision 36): among fifty tenants most of a minute."""
SHORT_DEADLINE_SECONDS = 60
POLL_SECONDS = 0.25


@pytest.fixture(scope="module")
def platform(
    cluster: Cluster,
    services: Services,
    controller: Container,
    node_agents: dict[str, NodeAgent],
    tenant_count: int,
    record: Recorder,
) -> Iterator[Platform]:
    """Tenants that use CPU, memory, files and processes, with sessions, context and rows; together they leave
    no room on the node for the newcomer, who isn't there yet."""
    agent = the_only(node_agents, {controller.node})
    suffixes = [f"t{number:02d}" for number in range(tenant_count)]
    with served.admitted(cluster, services, "case7", *suffixes, "new") as admitted, crowd() as people:
        *made, newcomer = admitted
        half = (tenant_count + 1) // 2
        ways = [*itertools.islice(itertools.cycle(CRASHES), half)]
        ways += itertools.islice(itertools.cycle(LEAVES), tenant_count - half)
        before = footprint.footprint(agent.node)
        request = int(recovery.free_millicores(cluster, agent.node) * FREE_PART) // tenant_count
        platform = Platform(
            cluster=cluster,
            services=services,
            people=people,
            ways={tenant.name: way for tenant, way in zip(made, ways, strict=True)},
            made=made,
            newcomer=newcomer,
            newcomer_millicores=request * tenant_count // 2,
            contamination=Contamination(made),
            before=before,
            agent=agent,
            watch=Watch(agent.node),
        )
        with platform.watch.running():
            begin(platform, request)
            yield platform
            record.charts.extend(charts(platform))
            record.figures["machine"] = machine(cluster.version)
            record.figures["ways"] = platform.ways


def test_an_agent_that_crashes_comes_back_within_its_limits_and_serves(
    platform: Platform, record: Recorder
) -> None:
    """An agent that crashes, or is killed for want of memory, serves again within its limits."""
    crashes: tuple[Request, ...] = (Crash(), OUT_OF_MEMORY)
    ends = dict(zip(platform.staying(), crashes, strict=False))
    before = {tenant: platform.container(tenant) for tenant in ends}
    limits = {tenant: limits_of(container) for tenant, container in before.items()}
    start = platform.happened(MomentKind.CRASHED, f"{len(ends)} agents, to be started anew")
    for tenant, request in ends.items():
        platform.people.tell(tenant, request)
    for tenant in ends:
        platform.people.ended(tenant)
        platform.people.leave(tenant)
        wait_until(
            partial(answers_again, platform, tenant),
            what=f"an answer of {tenant.name}",
            deadline_seconds=SHORT_DEADLINE_SECONDS,
            poll_seconds=POLL_SECONDS,
        )
    seconds = platform.happened(MomentKind.BACK, "they serve again") - start
    for tenant, container in before.items():
        again = platform.container(tenant)
        assert (again.pod, again.restarts) == (container.pod, container.restarts + 1)
        assert limits_of(again) == limits[tenant] == (CPU_MILLICORES, MEMORY_BYTES)
        platform.enter(tenant)
        keep_busy(platform, tenant)
    record.bound(
        "agents that crashed serve again",
        seconds,
        "s",
        at_most=BACK_WITHIN_SECONDS,
        goal=GOAL_SECONDS,
    )


def limits_of(container: Container) -> tuple[int | None, int | None]:
    reading: Reading = NodeCgroups(container.node).read([container])[container]
    return reading.cpu_limit_millicores, reading.memory_limit_bytes


def answers_again(platform: Platform, tenant: Tenant) -> bool:
    """It answers, with nothing in its memory and all of its context in Redis."""
    witness = platform.contamination.witness(tenant)

    async def ask() -> dict[str, Any]:
        async with tenant.customer(witness=witness) as session:
            return dict(await session.ask(Recall(canaries.CANARY)))

    try:
        return asyncio.run(ask()) == {"memory": None, "redis": tenant.canary}
    except (OSError, WebSocketException) as error:
        raise NotYet(str(error)) from error


def test_sessions_of_customers_that_vanish_end(platform: Platform, record: Recorder) -> None:
    """Sessions whose connection is cut, or goes silent, end in both stores while their agent goes on."""
    *_, silent, cut = platform.staying()
    platform.people.cut(cut)
    platform.people.fall_silent(silent)
    start = time.monotonic()
    restarts = {tenant: platform.container(tenant) for tenant in (silent, cut)}

    async def sessions(tenant: Tenant) -> int:
        async with administrator(platform.services) as all_of_it:
            return sum((await all_of_it.sessions(tenant.name)).values())

    for tenant, what in ((cut, "connection was cut"), (silent, "network broke")):

        def none(tenant: Tenant = tenant) -> bool:
            if left := asyncio.run(sessions(tenant)):
                raise NotYet(f"{left} are left")
            return True

        wait_until(
            none, what=f"the end of sessions of {tenant.name}", deadline_seconds=SHORT_DEADLINE_SECONDS
        )
        record.bound(
            f"sessions end whose {what}",
            time.monotonic() - start,
            "s",
            at_most=BACK_WITHIN_SECONDS,
            goal=GOAL_SECONDS,
        )
    assert restarts == {tenant: platform.container(tenant) for tenant in (silent, cut)}
    for tenant in (silent, cut):
        platform.people.leave(tenant)
        platform.enter(tenant)


def test_a_newcomer_finds_no_room_beside_them(platform: Platform) -> None:
    """A new tenant that needs half of what the others have waits."""
    newcomer = platform.newcomer
    platform.cluster.apply(
        quota(newcomer, platform.newcomer_millicores, 1000),
        served.credentials(newcomer),
        agent_pod(newcomer, platform.services, Way.STOPPED, platform.newcomer_millicores),
    )

    def refused() -> Manifest | None:
        pod = platform.cluster.get(POD, AGENT, newcomer.name)
        return condition(pod, "PodScheduled")

    said = wait_until(refused, what="the scheduler's word", deadline_seconds=SHORT_DEADLINE_SECONDS)
    assert (said["status"], said.get("reason")) == ("False", "Unschedulable")
    assert "Insufficient cpu" in said["message"]


@pytest.fixture(scope="module")
def ended(platform: Platform, controller: Container, record: Recorder) -> tuple[float, Aftermath]:
    """All tenants have ended, each its way, and the kubelet was restarted meanwhile: when the last one was
    told to, and what looks at what is left."""
    platform.contamination.search(platform.services)
    aftermath = Aftermath(
        platform.cluster,
        platform.services,
        platform.agent,
        controller,
        frozenset(tenant.name for tenant in platform.made),
        platform.uids(),
        platform.before,
    )
    there = aftermath.look()
    unseen = {what for what, left in there.items() if not left}
    assert unseen <= {recovery.ZOMBIES, recovery.CONTROLLER_SERIES}, "what isn't seen can't be missed"
    platform.happened(MomentKind.CRASHED, "half crash, the others leave")
    meanwhile, others = waves(platform)
    with ThreadPoolExecutor() as threads:
        kubelet = threads.submit(recovery.restart_kubelet, platform.cluster, platform.agent.node)
        for tenant in meanwhile:
            end(platform, tenant)
        last = time.monotonic()
        if not kubelet.result():
            record.notes.append("the kubelet was not restarted: the node is no container of this machine")
    if others:
        wait_until(
            partial(ends_are_told, platform, meanwhile),
            what="the kubelet to tell of agents that ended without it",
            deadline_seconds=SHORT_DEADLINE_SECONDS,
        )
        told_seconds = time.monotonic() - last
        record.bound(
            f"a kubelet that starts tells what it missed of {WITHOUT_KUBELET} tenants",
            told_seconds,
            "s",
            at_most=BACK_WITHIN_SECONDS,
        )
        for tenant in others:
            end(platform, tenant)
        last = time.monotonic()
    return last, aftermath


def waves(platform: Platform) -> tuple[list[Tenant], list[Tenant]]:
    """Those that end while the kubelet is away, half of whom crash, and those that end once it is back."""
    crash, leave = platform.that(*CRASHES), platform.that(*LEAVES)
    part = WITHOUT_KUBELET // 2
    return crash[:part] + leave[:part], crash[part:] + leave[part:]


def ends_are_told(platform: Platform, tenants: Collection[Tenant]) -> bool:
    """By the API server, of those that crash for good; else NotYet."""
    ended = {tenant.name for tenant in tenants} & {
        tenant.name for tenant in platform.that(Way.CRASH, Way.OOM)
    }
    running = {
        pod["metadata"]["namespace"]
        for pod in platform.cluster.objects(POD)
        if pod["status"]["phase"] == "Running"
    }
    if untold := ended & running:
        raise NotYet(f"{len(untold)} are told to run")
    return True


def test_all_is_as_it_was_before_they_came(
    platform: Platform, ended: tuple[float, Aftermath], record: Recorder
) -> None:
    """Use, quotas, series, reports, sessions: back to before, with no zombie, orphan or leftover."""
    last, aftermath = ended
    back: dict[str, float] = {}

    def all_at_once() -> bool:
        found = aftermath.look()
        seconds = time.monotonic() - last
        for what, left in found.items():
            if not left:
                back.setdefault(what, seconds)
        missing = [f"{what}: {left}" for what, left in found.items() if left]
        if missing:
            raise NotYet("; ".join(missing))
        return True

    try:
        wait_until(
            all_at_once,
            what="all to be as before",
            deadline_seconds=SHORT_DEADLINE_SECONDS,
            poll_seconds=POLL_SECONDS,
        )
        whole = platform.happened(MomentKind.BACK, "all as before") - last
    finally:
        record.figures["back_seconds"] = {what: round(seconds, 2) for what, seconds in back.items()}
    for what, seconds in back.items():
        record.bound(f"back: {what}", seconds, "s", at_most=BACK_WITHIN_SECONDS, goal=GOAL_SECONDS)
    record.bound("back: all at once", whole, "s", at_most=BACK_WITHIN_SECONDS, goal=GOAL_SECONDS)


def test_agents_that_left_closed_their_sessions_in_order(
    platform: Platform, ended: tuple[float, Aftermath]
) -> None:
    """Customers of an agent that leaves are told so, those of one that crashes aren't."""
    for tenant in platform.staying():
        assert {code for code, _ in platform.people.ended(tenant)} == {1001}
    for tenant in platform.that(Way.CRASH, Way.OOM, Way.KILLED):
        assert not {code for code, _ in platform.people.ended(tenant)} & {1000, 1001}


def test_a_newcomer_gets_the_freed_capacity(
    platform: Platform, ended: tuple[float, Aftermath], record: Recorder
) -> None:
    """The new tenant's agent runs, and serves, on what the others gave back."""
    last, _ = ended
    newcomer = platform.newcomer

    def served_there() -> bool:
        pod = platform.cluster.get(POD, AGENT, newcomer.name)
        if not is_ready(pod):
            raise NotYet(f"it is {pod['status']['phase']}")
        return True

    wait_until(served_there, what="the newcomer to be ready", deadline_seconds=SHORT_DEADLINE_SECONDS)
    ready = condition(platform.cluster.get(POD, AGENT, newcomer.name), "Ready")
    assert ready is not None
    asyncio.run(newcomer.plant())
    record.bound(
        "a new tenant runs on the freed capacity",
        max(0.0, seconds_since(last, ready["lastTransitionTime"])),
        "s",
        at_most=BACK_WITHIN_SECONDS,
        goal=GOAL_SECONDS,
    )


def test_nothing_of_them_is_in_the_services_and_nothing_was_mixed(
    platform: Platform, ended: tuple[float, Aftermath], record: Recorder
) -> None:
    """No canary with another tenant, ever; no key and no row of a tenant that was let out."""
    services, names = platform.services, {tenant.name for tenant in platform.made}
    platform.contamination.search(services, answering=())
    platform.contamination.note(record)
    asyncio.run(served.expel(services, platform.made))

    async def left() -> list[str]:
        async with administrator(services) as all_of_it:
            found = [*await all_of_it.keys(names), *await all_of_it.rows()]
            return [f"{each.place} of {each.tenant}" for each in found if each.tenant in names]

    remains = asyncio.run(left())
    record.bound("keys and rows of tenants that were let out", len(remains), "", at_most=0)


def seconds_since(moment: float, rfc3339: str) -> float:
    """From a time.monotonic() of this process to what the API server wrote, in whole seconds."""
    return datetime.fromisoformat(rfc3339).timestamp() - (time.time() - time.monotonic() + moment)
