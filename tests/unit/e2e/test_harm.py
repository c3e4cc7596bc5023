"""What is said of a stressor by what was measured."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.harness.figures import Summary, write_report
from e2e.harness.harm import Outcome
from e2e.harness.stressed import blames

QUIET = Summary(count=160, least=8, median=10, p95=14, p99=20, most=22)
HELD = Outcome(
    stressor="cpu",
    used_milli=1500,
    system_milli=300,
    found_seconds=1.2,
    held_seconds=0.9,
    named_seconds=3.1,
    given_back_seconds=5.8,
    blamed=(),
    failed=0,
    quiet=QUIET,
    not_held=replace(QUIET, median=16, p99=60),
    held=QUIET,
)


@pytest.mark.parametrize(
    ("median", "p99", "harmed"),
    [(10, 20, False), (14.9, 29, False), (15, 20, True), (10, 30, True)],
)
def test_harm_is_felt_at_the_median_or_at_the_tail(median: float, p99: float, harmed: bool) -> None:
    assert replace(HELD, not_held=replace(QUIET, median=median, p99=p99)).harmed is harmed


def test_victims_and_culprit_are_told_apart_when_the_culprit_alone_is_blamed_and_held() -> None:
    assert HELD.told_apart
    assert not replace(HELD, blamed=("victim",)).told_apart
    assert not replace(HELD, found_seconds=None).told_apart
    assert not replace(HELD, held_seconds=None).told_apart


def test_the_report_has_a_row_for_a_stressor_that_was_not_held_too(tmp_path: Path) -> None:
    rows = [HELD.row(), replace(HELD, stressor="hdd", held_seconds=None, held=None).row()]
    held, mild = json.loads(write_report("case", {"stressors": rows}, directory=tmp_path).read_text())[
        "stressors"
    ]
    assert held["latency_ms"]["not_held"]["p99"] == 60
    assert (mild["held_after_seconds"], mild["latency_ms"]["held"], mild["told_apart"]) == (None, None, False)


@pytest.mark.parametrize(
    ("reason", "blamed"),
    [("WithinShare", False), ("Yields", True), ("HarmsNeighbours", True), ("NodeReportStale", False)],
)
def test_who_yields_is_blamed_whether_or_not_a_victim_is_named(reason: str, blamed: bool) -> None:
    assert blames({"reason": reason}) is blamed
