"""The NodeReport: what it says, how long it is, how often it is written, and when it can't be."""

import json
import random
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import ConfigDict

from e2e.harness.wait import wait_until
from tenantquota.api.leaks import Kind, Stage
from tenantquota.api.nodereport import MAX_FINDINGS, NodeReport
from tenantquota.api.stalls import Resource
from tenantquota.domain import reporting, reports
from tenantquota.domain.contention import Over
from tenantquota.domain.findings import Finding
from tenantquota.domain.reporting import HOLD_PERIOD_SECONDS, Reason
from tenantquota.kube.plain import ApiServer, NodeIdentity
from tenantquota.kube.reading import read_node_report
from tenantquota.node import report as module
from tenantquota.node.caps import CappedContainer
from tenantquota.node.containers import Container, Owner
from tenantquota.node.leaks import Found
from tenantquota.node.manifest import Clocks, manifest
from tenantquota.node.neighbours import Holding
from tenantquota.node.report import Reporter, ReportWriter, entries_of, held_by
from tenantquota.node.stalls import Harming
from tests.unit.node.apiserver import FakeApiServer, serving
from tests.unit.node.samples import MI, container, used

NODE = NodeIdentity("n1", "0d9b5a51-6dd0-4b1f-8a37-9ce7a0d0e6f1")
DEADLINE_SECONDS = 20.0


class Strict(NodeReport):
    """As the API server has it, which prunes or refuses what the schema doesn't know."""

    model_config = ConfigDict(extra="forbid")


def told(report: bytes) -> Strict:
    parsed = json.loads(report)
    assert parsed.pop("apiVersion") == "tenantquota.io/v1alpha1"
    assert parsed.pop("kind") == "NodeReport"
    del parsed["metadata"]
    return Strict.model_validate(parsed)


