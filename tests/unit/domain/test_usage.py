"""Rates and what else follows from two looks at a container."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.domain.usage import (
    Limits,
    RunDelay,
    Sample,
    increase,
    rates,
    wait_per_dispatch_us,
    went_back,
    working_set_bytes,
)

BEFORE = Sample(
    at_ns=10_000_000_000,
    cpu_usage_ns=5_000_000_000,
    nr_periods=100,
    nr_throttled=10,
    throttled_ns=1_000_000_000,
    cpu_waiting_us=200_000,
    memory_usage_bytes=300 << 20,
    inactive_file_bytes=100 << 20,
    io_read_bytes=1_000_000,
    io_written_bytes=2_000_000,
)
AFTER = Sample(
    at_ns=12_000_000_000,
    cpu_usage_ns=5_600_000_000,
    nr_periods=120,
    nr_throttled=15,
    throttled_ns=1_500_000_000,
    cpu_waiting_us=700_000,
    memory_usage_bytes=300 << 20,
    inactive_file_bytes=100 << 20,
    io_read_bytes=1_000_000,
    io_written_bytes=22_000_000,
)


def test_rates_between_two_samples() -> None:
    found = rates(BEFORE, AFTER)
    assert found is not None
    assert found._asdict() == {
        "seconds": 2.0,
        "cpu_milli": 300.0,
        "throttled_fraction": 0.25,
        "throttled_ms_per_second": 250.0,
        "cpu_waiting_fraction": 0.25,
        "io_read_bytes_per_second": 0.0,
        "io_written_bytes_per_second": 10_000_000.0,
    }


@pytest.mark.parametrize("elapsed_ns", [0, -1])
def test_without_time_between_there_are_no_rates(elapsed_ns: int) -> None:
    assert rates(BEFORE, AFTER._replace(at_ns=BEFORE.at_ns + elapsed_ns)) is None


def test_who_wants_no_cpu_is_not_throttled() -> None:
    found = rates(BEFORE, AFTER._replace(nr_periods=100, nr_throttled=10))
    assert found is not None
    assert found.throttled_fraction == 0.0


@pytest.mark.parametrize(
    ("field", "rate"),
    [
        ("cpu_usage_ns", "cpu_milli"),
        ("nr_periods", "throttled_fraction"),
        ("nr_throttled", "throttled_fraction"),
        ("throttled_ns", "throttled_ms_per_second"),
        ("cpu_waiting_us", "cpu_waiting_fraction"),
        ("io_read_bytes", "io_read_bytes_per_second"),
        ("io_written_bytes", "io_written_bytes_per_second"),
    ],
)
@pytest.mark.parametrize("value", [None, 0], ids=["missing", "went back"])
def test_a_counter_that_is_missing_or_went_back_spoils_its_own_rate_only(
    field: str, rate: str, value: int | None
) -> None:
    whole, found = rates(BEFORE, AFTER), rates(BEFORE, AFTER._replace(**{field: value}))
    assert whole is not None
    assert found is not None
    assert getattr(found, rate) is None
    assert found._replace(**{rate: 0}) == whole._replace(**{rate: 0})


@given(st.none() | st.integers(0, 2**63), st.none() | st.integers(0, 2**63))
def test_an_increase_is_never_negative(before: int | None, after: int | None) -> None:
    grown = increase(before, after)
    assert grown is None or (grown >= 0 and before is not None and before + grown == after)


def test_notices_that_a_counter_went_back() -> None:
    assert not went_back(BEFORE, AFTER)
    assert not went_back(BEFORE, AFTER._replace(cpu_usage_ns=None, memory_usage_bytes=0))
    assert went_back(BEFORE, AFTER._replace(cpu_usage_ns=0))
    assert not went_back(BEFORE, AFTER._replace(io_written_bytes=0))


@pytest.mark.parametrize(
    ("usage", "inactive", "expected"),
    [(300, 100, 200), (100, 300, 0), (None, 100, None), (300, None, None)],
)
def test_working_set(usage: int | None, inactive: int | None, expected: int | None) -> None:
    sample = BEFORE._replace(memory_usage_bytes=usage, inactive_file_bytes=inactive)
    assert working_set_bytes(sample) == expected


@pytest.mark.parametrize(
    ("quota_us", "period_us", "milli"),
    [(50_000, 100_000, 500), (None, 100_000, None), (333_333, 1_000_000, 333), (1000, 100_000, 10)],
)
def test_cpu_limit(quota_us: int | None, period_us: int, milli: int | None) -> None:
    assert Limits(0, quota_us, period_us, None).cpu_milli == milli


def test_wait_per_dispatch() -> None:
    assert wait_per_dispatch_us(RunDelay(0, 1_000_000, 100), RunDelay(1, 3_000_000, 200)) == 20.0
    assert wait_per_dispatch_us(RunDelay(0, 1, 100), RunDelay(1, 1, 100)) is None
