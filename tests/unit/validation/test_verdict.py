"""What is said of a run."""

import numpy as np
import pytest

from e2e.results import Source, VerdictState
from e2e.validation import charts
from e2e.validation.statistics import Estimate, NoiseFloor, TooFewError
from e2e.validation.verdict import bounds, judge, validate, windows_needed
from e2e.validation.windows import Kind, Window, order

QUIET_FLOOR = NoiseFloor(1.0, 1.02)
LOUD_FLOOR = NoiseFloor(1.1, 1.4)


@pytest.mark.parametrize(
    ("held", "floor", "state"),
    [
        (Estimate(1.02, 0.98, 1.08), QUIET_FLOOR, VerdictState.ISOLATED),
        (Estimate(1.02, 0.80, 1.30), LOUD_FLOOR, VerdictState.CANNOT_TELL),
        (Estimate(1.01, 0.80, 1.30), QUIET_FLOOR, VerdictState.ISOLATED),
        (Estimate(1.03, 0.80, 1.30), QUIET_FLOOR, VerdictState.CANNOT_TELL),
        (Estimate(1.50, 1.20, 1.80), LOUD_FLOOR, VerdictState.CANNOT_TELL),
        (Estimate(1.20, 1.00, 1.30), QUIET_FLOOR, VerdictState.CANNOT_TELL),
        (Estimate(1.50, 1.20, 1.80), QUIET_FLOOR, VerdictState.NOT_ISOLATED),
        (Estimate(1.30, 1.20, 1.38), LOUD_FLOOR, VerdictState.CANNOT_TELL),
        (Estimate(1.50, 1.05, 1.80), QUIET_FLOOR, VerdictState.CANNOT_TELL),
        (Estimate(1.10, 1.10, 1.10), QUIET_FLOOR, VerdictState.ISOLATED),
    ],
)
def test_the_interval_and_the_noise_floor_decide(
    held: Estimate, floor: NoiseFloor, state: VerdictState
) -> None:
    assert judge(held, floor) is state


def windows(held: float, not_held: float, *, rounds: int = 5, seconds: float = 10.0) -> list[Window]:
    generator = np.random.default_rng(1)
    factor = {Kind.QUIET: 1.0, Kind.HELD: held, Kind.NOT_HELD: not_held}
    found = []
    for index, kind in enumerate(order(rounds)):
        start = index * seconds
        latencies = 20 * factor[kind] * np.exp(generator.normal(0, 0.2, 200))
        due = np.sort(start + generator.random(200) * seconds)
        samples = [(float(at), float(ms)) for at, ms in zip(due, latencies, strict=True)]
        found.append(Window(kind, start, seconds, {"a": samples[::2], "b": samples[1::2]}, {}))
    return found


@pytest.mark.parametrize(("held", "state"), [(1.0, VerdictState.ISOLATED), (2.0, VerdictState.NOT_ISOLATED)])
def test_a_run_is_judged(held: float, state: VerdictState) -> None:
    found = validate(windows(held, not_held=3.0))
    assert found.verdict.state is state
    assert "2 tenants" in found.verdict.text
    assert found.held[99].ratio.value == pytest.approx(held, rel=0.1)
    assert found.not_held[99].ratio.value == pytest.approx(3.0, rel=0.1)
    assert found.summaries[Kind.QUIET].count == 11 * 200
    assert set(found.per_tenant[Kind.HELD]) == {"a", "b"}


def test_a_run_without_windows_of_a_kind_has_no_verdict() -> None:
    with pytest.raises(TooFewError):
        validate([each for each in windows(1.0, 1.0) if each.kind is Kind.QUIET])


def test_what_is_only_observed_may_be_missing() -> None:
    found = validate([each for each in windows(1.0, 1.0) if each.kind is not Kind.NOT_HELD])
    assert found.not_held == {}
    assert "not held" not in found.verdict.text


def test_quiet_is_around_each_window_with_noise_and_turns_change() -> None:
    kinds = order(2)
    assert kinds[::2] == [Kind.QUIET] * 5
    assert kinds[1::2] == [Kind.NOT_HELD, Kind.HELD, Kind.HELD, Kind.NOT_HELD]


def test_a_closer_call_needs_more_windows() -> None:
    near, far = Estimate(1.12, 0.9, 1.3), Estimate(1.25, 0.9, 1.5)
    assert windows_needed(near, 4) > windows_needed(far, 4) > 4


def test_the_rest_of_a_window() -> None:
    rest = Window(Kind.HELD, 10, 5, {"a": [(10.5, 1.0), (12.5, 2.0)]}, {"a": [11.0, 14.0]}).after(2)
    assert (rest.start, rest.seconds) == (12, 3)
    assert rest.answered == {"a": [(12.5, 2.0)]}
    assert rest.failed == {"a": [14.0]}


def test_charts_show_each_second_and_each_window() -> None:
    run = windows(1.0, 2.0, rounds=1)
    answered = {name: [each for window in run for each in window.answered[name]] for name in ("a", "b")}
    chart = charts.over_time(answered, run)
    assert [span.name for span in chart.spans] == ["quiet", "not held", "quiet", "held", "quiet"]
    assert all(len(line.points) == 50 for line in chart.lines)
    bars = charts.by_kind(validate(windows(1.0, 2.0)))
    assert [line.name for line in bars.lines] == ["quiet", "not held", "held"]
    assert all(len(line.points) == len(bars.bars) == 3 for line in bars.lines)


def test_the_worst_victim_is_named_first() -> None:
    given = [
        Window(
            each.kind,
            each.start,
            each.seconds,
            {
                "spared": next(iter(each.answered.values())),
                "victim": [
                    (due, ms * (1.5 if each.kind is Kind.HELD else 1.0))
                    for due, ms in next(iter(each.answered.values()))
                ],
            },
            {},
        )
        for each in windows(1.0, 2.0)
    ]

    found = validate(given)

    assert [each.tenant for each in found.impacts] == ["victim", "spared"]
    assert found.impacts[0].ratio.value == pytest.approx(1.5 * found.impacts[1].ratio.value, rel=1e-6)
    assert any(reason.startswith("Held noise met most, by p95: victim +") for reason in found.verdict.reasons)


def test_bounds_are_of_p99_while_held() -> None:
    found = validate(windows(1.5, 2.0))

    response, degraded = bounds(found)

    assert (response.source, response.unit, response.at_most) == (Source.SPECIFICATION, "s", 2.0)
    assert response.measured == pytest.approx(found.held[99].noisy_ms / 1000, abs=1e-4)
    assert (degraded.source, degraded.at_most, degraded.met) == (Source.GOAL, pytest.approx(10), False)
    assert degraded.measured == pytest.approx(50, abs=12)