class TestManifest:
    def write(self, *containers: Container) -> bytes:
        held = held_by(containers)
        return manifest(NODE, entries_of(containers, held), [], [], Clocks(0.0, 1_700_000_000.9), 30)

    def test_says_what_the_cgroup_holds_and_what_is_used(self) -> None:
        (of,) = told(self.write(used(container(), cpu_milli=123, memory_bytes=32 * MI))).containers

        assert of.model_dump() == {
            "namespace": "ns-acme",
            "pod": "agent",
            "uid": "uid-agent",
            "name": "main",
            "tenant": "acme",
            "cpu_limit_milli": 500,
            "memory_limit_bytes": 256 * MI,
            "cpu_milli": 123,
            "memory_bytes": 32 * MI,
        }

    def test_is_the_nodes(self) -> None:
        metadata = json.loads(self.write())["metadata"]

        assert metadata["name"] == "n1"
        assert metadata["ownerReferences"] == [
            {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": NODE.uid}
        ]

    def test_heartbeat_is_a_timestamp(self) -> None:
        report = told(self.write())

        assert report.heartbeat == "2023-11-14T22:13:20Z"
        assert report.period_seconds == 30

    def test_what_is_not_there_is_left_out(self) -> None:
        (of,) = json.loads(self.write(container(cpu_milli=None, memory_bytes=None)))["containers"]

        assert of.keys() == {"namespace", "pod", "uid", "name", "tenant"}

    def test_a_container_is_told_once_its_limits_and_its_name_are_known(self) -> None:
        """Without limits read it would be told as unlimited, and without a name as somebody's wrong limit."""
        unread, unnamed = container("b", pod="unread"), container("c", name="")
        unread.limits = None

        (of,) = told(self.write(container("a"), unread, unnamed)).containers
        assert of.pod == "agent"

    def test_size_at_250_containers(self) -> None:
        """Under 64 KiB with names as long as a Deployment's and uids; etcd takes 1.5 MiB."""
        containers = []
        for number in range(250):
            of = container(
                f"{number:064x}",
                tenant=f"customer-{number % 20:04}",
                pod=f"agent-worker-7c9d6b8f5d-{number:05}",
                name="agent",
                cpu_milli=1000,
                memory_bytes=512 * MI,
            )
            of.pod_uid = "0d9b5a51-6dd0-4b1f-8a37-9ce7a0d0e6f1"
            containers.append(used(of, cpu_milli=number, memory_bytes=300 * MI + number))

        report = self.write(*containers)

        assert len(told(report).containers) == 250
        assert len(report) < 64 * 1024


class World:
    """Containers, a clock, and what was written; a tick a second."""

    def __init__(self, *containers: Container) -> None:
        self.containers = list(containers)
        self.seconds = 0.0
        self.written: list[tuple[float, Reason, Strict]] = []
        self.reporter = Reporter(NODE, 30, self._write, lambda: self.seconds, lambda: 0.0)

    def _write(self, report: bytes, reason: Reason) -> None:
        self.written.append((self.seconds, reason, told(report)))

    def pass_seconds(self, count: int, each: Callable[[], None] = lambda: None) -> list[tuple[float, Reason]]:
        """When it was written in that time, and why."""
        before = len(self.written)
        for _ in range(count):
            each()
            self.reporter.after_tick(self.containers)
            self.seconds += random.uniform(0.99, 1.01)  # noqa: S311 - as real ticks do
        return [(at, reason) for at, reason, _ in self.written[before:]]


class TestCadence:
    def test_an_idle_node_writes_two_heartbeats_a_minute(self) -> None:
        world = World(used(container()))
        assert [reason for _, reason in world.pass_seconds(1)] == [Reason.FIRST]

        written = world.pass_seconds(600)

        assert {reason for _, reason in written} == {Reason.HEARTBEAT}
        assert 20 <= len(written) <= 21
        times = [at for at, _ in written]
        assert max(later - earlier for earlier, later in pairwise(times)) <= 30

    def test_a_changed_limit_is_told_in_the_same_second(self) -> None:
        world = World(used(container()))
        world.pass_seconds(5)
        world.containers[0].limits = container(cpu_milli=400).limits

        assert [reason for _, reason in world.pass_seconds(1)] == [Reason.LIMITS]
        assert world.written[-1][2].containers[0].cpu_limit_milli == 400
        assert world.pass_seconds(5) == []

    def test_a_limit_read_again_is_no_news(self) -> None:
        world = World(used(container()))
        world.pass_seconds(5)

        def read_again() -> None:
            limits = world.containers[0].limits
            assert limits is not None
            world.containers[0].limits = limits._replace(at_ns=limits.at_ns + 1)

        assert world.pass_seconds(15, read_again) == []

    def test_containers_that_come_and_go_are_told_in_the_same_second(self) -> None:
        world = World(used(container("a")))
        world.pass_seconds(5)
        world.containers.append(used(container("b", pod="second")))
        assert [reason for _, reason in world.pass_seconds(1)] == [Reason.CONTAINERS]
        del world.containers[0]
        assert [reason for _, reason in world.pass_seconds(1)] == [Reason.CONTAINERS]
        assert [of.pod for of in world.written[-1][2].containers] == ["second"]

    def test_a_name_that_became_known_is_told(self) -> None:
        world = World(used(container(name="")))
        world.pass_seconds(5)
        world.containers[0].owner = Owner("acme", "ns-acme", "agent", "main")

        assert [reason for _, reason in world.pass_seconds(1)] == [Reason.CONTAINERS]

    def test_a_node_that_changes_all_the_time_writes_once_a_second(self) -> None:
        world = World(used(container()))

        def churn() -> None:
            world.containers[0] = used(container(f"{world.seconds}"))

        assert len(world.pass_seconds(60, churn)) == 60

    def test_usage_alone_is_told_every_ten_seconds_at_most(self) -> None:
        world = World(used(container()))
        world.pass_seconds(1)
        busy = [used(container(), cpu_milli=cpu_milli) for cpu_milli in (900, 100)]

        def burst() -> None:
            world.containers[0] = busy[int(world.seconds / 10) % 2]

        written = world.pass_seconds(120, burst)
        assert {reason for _, reason in written} <= {Reason.USAGE, Reason.HEARTBEAT}
        assert 4 <= len(written) <= 12
        times = [at for at, _ in written]
        assert min(later - earlier for earlier, later in pairwise(times)) >= 9

    def test_small_changes_of_usage_wait(self) -> None:
        world = World(used(container(), cpu_milli=100))
        world.pass_seconds(1)
        world.containers[0] = used(container(), cpu_milli=190)

        assert world.pass_seconds(25) == []
        assert [reason for _, reason in world.pass_seconds(5)] == [Reason.HEARTBEAT]
        assert world.written[-1][2].containers[0].cpu_milli == 190

    def test_more_than_the_resource_takes_is_cut(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World(*(container(f"{number}", pod=f"p{number}") for number in range(501)))
        world.pass_seconds(1)

        assert len(world.written[-1][2].containers) == 500
        assert "1 containers are left out" in caplog.text


class Writing:
    def __init__(self, server: FakeApiServer, credentials: Path) -> None:
        self.server = server
        self.stop = threading.Event()
        self.writer = ReportWriter(ApiServer(server.url, credentials), "n1", self.stop)
        threading.Thread(target=self.writer.run, daemon=True).start()

    def until(self, check: Callable[[], bool], what: str) -> None:
        wait_until(check, what=what, deadline_seconds=DEADLINE_SECONDS, poll_seconds=0.005)


@pytest.fixture
def writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writing]:
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.01,))
    with serving() as server:
        writing = Writing(server, tmp_path)
        yield writing
        writing.stop.set()


