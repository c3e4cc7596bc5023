"""The report on noisy neighbours, from figures alone."""

from e2e.bench.neighbours import Result, markdown
from e2e.harness.figures import Summary

SECONDS = Summary.of([1.0, 2.0, 3.0])
RESULT = Result(
    yields=SECONDS,
    written=Summary.of([0.001]),
    named=Summary.of([2.5]),
    given_back=Summary.of([11.0]),
    capped=Summary.of([9.0]),
    resized=Summary.of([0.8]),
    latency_ms={"quiet": Summary.of([20.0] * 100), "held": Summary.of([25.0] * 100)},
    on_off_ms={"on and off every 5 s": Summary.of([30.0] * 100)},
    on_off_yields={"on and off every 5 s": 1},
)


def test_every_figure_stands_beside_its_goal() -> None:
    text = markdown({"cores": 2}, RESULT)

    assert "| onset to the weights in the cgroup files | 3 | 2 | 2.9 | 3 | 3.1 |" in text
    assert "| a limit decided to the limit in the cgroup file | 1 | 0.8 | 0.8 | 0.8 | 1.0 |" in text
    assert "| end of noise to the old weights and limits | 1 | 11 | 11 | 11 | 15.0 |" in text


def test_latencies_are_compared_with_quiet() -> None:
    text = markdown({"cores": 2}, RESULT)

    assert "| held | 100 | 25.0 | 25.0 | 25.0 | 1.25 |" in text
    assert "| on and off every 5 s | 100 | 30.0 | 30.0 | 30.0 | 1.50 |" in text
    assert "A hog on and off every 5 s began to yield 1 times." in text
