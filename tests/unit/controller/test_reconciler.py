"""A CPU budget, from reports to requests: the reconciler in front of an API server that writes down what it
is asked for. Pods, reports and the clock are set by hand."""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from tenantquota.api.names import ASKED_AGAIN_ANNOTATION
from tenantquota.controller.acting import Actor
from tenantquota.controller.heartbeats import Heartbeats
from tenantquota.controller.memory import Memory
from tenantquota.controller.moments import later
from tenantquota.controller.reconciler import Reconciler
from tenantquota.controller.views import Views
from tenantquota.domain.cpu_budget import HOLD_SECONDS
from tenantquota.domain.model import PendingResize, Pod
from tenantquota.domain.reporting import HOLD_PERIOD_SECONDS
from tenantquota.domain.reports import NodeReport, Reported
from tenantquota.domain.unread_usage import ASK_AGAIN_SECONDS
from tenantquota.kube.client import Client, UnavailableError
from tenantquota.kube.reading import read_quota
from tenantquota.metrics import ControllerMetrics
from tests.unit.domain.builders import MI, container, held, pod, res

START = "2026-01-01T00:00:00.000000Z"
IN_FORCE = res(500, 128, 50, 32)
SPEC: dict[str, Any] = {
    "container": {
        "limits": {"cpu": "500m", "memory": "128Mi"},
        "requests": {"cpu": "50m", "memory": "32Mi"},
    },
    "budget": {"cpu": "600m"},
}