def numbered(number: int) -> bytes:
    return json.dumps({"number": number}).encode()


class TestWriter:
    def test_applies_the_report_of_its_node(self, writing: Writing) -> None:
        writing.writer.put(numbered(1), Reason.FIRST)
        writing.until(lambda: writing.writer.written == 1, "the report")

        ((method, path, query),) = writing.server.requests
        assert method == "PATCH"
        assert path == "/apis/tenantquota.io/v1alpha1/nodereports/n1"
        assert query == {"fieldManager": "tenantquota", "force": "true"}
        assert writing.server.reports == [{"number": 1}]
        assert writing.writer.handed_over[Reason.FIRST] == 1
        assert writing.writer.last_write_seconds is not None

    @pytest.mark.parametrize("status", [403, 409, 422, 429, 500, 503])
    def test_tries_until_it_is_written(self, writing: Writing, status: int) -> None:
        writing.server.refusals.extend([(status, b'{"message": "no"}')] * 3)
        writing.writer.put(numbered(1), Reason.FIRST)

        writing.until(lambda: writing.server.reports == [{"number": 1}], "the report")
        writing.until(lambda: writing.writer.written == 1, "the count")
        assert writing.writer.errors == 3

    def test_the_newest_takes_the_place_of_what_could_not_be_written(self, writing: Writing) -> None:
        writing.server.refusals.extend([(503, b"")] * 100)
        for number in range(50):
            writing.writer.put(numbered(number), Reason.LIMITS)
        writing.until(lambda: writing.writer.errors >= 2, "failures")
        writing.server.refusals.clear()

        writing.until(lambda: bool(writing.server.reports), "a report")
        assert writing.server.reports == [{"number": 49}]
        assert writing.writer.handed_over[Reason.LIMITS] == 50

    def test_handing_over_never_waits(self, tmp_path: Path) -> None:
        """With nobody who writes, as when the API server hangs."""
        writer = ReportWriter(ApiServer("http://127.0.0.1:9", tmp_path), "n1", threading.Event())
        done = threading.Event()

        def hand_over() -> None:
            for number in range(1000):
                writer.put(numbered(number), Reason.LIMITS)
            done.set()

        threading.Thread(target=hand_over, daemon=True).start()
        assert done.wait(DEADLINE_SECONDS)


class TestFindings:
    """Leaks are told at once, and at once when they are over."""

    @staticmethod
    def found(of: Container, kind: Kind = Kind.MEMORY_FAST, limit: float | None = 60.4) -> Found:
        finding = Finding(
            kind, Stage.CONFIRMED, 100.0, 150.0, 52_428_800.4, 200.0 * MI, 242.0 * MI, 21, 22, limit
        )
        return Found(of, finding)

    def test_are_told_with_what_a_person_needs(self) -> None:
        of = container()
        held = held_by([of])
        now = Clocks(160.0, 1_700_000_160.0)
        report = manifest(NODE, entries_of([of], held), [], [self.found(of)], now, 30)
        [finding] = told(report).findings
        assert finding.model_dump(mode="json") == {
            "namespace": "ns-acme",
            "pod": "agent",
            "uid": "uid-agent",
            "name": "main",
            "tenant": "acme",
            "kind": "memory_fast",
            "stage": "confirmed",
            "since": "2023-11-14T22:15:00Z",
            "rate_per_minute": 52_428_800,
            "limit_in_seconds": 60,
            "evidence": "memory at its lowest went from 200 to 242 MiB, 50.0 MiB a minute; it grew in 21 of"
            " 22 equal stretches of time",
        }

    @pytest.mark.parametrize("kind", list(Kind))
    def test_of_every_kind_fit(self, kind: Kind) -> None:
        of = container()
        [finding] = told(
            manifest(
                NODE,
                entries_of([of], held_by([of])),
                [],
                [self.found(of, kind, None)],
                Clocks(200.0, 200.0),
                30,
            )
        ).findings
        assert finding.kind is kind
        assert finding.limit_in_seconds is None

    def test_beginning_and_end_are_told_at_once(self) -> None:
        of = container()
        world = World(of)
        world.pass_seconds(3)
        found = self.found(of)
        for confirmed in ((found,), (found,), (), ()):
            world.reporter.after_tick([of], confirmed=confirmed)
            world.seconds += 1
        assert [reason for _, reason, _ in world.written] == [Reason.FIRST, Reason.FINDINGS, Reason.FINDINGS]
        assert [len(report.findings) for _, _, report in world.written] == [0, 1, 0]

    def test_are_no_more_than_the_resource_takes(self) -> None:
        all_ = [container(f"{number:03}", pod=f"p{number:03}") for number in range(MAX_FINDINGS + 5)]
        world = World(*all_)
        for _ in range(3):
            world.reporter.after_tick(all_, confirmed=[self.found(of) for of in all_])
            world.seconds += 1
        [(_, _, report)] = world.written
        assert len(report.findings) == MAX_FINDINGS == reporting.MAX_FINDINGS


