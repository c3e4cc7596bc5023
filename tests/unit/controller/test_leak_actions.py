"""What is done about leaks, from reports to requests: the reconciler in front of an API server that writes
down what it is asked for."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, cast

import pytest

from tenantquota.api.leaks import Kind
from tenantquota.controller.moments import later
from tenantquota.domain.leak_restarts import FIRST_WAIT_SECONDS
from tenantquota.domain.model import Pod
from tenantquota.domain.quantities import parse_memory_bytes
from tenantquota.domain.reports import NodeReport, Reported, ReportedLeak
from tenantquota.kube.client import RefusedError, UnavailableError
from tests.unit.controller.test_reconciler import START, World
from tests.unit.domain.builders import MI, held, res

NORMAL = res(500, 512, 50, 32)


def agents(*names: str, controlled: bool = True) -> dict[str, Pod]:
    return {
        name: held(NORMAL, declared={"agent": NORMAL}, name=name, controlled=controlled) for name in names
    }


@dataclass
class Leaking(World):
    """Its pods use 100 MiB, and those in ``leaking`` leak."""

    pods: dict[str, Pod] = field(default_factory=lambda: agents("a", "b"))
    action: str = "Contain"
    used: dict[str, int] = field(default_factory=dict)
    """In MiB."""
    leaking: dict[str, Kind] = field(default_factory=dict)
    evictions: list[str] = field(default_factory=list)
    disruption_budget: bool = False

    async def request(self, method: str, path: str, body: Any = None, **fields: Any) -> dict[str, Any]:
        if path.endswith("/eviction"):
            name = path.split("/")[-2]
            assert body["deleteOptions"] == {"preconditions": {"uid": self.pods[name].uid}}
            if self.disruption_budget:
                raise RefusedError("it would violate the pod's disruption budget")
            self.evictions.append(name)
        return await super().request(method, path, body, **fields)

    def _resize(self, name: str, body: Any) -> int:
        (container,) = body["spec"]["containers"]
        size = parse_memory_bytes(container["resources"]["limits"]["memory"])
        pod = self.pods[name]
        spec = replace(NORMAL, memory_limit_bytes=size)
        generation = pod.generation + 1
        self.pods[name] = replace(
            pod,
            containers=(replace(pod.containers[0], spec=spec, actual=spec),),
            generation=generation,
            observed_generation=generation,
        )
        return generation

    def _quota(self) -> dict[str, Any]:
        quota = super()._quota()
        limits = {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "50m", "memory": "32Mi"}}
        quota["spec"] = {
            "container": limits,
            "leaks": {"action": self.action},
            "enforcement": self.enforcement,
        }
        return quota

    def report(self) -> NodeReport:
        found = {
            (pod.uid, "agent"): Reported(
                500, pod.containers[0].spec.memory_limit_bytes, 0, self.used.get(name, 100) * MI
            )
            for name, pod in self.pods.items()
        }
        leaks = tuple(
            ReportedLeak(f"uid-{name}", "agent", kind, START, None, "it grew", 60 * MI)
            for name, kind in self.leaking.items()
            if name in self.pods
        )
        now = later(START, self.seconds)
        return NodeReport("n1", now, self.seconds, 30, frozenset({"acme"}), found, leaks=leaks)

    def memory(self) -> dict[str, int]:
        return {
            name: (pod.containers[0].spec.memory_limit_bytes or 0) // MI for name, pod in self.pods.items()
        }

    def asked_for(self) -> list[str]:
        return [what for what, _ in self.requests]

    def restart(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status["leaks"]["restart"]
        return found


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """The audit log, filled as it is written."""
    found: list[dict[str, Any]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(cast(Any, record).audit)

    logger, handler = logging.getLogger("tenantquota.audit"), Handler()
    caplog.set_level(logging.INFO, logger.name)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


class TestContain:
    async def test_the_status_comes_first_and_the_records_tell_all(
        self, records: list[dict[str, Any]]
    ) -> None:
        world = Leaking(leaking={"a": Kind.MEMORY_SLOW})
        await world.look()
        assert world.asked_for()[:2] == ["status", "resize"]
        assert world.memory() == {"a": 132, "b": 512}
        await world.look(1)
        world.leaking = {}
        await world.look(10)
        assert world.memory() == {"a": 512, "b": 512}
        await world.look(1)
        assert world.status["leaks"] is None
        assert [(each["rule"], each["outcome"]) for each in records] == [
            ("LeakContained", "Applied"),
            ("LeakContained", "InForce"),
            ("LeakReleased", "Applied"),
            ("LeakReleased", "InForce"),
        ]
        for each, old, new in ((records[0], "512Mi", "132Mi"), (records[2], "132Mi", "512Mi")):
            assert (each["old"]["limits"]["memory"], each["new"]["limits"]["memory"]) == (old, new)
            assert each["window"]["leak"] == {
                **{"kind": "memory_slow", "since": START, "ratePerMinute": 60 * MI, "evidence": "it grew"}
            }
        assert [body["reason"] for what, body in world.requests if what == "events"] == [
            "LeakContained",
            "LeakFound",
            "LeakReleased",
            "NoLeak",
        ]

    async def test_usage_that_goes_up_and_down_changes_the_limit_once_in_a_while(self) -> None:
        world = Leaking(leaking={"a": Kind.MEMORY_FAST})
        changed = []
        for second in range(60):
            world.used["a"] = 300 - 5 * second + 20 * (second % 3)
            before = world.memory()["a"]
            await world.look(1)
            if world.memory()["a"] != before:
                assert world.used["a"] < world.memory()["a"] < before
                changed.append(second)
        assert len(changed) > 2
        assert all(later - before >= 5 for before, later in pairwise(changed))

    async def test_a_killed_controller_goes_on(self) -> None:
        world = Leaking(leaking={"a": Kind.MEMORY_FAST})
        await world.look()
        world.start_controller()
        world.requests.clear()
        await world.look(1)
        assert "resize" not in world.asked_for()
        world.leaking = {}
        world.start_controller()
        await world.look(10)
        assert world.memory()["a"] == 512

    async def test_killed_between_status_and_resize(self, records: list[dict[str, Any]]) -> None:
        world = Leaking(leaking={"a": Kind.MEMORY_FAST}, resizes_fail=True)
        await world.look()
        assert world.memory()["a"] == 512
        world.start_controller()
        world.resizes_fail = False
        await world.look(1)
        assert world.memory()["a"] == 132
        world.leaking, world.resizes_fail = {}, True
        await world.look(10)
        world.start_controller()
        world.resizes_fail = False
        await world.look(1)
        assert world.memory()["a"] == 512
        assert {each["rule"] for each in records} == {"LeakContained", "LeakReleased"}

    async def test_observe_records_it_once_and_changes_nothing(self, records: list[dict[str, Any]]) -> None:
        world = Leaking(enforcement="Observe", leaking={"a": Kind.MEMORY_FAST})
        for _ in range(5):
            await world.look(5)
        assert "resize" not in world.asked_for()
        assert [(each["rule"], each["outcome"], each["mode"]) for each in records] == [
            ("LeakContained", "Observed", "Observe")
        ]

    async def test_a_report_that_comes_no_more_holds_nothing(self) -> None:
        world = Leaking(leaking={"a": Kind.MEMORY_FAST})
        await world.look()
        assert await world.look_without_report(80) == 10.0
        assert world.memory()["a"] == 132
        await world.look_without_report(11)
        assert world.memory()["a"] == 512


class TestRestart:
    async def test_it_is_noted_then_asked_then_read_back(self, records: list[dict[str, Any]]) -> None:
        world = Leaking(action="Restart", leaking={"a": Kind.PROCESSES})
        await world.look()
        assert world.asked_for()[:3] == ["status", "eviction", "status"]
        assert world.requests[0][1]["status"]["leaks"]["restart"]["outcome"] == "Asked"
        assert world.restart()["outcome"] == "Applied"
        await world.look(1)
        assert world.evictions == ["a"]
        del world.pods["a"]
        await world.look(1)
        assert world.restart()["outcome"] == "Evicted"
        await world.look(1)
        assert [(each["rule"], each["outcome"]) for each in records] == [
            ("LeakRestarted", "Applied"),
            ("LeakRestarted", "Evicted"),
        ]
        assert len({each["correlationId"] for each in records}) == 1
        reasons = [body["reason"] for what, body in world.requests if what == "events"]
        assert reasons == ["LeakRestarted", "LeakFound", "NoLeak"]

    async def test_a_new_controller_waits_as_long_as_the_last_one(self) -> None:
        world = Leaking(action="Restart", leaking={"a": Kind.PROCESSES, "b": Kind.PROCESSES})
        await world.look()
        del world.pods["a"]
        world.start_controller()
        again = await world.look(FIRST_WAIT_SECONDS - 1)
        assert (world.evictions, again) == (["a"], 1)
        await world.look(1)
        assert world.evictions == ["a", "b"]
        assert world.restart()["waitSeconds"] == 2 * FIRST_WAIT_SECONDS

    async def test_a_disruption_budget_is_waited_for(self, records: list[dict[str, Any]]) -> None:
        world = Leaking(
            action="Restart", pods=agents("a"), leaking={"a": Kind.MEMORY_FAST}, disruption_budget=True
        )
        for seconds in (0, 5, 5):
            await world.look(seconds)
        assert [each["outcome"] for each in records] == ["Refused"] * 2
        assert world.restart()["retrySeconds"] == 20
        condition = next(each for each in world.status["conditions"] if each["type"] == "LeakFree")
        assert "tried again: it would violate the pod's disruption budget" in condition["message"]
        world.disruption_budget = False
        await world.look(20)
        assert world.evictions == ["a"]

    async def test_a_pod_that_nothing_makes_anew_is_told_once(self, records: list[dict[str, Any]]) -> None:
        world = Leaking(action="Restart", pods=agents("a", controlled=False), leaking={"a": Kind.MEMORY_FAST})
        for _ in range(3):
            await world.look(200)
        assert world.evictions == []
        assert [each["outcome"] for each in records] == ["Skipped"]
        notes = [body["note"] for what, body in world.requests if what == "events"]
        assert (
            sum("no controller would make it anew" in note for note in notes) == 2
        )  # decision and condition

    async def test_observe_asks_for_nothing(self, records: list[dict[str, Any]]) -> None:
        world = Leaking(action="Restart", enforcement="Observe", leaking={"a": Kind.MEMORY_FAST})
        for _ in range(3):
            await world.look(50)
        assert world.evictions == []
        assert world.restart()["outcome"] == "Observed"
        assert [each["outcome"] for each in records] == ["Observed"]

    async def test_one_whose_note_cannot_be_written_is_not_asked(self) -> None:
        world = Leaking(action="Restart", leaking={"a": Kind.MEMORY_FAST})
        honest = world.request

        async def request(method: str, path: str, body: Any = None, **fields: Any) -> dict[str, Any]:
            if path.endswith("/status"):
                raise UnavailableError("no answer")
            return await honest(method, path, body, **fields)

        cast(Any, world).request = request
        with pytest.raises(UnavailableError):
            await world.look()
        assert world.evictions == []
