"""The metrics page, read by Prometheus' own tools."""

import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tenantquota.api.leaks import Kind, Stage
from tenantquota.api.stalls import Resource
from tenantquota.domain.contention import Over
from tenantquota.domain.findings import Finding
from tenantquota.domain.reporting import Reason
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.containers import Container
from tenantquota.node.exposition import Exposition, labels
from tenantquota.node.leaks import Found
from tenantquota.node.metrics import AgentState, View, exposition
from tenantquota.node.neighbours import Holding
from tenantquota.node.stalls import Harming
from tenantquota.node.ticks import Ticks
from tenantquota.node.totals import TenantTotals, Totals
from tests.unit.node.samples import MI, container, sample, used

HARMED = "tenantquota_node_neighbours_harmed_total"
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def page(
    *containers: Container,
    totals: TenantTotals | None = None,
    holdings: Iterable[Holding] = (),
    leaks: Sequence[Found] = (),
    harming: Sequence[Harming] | None = None,
) -> bytes:
    ticks = Ticks(1.0, lambda _: False)
    ticks.begun, ticks.late, ticks.missed = 7, 2, 1
    errors = ReadErrors()
    errors.count_reason("cpu.stat", "malformed")
    report = SimpleNamespace(
        errors=3,
        written=4,
        handed_over=dict.fromkeys(Reason, 1),
        last_bytes=1234,
        last_write_seconds=1.7e9,
    )
    sampler = SimpleNamespace(counter_resets=1)
    informers = {"pods": SimpleNamespace(errors=5), "tenantquotas": SimpleNamespace(errors=0)}
    owners = SimpleNamespace(count=lambda: 6)
    neighbours = SimpleNamespace(holdings=lambda: list(holdings), findings=3)
    weights = SimpleNamespace(errors=0)
    stalls = SimpleNamespace(
        sees=harming is not None,
        harming=lambda: list(harming or ()),
        findings={Resource.IO: 4, Resource.MEMORY: 5},
    )
    totals = totals or TenantTotals()
    parts: Any = (ticks, errors, sampler, report, informers, owners, totals, neighbours, weights, stalls)
    view = View(containers, time.monotonic_ns(), 0.001, leaks)
    return exposition(view, AgentState(*parts), Path("/proc"))


def series(of: bytes) -> Series:
    return {
        (item.name, frozenset(item.labels.items())): item.value
        for family in text_string_to_metric_families(of.decode())
        for item in family.samples
    }


def of_container(found: Series, name: str, pod: str = "agent") -> float:
    (value,) = (
        value
        for (metric, of), value in found.items()
        if metric == f"tenantquota_container_{name}" and ("pod", pod) in of
    )
    return value


CONTAINER = {
    "cpu_usage_seconds_total": 1.0,
    "cpu_periods_total": 100,
    "cpu_throttled_periods_total": 10,
    "cpu_throttled_seconds_total": 0.05,
    "cpu_waiting_seconds_total": 0.01,
    "run_delay_seconds_total": 1.5,
    "timeslices_total": 42,
    "memory_usage_bytes": 33 * MI,
    "memory_working_set_bytes": 32 * MI,
    "memory_peak_bytes": 34 * MI,
    "oom_kills_total": 1,
    "memory_waiting_seconds_total": 0,
    "io_waiting_seconds_total": 0,
    "io_read_bytes_total": 40960,
    "io_written_bytes_total": 81920,
    "threads": 5,
    "processes": 3,
    "open_files": 17,
    "cpu_limit_cores": 0.5,
    "memory_limit_bytes": 256 * MI,
}


@pytest.mark.parametrize(("name", "value"), CONTAINER.items())
def test_a_containers_figures(name: str, value: float) -> None:
    assert of_container(series(page(used(container()))), name) == pytest.approx(value)


def test_there_are_no_others() -> None:
    prefix = "tenantquota_container_"
    names = {name for name, _ in series(page(used(container()))) if name.startswith(prefix)}

    assert names == {prefix + name for name in CONTAINER}


def test_labels_say_whose_it_is() -> None:
    found = series(page(used(container())))
    of = {of for name, of in found if name == "tenantquota_container_processes"}

    assert of == {
        frozenset({"tenant": "acme", "namespace": "ns-acme", "pod": "agent", "container": "main"}.items())
    }


def test_what_is_not_known_is_no_series() -> None:
    found = series(page(container(cpu_milli=None, memory_bytes=None)))

    assert not [name for name, _ in found if name.startswith("tenantquota_container_")]


def test_a_container_without_a_name_counts_for_its_tenant_only() -> None:
    found = series(page(used(container("a")), used(container("b", name=""))))

    assert found["tenantquota_tenant_containers", frozenset({("tenant", "acme")})] == 2
    assert {dict(of)["container"] for name, of in found if name == "tenantquota_container_threads"} == {
        "main"
    }


def test_nothing_is_left_of_a_tenant_that_is_gone() -> None:
    acme, beta = used(container("a")), used(container("b", tenant="beta", pod="other"))
    totals = TenantTotals()
    totals.add([acme, beta])
    assert b'tenant="beta"' in page(acme, beta, totals=totals)

    totals.add([acme])
    after = page(acme, totals=totals)
    assert b"beta" not in after
    assert b'tenant="acme"' in after


def test_who_yields_is_told_and_nobody_else() -> None:
    over = Over("acme", 900.0, 3000.0, 1000.0)
    found = series(page(holdings=[Holding("acme", 5.0, over, ("beta", "gamma"), "…")]))

    of = frozenset({("tenant", "acme")})
    assert found["tenantquota_tenant_yielding", of] == 1
    assert found["tenantquota_tenant_share_ratio", of] == 3
    assert found["tenantquota_tenant_victims", of] == 2
    harmed = {of: value for (name, of), value in found.items() if name == HARMED}
    assert harmed == {frozenset({("resource", "cpu")}): 3}, "of others the kernel tells nothing"
    assert not any(name == "tenantquota_tenant_yielding" for name, _ in series(page()))