class TestHolds:
    """Who yields is told at once, and whom it harms."""

    def test_are_told_with_since_when(self) -> None:
        of = container()
        over = Over("acme", 900.0, 3000.0, 1000.0)
        caps = (CappedContainer("uid-a", "main", 250),)
        holding = Holding("acme", 100.0, over, ("beta",), "acme made beta wait", caps)
        report = manifest(NODE, [], [holding], [], Clocks(160.0, 1_700_000_160.0), 30)
        [hold] = told(report).holds
        assert hold.model_dump(mode="json") == {
            "tenant": "acme",
            "since": "2023-11-14T22:15:00Z",
            "victims": ["beta"],
            "message": "acme made beta wait",
            "caps": [{"uid": "uid-a", "name": "main", "cpu_limit_milli": 250}],
        }

        world = World(of)
        world.pass_seconds(3)
        for holdings in ((holding,), (holding,), ()):
            world.reporter.after_tick([of], holdings)
            world.seconds += 1
        assert [reason for _, reason, _ in world.written] == [Reason.FIRST, Reason.HOLDS, Reason.HOLDS]

    def test_another_cap_is_told_at_once(self) -> None:
        of = container()
        world = World(of)
        world.pass_seconds(3)
        holding = Holding("acme", 100.0, Over("acme", 900.0, 3000.0, 1000.0), (), "")
        for milli in (250, 250, 370):
            capped = holding._replace(caps=(CappedContainer("uid-a", "main", milli),))
            world.reporter.after_tick([of], (capped,))
            world.seconds += 1
        assert [reason for _, reason, _ in world.written] == [Reason.FIRST, Reason.HOLDS, Reason.HOLDS]

    @pytest.mark.parametrize("by_the_controller", [True, False])
    def test_while_somebody_is_held_the_agent_is_heard_of_more_often(self, by_the_controller: bool) -> None:
        """So that a hold soon ends when it isn't."""
        of = container()
        world = World(of)
        over = Over("acme", 900.0, 3000.0, 1000.0)
        holdings = () if by_the_controller else (Holding("acme", 100.0, over, (), ""),)
        for _ in range(30):
            world.reporter.after_tick([of], holdings, any_held=by_the_controller)
            world.seconds += 1
        beats = [report for _, reason, report in world.written if reason is not Reason.USAGE]
        assert len(beats) >= 30 / HOLD_PERIOD_SECONDS
        assert {report.period_seconds for report in beats} == {HOLD_PERIOD_SECONDS}


class TestHarms:
    """Who makes others stall is told at once, and whether the kernel tells it."""

    HARMING = Harming("acme", Resource.IO, 100.0, ("beta",), "acme made beta stall")

    def test_are_told_with_since_when(self) -> None:
        clocks = Clocks(160.0, 1_700_000_160.0)
        report = told(manifest(NODE, [], [], [], clocks, 30, [self.HARMING], pressure=True))
        [harm] = report.harms
        assert report.pressure
        assert harm.model_dump(mode="json") == {
            "tenant": "acme",
            "resource": "io",
            "since": "2023-11-14T22:15:00Z",
            "victims": ["beta"],
            "message": "acme made beta stall",
        }
        read = read_node_report(json.loads(manifest(NODE, [], [], [], clocks, 30, [self.HARMING])))
        assert read.harming == (
            reports.Harming("acme", Resource.IO, "2023-11-14T22:15:00Z", "acme made beta stall"),
        )
        assert not read.pressure

    def test_beginning_and_end_are_told_at_once(self) -> None:
        of = container()
        world = World(of)
        world.pass_seconds(3)
        for harming in ((self.HARMING,), (self.HARMING,), ()):
            world.reporter.after_tick([of], harming=harming)
            world.seconds += 1
        assert [reason for _, reason, _ in world.written] == [Reason.FIRST, Reason.HARMS, Reason.HARMS]
