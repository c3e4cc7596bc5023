"""Histograms of three digits."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from e2e.validation.latency import Latencies, per_tenant, summary
from e2e.validation.windows import Kind, Window

LATENCIES = some.lists(some.floats(0.1, 100_000), min_size=1, max_size=50)


@given(LATENCIES)
def test_every_latency_is_kept_to_three_digits(latencies: list[float]) -> None:
    assert Latencies.of(latencies).percentile_ms(100) == pytest.approx(max(latencies), rel=0.011)
    exact = sorted(latencies)[-(-len(latencies) // 2) - 1]
    assert Latencies.of(latencies).percentile_ms(50) == pytest.approx(exact, rel=0.011)


@given(LATENCIES, LATENCIES)
def test_merged_is_as_if_all_were_added(first: list[float], second: list[float]) -> None:
    merged = Latencies.of(first)
    merged.merge(Latencies.of(second))
    both = Latencies.of(first + second)
    assert merged.count == both.count
    assert [merged.percentile_ms(each) for each in (50, 95, 99)] == [
        both.percentile_ms(each) for each in (50, 95, 99)
    ]


def test_text_and_back() -> None:
    there = Latencies.of([1.0, 20.5, 300.0])
    back = Latencies.decoded(there.encoded())
    assert (back.count, back.percentile_ms(50)) == (3, there.percentile_ms(50))


@given(LATENCIES)
def test_all_come_back_out_of_it(latencies: list[float]) -> None:
    found = Latencies.decoded(Latencies.of(latencies).encoded()).values_ms()
    assert found == pytest.approx(sorted(latencies), rel=0.011)


def test_a_summary_counts_what_was_answered_and_what_was_not() -> None:
    windows = [
        Window(Kind.QUIET, 0, 5, {"a": [(0.5, 20.0), (1.5, 30.0)], "b": [(1.0, 40.0)]}, {"b": [2.0]}),
        Window(Kind.QUIET, 5, 5, {"a": [(6.0, 20.0)]}, {}),
    ]
    found = summary(windows)
    assert (found.count, found.failed, found.per_second) == (4, 1, 0.4)
    assert found.most == pytest.approx(40.0, rel=0.001)
    assert {name: each.count for name, each in per_tenant(windows).items()} == {"a": 3, "b": 1}
    assert per_tenant(windows)["b"].failed == 1


def test_a_percentile_of_few_is_not_the_value_below() -> None:
    """95 % of eleven is more than ten of them."""
    assert Latencies.of([1.0] * 10 + [2.0]).percentile_ms(95) == pytest.approx(2.0, rel=1e-3)
