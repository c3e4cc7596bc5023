"""What the harness makes of an agent's metrics."""

import pytest

from e2e.harness.cluster import Container
from e2e.harness.node_agent import Scrape
from e2e.harness.readings import Reading
from e2e.harness.side_by_side import SideBySide
from e2e.harness.wait import NotYet

LABELS = 'tenant="acme",namespace="acme",pod="p",container="agent"'
CONTAINER = Container("acme", "p", "agent", "n1", "c" * 64, 0)
TEXT = f"""\
# HELP tenantquota_node_last_tick_age_seconds Since the last tick began.
# TYPE tenantquota_node_last_tick_age_seconds gauge
tenantquota_node_last_tick_age_seconds 0.25
# HELP tenantquota_container_cpu_usage_seconds_total CPU time used.
# TYPE tenantquota_container_cpu_usage_seconds_total counter
tenantquota_container_cpu_usage_seconds_total{{{LABELS}}} 3.5
# HELP tenantquota_container_cpu_periods_total Periods.
# TYPE tenantquota_container_cpu_periods_total counter
tenantquota_container_cpu_periods_total{{{LABELS}}} 10
# HELP tenantquota_container_cpu_throttled_periods_total Periods.
# TYPE tenantquota_container_cpu_throttled_periods_total counter
tenantquota_container_cpu_throttled_periods_total{{{LABELS}}} 4
# HELP tenantquota_container_io_read_bytes_total Bytes.
# TYPE tenantquota_container_io_read_bytes_total counter
tenantquota_container_io_read_bytes_total{{{LABELS}}} 0
# HELP tenantquota_container_io_written_bytes_total Bytes.
# TYPE tenantquota_container_io_written_bytes_total counter
tenantquota_container_io_written_bytes_total{{{LABELS}}} 8192
"""
SCRAPE = Scrape.of(TEXT, 100.0, 100.5)


def reading(cpu_used_seconds: float, written: int = 8192) -> Reading:
    return Reading(
        at_seconds=0.0,
        cpu_limit_millicores=None,
        memory_limit_bytes=None,
        cpu_used_seconds=cpu_used_seconds,
        periods=10,
        throttled_periods=4,
        memory_used_bytes=0,
        working_set_bytes=0,
        anonymous_bytes=2097152,
        oom_kills=0,
        io_read_bytes=0,
        io_written_bytes=written,
        threads=1,
    )


def test_a_series_is_found_by_its_labels() -> None:
    assert SCRAPE.container("cpu_usage_seconds_total", CONTAINER) == 3.5
    assert SCRAPE.tick_seconds == 99.75
    assert [*SCRAPE.labels("tenantquota_node_last_tick_age_seconds")] == [{}]


def test_a_missing_series_is_named() -> None:
    with pytest.raises(NotYet, match="tenantquota_container_open_files"):
        SCRAPE.container("open_files", CONTAINER)


def test_a_counter_between_those_of_the_files_is_right() -> None:
    between = SideBySide({CONTAINER: reading(3.4)}, SCRAPE, {CONTAINER: reading(3.6)})
    assert between.outside() == []


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        (reading(3.6), reading(3.7), "cpu_usage_seconds_total"),
        (reading(3.3), reading(3.4), "cpu_usage_seconds_total"),
        (reading(3.5, 4096), reading(3.5, 4096), "io_written_bytes_total"),
    ],
)
def test_one_beside_them_is_told(before: Reading, after: Reading, name: str) -> None:
    (said,) = SideBySide({CONTAINER: before}, SCRAPE, {CONTAINER: after}).outside()
    assert said.startswith(f"acme/p/agent: {name} is")


def histogram(small: int, large: int) -> Scrape:
    total = small + large
    lines = (
        f'd_bucket{{le="0.1"}} {small}',
        f'd_bucket{{le="1.0"}} {total}',
        f'd_bucket{{le="+Inf"}} {total}',
    )
    return Scrape.of("\n".join(["# TYPE d histogram", *lines, "d_sum 1", f"d_count {total}", ""]), 0.0, 0.0)


@pytest.mark.parametrize(("large", "bound"), [(0, 0.1), (1, 0.1), (2, 1.0)])
def test_a_quantile_is_of_what_came_since(large: int, bound: float) -> None:
    assert histogram(10 + 100 - large, 5 + large).quantile("d", 0.99, histogram(10, 5)) == bound


def test_a_quantile_of_nothing_is_none() -> None:
    with pytest.raises(NotYet):
        histogram(1, 1).quantile("d", 0.5, histogram(1, 1))