def test_who_makes_others_stall_is_told() -> None:
    harming = Harming("acme", Resource.IO, 5.0, ("beta", "gamma"), "…")
    found = series(page(harming=[harming]))

    of = frozenset({("tenant", "acme"), ("resource", "io")})
    assert found["tenantquota_tenant_stalling_neighbours", of] == 2
    harmed = {dict(of)["resource"]: value for (name, of), value in found.items() if name == HARMED}
    assert harmed == {"cpu": 3, "io": 4, "memory": 5}


def test_the_agent_tells_of_itself() -> None:
    found = {name: value for (name, of), value in series(page()).items() if not of}

    assert found["tenantquota_node_ticks_total"] == 7
    assert found["tenantquota_node_ticks_late_total"] == 2
    assert found["tenantquota_node_ticks_missed_total"] == 1
    assert found["tenantquota_node_reports_written_total"] == 4
    assert found["tenantquota_node_report_size_bytes"] == 1234
    assert found["tenantquota_node_pods"] == 6
    assert found["process_cpu_seconds_total"] > 0
    assert found["process_resident_memory_bytes"] > MI
    assert found["process_open_fds"] > 2
    labelled = series(page())
    errors = frozenset({("file", "cpu.stat"), ("reason", "malformed")})
    assert labelled["tenantquota_node_read_errors_total", errors] == 1
    assert labelled["tenantquota_node_api_errors_total", frozenset({("request", "pods")})] == 5
    assert labelled["tenantquota_node_api_errors_total", frozenset({("request", "report")})] == 3
    assert labelled["tenantquota_node_reports_total", frozenset({("reason", "heartbeat")})] == 1


@pytest.mark.parametrize("containers", [(), (used(container()),)], ids=["idle", "busy"])
def test_promtool_finds_nothing_wrong(containers: Sequence[Container]) -> None:
    if not shutil.which("promtool"):
        pytest.fail("this test needs promtool in PATH: run 'make check', which gets it")
    totals = TenantTotals()
    totals.add(containers)
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=page(*containers, totals=totals),
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a\nb", 'a\\"b\\n', "ä€😀", "", "{}=,"])
def test_labels_may_hold_anything(value: str) -> None:
    text = Exposition()
    text.gauge("some_bytes", "Help.", [(labels({"of": value}), 1)])

    assert series(text.encode()) == {("some_bytes", frozenset({("of", value)})): 1}


class TestTotals:
    def test_grow_by_what_containers_grow_by(self) -> None:
        totals, of = TenantTotals(), container()
        of.samples.append(sample(1, cpu_usage_ns=1000, io_read_bytes=50))
        totals.add([of])
        assert totals.by_tenant == {"acme": Totals(0, 0, 0, 0)}, "from when it was first seen"

        of.samples.append(sample(2, cpu_usage_ns=1500, io_read_bytes=60, throttled_ns=7, io_written_bytes=8))
        totals.add([of])
        totals.add([of])
        assert totals.by_tenant == {"acme": Totals(500, 7, 10, 8)}

    def test_keep_what_ended_containers_used(self) -> None:
        totals, first, second = TenantTotals(), container("a"), container("b")
        for number, of in enumerate((first, second)):
            of.samples.append(sample(1, cpu_usage_ns=number * 10**12))
        totals.add([first, second])
        first.samples.append(sample(2, cpu_usage_ns=100))
        second.samples.append(sample(2, cpu_usage_ns=10**12 + 30))
        totals.add([first, second])
        totals.add([second])

        assert totals.by_tenant["acme"].cpu_usage_ns == 130

    def test_never_go_back(self) -> None:
        totals, of = TenantTotals(), container()
        for at, used_ns in enumerate((100, 300, 50, 60, None, 90)):
            before = totals.by_tenant.get("acme", Totals(0, 0, 0, 0))
            of.samples.append(sample(at, cpu_usage_ns=used_ns))
            totals.add([of])
            assert totals.by_tenant["acme"].cpu_usage_ns >= before.cpu_usage_ns
        assert totals.by_tenant["acme"].cpu_usage_ns == 210

    def test_a_container_that_was_not_read_yet_makes_its_tenant_known(self) -> None:
        totals = TenantTotals()
        totals.add([container()])

        assert totals.by_tenant == {"acme": Totals(0, 0, 0, 0)}


def test_leaks_have_a_series_as_long_as_they_last() -> None:
    def found(of: Container, kind: Kind, stage: Stage) -> Found:
        return Found(of, Finding(kind, stage, 1.0, 2.0, 3.0, 4.0, 5.0, 6, 7))

    a, unnamed = container("a", pod="a"), container("b", pod="b", name="")
    leaks = (
        found(a, Kind.MEMORY_SLOW, Stage.CONFIRMED),
        found(a, Kind.CPU, Stage.SUSPECTED),
        found(unnamed, Kind.CPU, Stage.CONFIRMED),
    )
    names = {"tenantquota_container_leak_suspected", "tenantquota_container_leak_confirmed"}
    with_leaks = {key: value for key, value in series(page(a, leaks=leaks)).items() if key[0] in names}
    labelled = {"tenant": "acme", "namespace": "ns-acme", "pod": "a", "container": "main"}.items()
    assert with_leaks == {
        ("tenantquota_container_leak_confirmed", frozenset({*labelled, ("kind", "memory_slow")})): 1,
        ("tenantquota_container_leak_suspected", frozenset({*labelled, ("kind", "cpu")})): 1,
    }
    assert not names & {name for name, _ in series(page(a))}