@dataclass
class World:
    """The API server, the nodes and the clock; it outlives the controllers."""

    enforcement: str = "Enforce"
    period_seconds: float = 30
    seconds: float = 0.0
    pods: dict[str, Pod] = field(
        default_factory=lambda: {
            name: held(IN_FORCE, declared={"agent": IN_FORCE}, name=name) for name in ("a", "b", "light")
        }
    )
    status: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Last part of the path, and body."""
    resizes_fail: bool = False
    unreachable: str = ""
    """The pod of which nothing can be written but its resources."""
    wanted: dict[str, int] = field(default_factory=lambda: {"a": 900, "b": 900, "light": 50})

    def __post_init__(self) -> None:
        self.start_controller()

    def start_controller(self) -> None:
        """One that knows nothing but what the API server shows."""
        self.views = Views({"acme": ()}, {"acme": ()}, {}, {})
        client = cast(Client, self)
        self.reconciler = Reconciler(
            client,
            Actor(client, asyncio.Semaphore(10)),
            self.views,
            Memory(),
            Heartbeats(self.monotonic, self.monotonic),
            ControllerMetrics(CollectorRegistry()),
            frozenset(),
            self.monotonic,
            lambda: later(START, self.seconds),
        )

    def monotonic(self) -> float:
        return self.seconds

    async def request(self, method: str, path: str, body: Any = None, **_: Any) -> dict[str, Any]:
        what = path.rpartition("/")[2]
        if what == self.unreachable or (what == "resize" and self.resizes_fail):
            raise UnavailableError("no answer")
        self.requests.append((what, body))
        if what == "status":
            self.status, self.version = body["status"], self.version + 1
            return self._quota()
        if what == "resize":
            return {"metadata": {"generation": self._resize(path.split("/")[-2], body)}}
        return {}

    def _resize(self, name: str, body: Any) -> int:
        """The kubelet does it at once."""
        (container,) = body["spec"]["containers"]
        milli = int(container["resources"]["limits"]["cpu"].removesuffix("m"))
        pod = self.pods[name]
        spec = replace(IN_FORCE, cpu_limit_milli=milli)
        generation = pod.generation + 1
        self.pods[name] = replace(
            pod,
            containers=(replace(pod.containers[0], spec=spec, actual=spec),),
            generation=generation,
            observed_generation=generation,
        )
        return generation

    def _quota(self) -> dict[str, Any]:
        return {
            "metadata": {
                **{"namespace": "acme", "name": "q", "uid": "uid-q"},
                **{"generation": 1, "resourceVersion": str(self.version)},
            },
            "spec": SPEC | {"enforcement": self.enforcement},
            "status": self.status,
        }

    def limits(self) -> dict[str, int | None]:
        return {name: pod.containers[0].spec.cpu_limit_milli for name, pod in self.pods.items()}

    def report(self) -> NodeReport:
        found = {
            (pod.uid, "agent"): Reported(limit, 128 * MI, min(self.wanted[name], limit or 0), 20 * MI)
            for (name, pod), limit in zip(self.pods.items(), self.limits().values(), strict=True)
        }
        return NodeReport(
            "n1", later(START, self.seconds), self.seconds, self.period_seconds, frozenset({"acme"}), found
        )

    async def look(self, after_seconds: float = 0.0) -> float | None:
        """The agent reports, the watches show everything, and the controller looks."""
        self.seconds += after_seconds
        cast(dict[str, Any], self.views.reports)["n1"] = [self.report()]
        return await self.look_without_report()

    async def look_without_report(self, after_seconds: float = 0.0) -> float | None:
        self.seconds += after_seconds
        cast(dict[str, Any], self.views.pods)["acme"] = list(self.pods.values())
        cast(dict[str, Any], self.views.quotas)["acme"] = [read_quota(self._quota())]
        return await self.reconciler.reconcile("acme")

    async def held(self) -> None:
        await self.look()
        await self.look(1)
        assert self.limits() == {"a": 260, "b": 260, "light": 500}


async def test_the_hold_is_in_the_status_before_any_limit_follows() -> None:
    world = World()
    await world.look()
    assert [what for what, _ in world.requests][:3] == ["status", "resize", "resize"]
    noted = world.requests[0][1]["status"]["hold"]
    assert {each["pod"]: each["newLimit"] for each in noted["containers"]} == {"a": "260m", "b": "260m"}
    assert world.status["phase"] == "Throttled"
    reasons = [body["reason"] for what, body in world.requests if what == "events"]
    assert reasons == ["CpuSizedDown", "CpuOverBudget"]


async def test_killed_between_the_two_its_successor_goes_on() -> None:
    world = World()
    world.resizes_fail = True
    await world.look()
    noted = world.status["hold"]
    world.resizes_fail = False
    world.start_controller()
    await world.look(2)
    assert world.limits() == {"a": 260, "b": 260, "light": 500}
    assert world.status["hold"] == noted


async def test_while_it_is_held_only_the_expiry_is_written() -> None:
    world = World()
    await world.held()
    world.requests.clear()
    before = world.status["hold"]
    for _ in range(6):
        again_seconds = await world.look(5)
        assert again_seconds is not None
        assert again_seconds < HOLD_SECONDS / 2
    assert {what for what, _ in world.requests} == {"status"}
    assert len(world.requests) <= 4, "not each time"
    assert world.status["hold"] | {"expires": ""} == before | {"expires": ""}
    assert world.status["hold"]["expires"] > later(START, world.seconds)


async def test_given_back_step_by_step_also_by_a_successor() -> None:
    world = World()
    await world.held()
    world.wanted = dict.fromkeys(world.wanted, 10)
    world.start_controller()
    seen = []
    for _ in range(12):
        await world.look(5)
        seen.append(world.limits()["a"])
    assert seen[0] == 260, "not at once"
    assert seen[-1] == 500
    assert world.status["phase"] == "Recovering"
    for _ in range(12):
        await world.look(10)
    assert (world.status["phase"], world.status["hold"]) == ("Normal", None)


async def test_without_reports_it_ends_within_its_expiry() -> None:
    world = World()
    await world.held()
    stale_after = 3 * world.report().period_seconds
    await world.look_without_report(stale_after - 1)
    assert world.limits()["a"] == 260
    for _ in range(4):
        await world.look_without_report(HOLD_SECONDS / 3)
    assert world.limits() == {"a": 500, "b": 500, "light": 500}


@pytest.mark.parametrize("held_seconds", range(20))
async def test_no_hold_outlives_its_nodes_agent_by_more_than_30_seconds(held_seconds: int) -> None:
    world = World(period_seconds=HOLD_PERIOD_SECONDS)
    await world.held()
    again_seconds = await world.look()
    for _ in range(held_seconds):
        again_seconds = await world.look(1)
    died = world.seconds
    while world.limits()["a"] == 260:
        again_seconds = await world.look_without_report(again_seconds or 60)
    assert world.seconds - died <= 30


async def test_observe_writes_the_same_hold_and_resizes_nobody() -> None:
    enforcing, observing = World(), World(enforcement="Observe")
    for world in (enforcing, observing):
        for _ in range(5):
            await world.look(3)
    assert observing.status["hold"] == enforcing.status["hold"]
    assert "resize" not in {what for what, _ in observing.requests}
    (decision,) = observing.status["decisions"]
    assert (decision["rule"], decision["mode"], decision["outcome"]) == (
        "CpuSizedDown",
        "Observe",
        "Observed",
    )


def unread() -> dict[str, Pod]:
    """A pod for whose memory limit the kubelet can't read what is in use."""
    pending = PendingResize("Error", 'cannot decrease memory limits: missing container "agent" memory usage')
    asked = container(IN_FORCE, replace(IN_FORCE, memory_limit_bytes=None), begun_anew=True)
    return {"a": pod(asked, declared={"agent": IN_FORCE}, tenant="acme", name="a", pending=pending)}


