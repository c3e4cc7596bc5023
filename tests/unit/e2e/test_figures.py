"""Percentiles."""

import json
from pathlib import Path

import pytest

from e2e.harness.figures import Summary, write_report


def test_summary_of_a_hundred_and_one_values() -> None:
    assert Summary.of([float(value) for value in range(101)]) == Summary(
        count=101, least=0.0, median=50.0, p95=95.0, p99=99.0, most=100.0
    )


def test_summary_of_one_value() -> None:
    assert Summary.of([3.0]) == Summary(count=1, least=3.0, median=3.0, p95=3.0, p99=3.0, most=3.0)


def test_no_summary_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        Summary.of([])


def test_report_holds_dataclasses(tmp_path: Path) -> None:
    path = write_report("case", {"latency": Summary.of([1.0, 2.0])}, directory=tmp_path / "reports")
    assert json.loads(path.read_text())["latency"]["median"] == 1.5
