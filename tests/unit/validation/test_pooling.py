"""Several runs together: what each says once, and what only all of them can tell."""

from collections.abc import Sequence

import numpy as np
import pytest

from e2e.results import Bound, Case, Outcome, Run, VerdictState
from e2e.validation.latency import Latencies
from e2e.validation.pooling import PooledLatency, pooled
from e2e.validation.windows import Kind


def run(*cases: Case) -> Run:
    return Run(
        started="2026-11-30T12:00:00+00:00", seconds=480, command="pytest", machine={}, cases=list(cases)
    )


def case(number: int = 4, *, tenants: int = 10, **rest: object) -> Case:
    outcome = Outcome(name="test_it", text="It holds", outcome="passed", seconds=1)
    return Case.model_validate(
        {"number": number, "title": "Isolation", "about": "", "tenants": tenants, "tests": [outcome], **rest}
    )


def latencies(chance: np.random.Generator, *, slow: float = 1.0, held: float = 1.0) -> dict[str, object]:
    """The figures of one run, in which everything takes ``slow`` times as long."""
    by_kind = {Kind.QUIET: 1.0, Kind.NOT_HELD: 3.0, Kind.HELD: held}
    return {
        "agents": {
            "summaries": {
                kind: {
                    "histogram": Latencies.of(
                        20 * slow * factor * np.exp(chance.normal(0, 0.2, 200))
                    ).encoded()
                }
                for kind, factor in by_kind.items()
            }
        }
    }


def of(figures: Sequence[dict[str, object]]) -> PooledLatency:
    (found,) = pooled(run(case(figures=each)) for each in figures)
    assert found.latency
    return found.latency


def test_all_requests_of_all_runs_count() -> None:
    chance = np.random.default_rng(1)
    found = of([latencies(chance), latencies(chance, slow=3.0)])
    assert found.requests == dict.fromkeys(Kind, 400)
    assert 20 < found.percentiles[Kind.QUIET][50] < 60


def test_a_run_that_is_slow_as_a_whole_leaves_the_ratio_as_it_is() -> None:
    """Quiet and held are drawn by run, together."""
    chance = np.random.default_rng(1)
    slow = [1.0, 1.3, 0.8, 1.1, 1.5, 0.9, 1.2, 1.0]
    alike = of([latencies(chance) for _ in slow]).ratios[Kind.HELD][50]
    unlike = of([latencies(chance, slow=each) for each in slow]).ratios[Kind.HELD][50]
    assert alike.value == pytest.approx(1, abs=0.05)
    assert unlike.value == pytest.approx(1, abs=0.1)
    assert unlike.half_width < 2 * alike.half_width


def test_many_runs_tell_who_is_isolated_and_who_is_not() -> None:
    chance = np.random.default_rng(1)
    assert of([latencies(chance) for _ in range(20)]).state is VerdictState.ISOLATED
    assert of([latencies(chance, held=1.6) for _ in range(20)]).state is VerdictState.NOT_ISOLATED


def test_of_one_run_there_is_no_interval() -> None:
    found = of([latencies(np.random.default_rng(1))])
    assert found.ratios == {}
    assert found.state is None
    assert found.requests[Kind.HELD] == 200


def test_cases_are_the_same_by_number_variant_and_tenants() -> None:
    runs = [run(case(1), case(2)), run(case(1), case(1, tenants=50), case(1, variant="stress-ng"))]
    found = [(each.identity[:3], each.runs) for each in pooled(runs)]
    assert found == [((1, "", 10), 2), ((1, "", 50), 1), ((1, "stress-ng", 10), 1), ((2, "", 10), 1)]


def test_a_bound_is_told_by_its_worst() -> None:
    def measured(held: float, connected: float) -> Case:
        bounds = [
            Bound(what="until held", measured=held, unit="s", at_most=30),
            Bound(what="connected", measured=connected, unit="%", at_least=90),
        ]
        return case(bounds=bounds)

    (found,) = pooled([run(measured(2, 100)), run(measured(31, 95)), run(measured(3, 80))])
    held, connected = found.bounds
    assert (held.worst.measured, held.median, held.met, held.runs) == (31, 3, 2, 3)
    assert (connected.worst.measured, connected.median, connected.met) == (80, 95, 2)
    assert found.passed == 1


def test_failures_are_told_with_how_often() -> None:
    def failed(message: str) -> Case:
        return case(tests=[Outcome(name="t", text="It holds", outcome="failed", seconds=1, message=message)])

    (found,) = pooled([run(failed("late\nand more")), run(failed("late")), run(case()), run(failed(""))])
    assert found.failures == {"It holds: late": 2, "It holds: no reason was recorded": 1}
    assert (found.passed, found.runs) == (1, 4)
