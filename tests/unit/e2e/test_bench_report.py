"""What the benchmark's report says of its figures."""

from dataclasses import replace

from e2e.bench.race import Change, ControllerIdle, Restart
from e2e.bench.report import Result, markdown, table


def result(operator: list[float], bare_loop: list[float], restart: Restart | None = None) -> Result:
    arms = (("operator", operator), ("bare loop", bare_loop))
    changes = [Change(arm, 300, 0.1, seconds, 0.25, 1.0) for arm, of in arms for seconds in of]
    return Result({"cores": 2}, 50, changes, ControllerIdle(30.0, 4.2, 64 << 20), restart)


def test_table_has_each_arm_and_the_ratio() -> None:
    lines = table(result([2.0, 2.2, 2.4], [2.0, 2.0, 2.0])).splitlines()
    assert lines[2:] == [
        "| operator | 3 | 2.20 s | 2.38 s | 2.00 to 2.40 s |",
        "| bare loop | 3 | 2.00 s | 2.00 s | 2.00 to 2.00 s |",
        "| operator : bare loop | | **1.10** | 1.19 | pairs: 1.10 |",
    ]


def test_says_whether_the_goal_is_met() -> None:
    assert "at most 1.3: met." in markdown(result([2.6], [2.0]))
    assert "at most 1.3: MISSED." in markdown(result([2.7], [2.0]))


def test_says_what_the_controller_needs() -> None:
    text = markdown(result([2.0], [2.0], Restart(replaced_seconds=4.04, ready_seconds=3.0)))
    assert "0.25 s of CPU for a change" in text
    assert "Idle it used 4m and 64 MiB (30 s, 50 pods)" in text
    assert "Ready 3 s after its container started" in text
    assert "4.0 s after its pod was deleted" in text


def test_says_nothing_of_a_restart_that_was_left_out() -> None:
    assert "Replaced" not in markdown(result([2.0], [2.0]))


def test_says_why_only_a_part_was_measured() -> None:
    early = replace(result([2.0], [2.0]), ended_early="after 30 s 1 of 50 cgroups still lack their new limit")
    assert "Only a part of it was measured:** after 30 s 1 of 50" in markdown(early)