async def test_the_kubelet_is_asked_again_once_a_second() -> None:
    world = World(pods=unread())
    for after_seconds, times in ((0, 1), (0.5, 1), (0.5, 2), (1, 3)):
        assert await world.look_without_report(after_seconds) == ASK_AGAIN_SECONDS
        asked = [body["metadata"] for what, body in world.requests if what == "a"]
        assert len(asked) == times
    assert {each["annotations"][ASKED_AGAIN_ANNOTATION] for each in asked} == {
        later(START, seconds) for seconds in (0, 1, 2)
    }
    assert {each["uid"] for each in asked} == {"uid-a"}


async def test_a_resize_that_was_just_sent_is_no_reason_to_ask() -> None:
    world = World()
    await world.look()
    resized, refused = world.pods["a"], unread()["a"]
    assert resized.generation > 1
    (agent,) = resized.containers
    limited = replace(agent.spec, memory_limit_bytes=None)
    agent = replace(agent, actual=limited, begun_anew=True)
    world.pods["a"] = replace(resized, containers=(agent,), pending=refused.pending)
    await world.look(0.9)
    assert "a" not in [what for what, _ in world.requests]
    await world.look(0.1)
    assert "a" in [what for what, _ in world.requests]


async def test_who_observes_asks_nobody() -> None:
    world = World(enforcement="Observe", pods=unread())
    assert await world.look_without_report() is None
    assert "a" not in [what for what, _ in world.requests]


async def test_a_kubelet_that_cannot_be_asked_holds_up_nothing(caplog: pytest.LogCaptureFixture) -> None:
    world = World(pods=unread(), unreachable="a")
    await world.look_without_report()
    assert world.status["phase"] == "Normal"
    assert "pod acme/a: no answer" in caplog.text


async def test_each_resize_is_logged_and_closed_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tenantquota.audit")
    world = World()
    await world.look()
    for _ in range(5):
        await world.look(2)
    records = [record.__dict__["audit"] for record in caplog.records]
    assert [(each["pod"], each["outcome"], each["correlationId"]) for each in records] == [
        ("a", "Applied", "uid-a-2"),
        ("b", "Applied", "uid-b-2"),
        ("a", "InForce", "uid-a-2"),
        ("b", "InForce", "uid-b-2"),
    ]
    assert records[2]["read"] == {"cpu": "260m", "memory": "128Mi"}
