"""How fast a noisy neighbour yields and gets back, and what its victim feels, over many onsets."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from e2e.harness import load, noise, services, sessions
from e2e.harness.cluster import Cluster
from e2e.harness.figures import REPORTS, Summary, write_report
from e2e.harness.node_agent import NodeAgent
from e2e.harness.noise import Neighbours, seconds_until

LEARNING_SECONDS: Final = 45.0
ROUND_SECONDS: Final = 10.0
SHARE_MILLI: Final = 500
"""Of each of the hog's two pods: about half of two CPUs together."""
LIMITED: Final = "limited to its share"
HELD: Final = "held"
FROM_THE_ONSET: Final = "held, the first 10 s"
ON_OFF_PERIODS_SECONDS: Final = (5.0, 10.0, 20.0, 60.0)
DEADLINE_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Result:
    """Seconds, but for latencies, which are in ms.

    Attributes:
        yields: from the onset of noise to the weights in the cgroup files.
        written: from the look that found it to the weights in the files, by the agent's log.
        named: from the onset to the status that names the victim, of noise that nobody holds.
        given_back: from the end of noise to the old weights and limits.
        capped: from the onset to a lower limit in the cgroup file, where weights don't free the victim.
        resized: from the decision on that to the limit in the file.
        latency_ms: of the victim's requests of some 20 ms of CPU, by what the hog did meanwhile.
        on_off_ms: the same beside a hog that is on and off, by the seconds of its period.
        on_off_yields: how often the hog began to yield meanwhile.
    """

    yields: Summary
    written: Summary
    named: Summary
    given_back: Summary
    capped: Summary
    resized: Summary
    latency_ms: dict[str, Summary]
    on_off_ms: dict[str, Summary]
    on_off_yields: dict[str, int]


def measure(
    cluster: Cluster,
    node_agents: dict[str, NodeAgent],
    *,
    count: int,
    rounds: int,
    say: Callable[[str], None],
) -> Result:
    """
    Raises:
        DeadlineExceededError: when something doesn't come about.
    """
    say("starting a hog and its victim")
    with (
        services.running(cluster) as stores,
        sessions.opened() as told,
        load.driver_pod(cluster) as driver,
        noise.neighbours(cluster, stores, told, driver, node_agents) as of,
    ):
        say(f"a quiet time of {LEARNING_SECONDS:.0f} s")
        of.load(LEARNING_SECONDS)
        found: dict[str, list[float]] = {"yield_seconds": [], "give_back_seconds": []}
        for number in range(count):
            for name, values in noise.onsets(of, 1, DEADLINE_SECONDS).items():
                found[name] += values
            say(
                f"onset {number + 1:2} of {count}: yields after {found['yield_seconds'][-1]:.2f} s,"
                f" given back after {found['give_back_seconds'][-1]:.1f} s"
            )
        written = _written(of)
        named = _named(of, max(1, count // 4), say)
        capped, resized = _capped(of, max(2, count // 4), say)
        latencies = _latencies(of, rounds, say)
        on_off, on_off_yields = _on_off(of, rounds, say)
    return Result(
        Summary.of(found["yield_seconds"]),
        Summary.of(written),
        Summary.of(named),
        Summary.of(found["give_back_seconds"]),
        Summary.of(capped),
        Summary.of(resized),
        {name: Summary.of(values) for name, values in latencies.items()},
        {name: Summary.of(values) for name, values in on_off.items()},
        on_off_yields,
    )


def _written(of: Neighbours) -> list[float]:
    return [record["tookSeconds"] for record in of.records("TenantYields")]


def _capped(of: Neighbours, count: int, say: Callable[[str], None]) -> tuple[list[float], list[float]]:
    """Where weights don't free a victim: from the onset to a lower limit in the cgroup file, and the part of
    it from the node agent's decision on."""
    onset: list[float] = []
    decided: list[float] = []
    with of.crowd(), of.without_room():
        for _ in range(count):
            with ThreadPoolExecutor() as threads:
                load = threads.submit(of.load, 2 * ROUND_SECONDS)
                with of.noise():
                    onset.append(seconds_until(of.capped, "a lower limit", DEADLINE_SECONDS))
                    decided.append(time.time() - _seconds(of.records("TenantCapped")[-1]["time"]))
                load.result()
            say(f"a limit lowered after {onset[-1]:.1f} s, {decided[-1]:.2f} s after the decision")
            seconds_until(of.quiet, "quiet", DEADLINE_SECONDS)
    return onset, decided


def _seconds(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()


def _named(of: Neighbours, count: int, say: Callable[[str], None]) -> list[float]:
    found = []
    of.enforce("Observe")
    for _ in range(count):
        with ThreadPoolExecutor() as threads:
            load = threads.submit(of.load, ROUND_SECONDS)
            with of.noise():
                found.append(seconds_until(of.named, "the harm to be named", DEADLINE_SECONDS))
            load.result()
        say(f"the harm is named after {found[-1]:.2f} s")
        seconds_until(of.over, "the end of it", DEADLINE_SECONDS)
    of.enforce("Enforce")
    return found


def _latencies(of: Neighbours, rounds: int, say: Callable[[str], None]) -> dict[str, list[float]]:
    """Two quiet windows in each round, one held against the other: the noise floor. What limits would do that
    let the hog have its share and no more is held against the weights."""
    names = ("quiet", "quiet again", "not held", LIMITED, FROM_THE_ONSET, HELD)
    found: dict[str, list[float]] = {name: [] for name in names}

    def measure(name: str) -> None:
        found[name] += of.load(ROUND_SECONDS).latencies_ms()

    for number in range(rounds):
        measure("quiet")
        of.enforce("Observe")
        with of.noise():
            measure("not held")
        of.enforce("Enforce")
        seconds_until(of.quiet, "quiet", DEADLINE_SECONDS)
        with of.noise():
            measure(FROM_THE_ONSET)
            measure(HELD)
        with of.limited(SHARE_MILLI), of.noise():
            measure(LIMITED)
        seconds_until(of.quiet, "quiet", DEADLINE_SECONDS)
        measure("quiet again")
        say(f"round {number + 1} of {rounds}")
    return found


def _on_off(
    of: Neighbours, rounds: int, say: Callable[[str], None]
) -> tuple[dict[str, list[float]], dict[str, int]]:
    found: dict[str, list[float]] = {}
    yields: dict[str, int] = {}
    for period in ON_OFF_PERIODS_SECONDS:
        times = max(2, round(rounds * ROUND_SECONDS / period))
        before, name = len(_written(of)), f"on and off every {period:.0f} s"
        with ThreadPoolExecutor() as threads:
            load = threads.submit(of.load, times * period)
            for _ in range(times):
                with of.noise():
                    time.sleep(period / 2)  # the load that is measured
                time.sleep(period / 2)
            found[name] = load.result().latencies_ms()
        yields[name] = len(_written(of)) - before
        say(f"{name}, {times} times: yields began {yields[name]} times")
        seconds_until(of.quiet, "quiet", DEADLINE_SECONDS)
    return found, yields


def markdown(machine: Mapping[str, Any], result: Result) -> str:
    where = ", ".join(f"{key} {value}" for key, value in machine.items())
    quiet = result.latency_ms["quiet"]
    return "\n".join(
        [
            "# What a noisy neighbour costs, and for how long",
            "",
            "| seconds | onsets | median | p95 | most | goal (p95) |",
            "|---|---:|---:|---:|---:|---:|",
            _row("onset to the weights in the cgroup files", result.yields, 3.1),
            _row("the look that finds it to the weights in the files", result.written, 0.1),
            _row("onset to the harm named in the status (not held)", result.named, 3.0),
            _row("a limit decided to the limit in the cgroup file", result.resized, 1.0),
            _row("onset to that (where weights don't free the victim)", result.capped, 60.0),
            _row("end of noise to the old weights and limits", result.given_back, 15.0),
            "",
            "| victim's requests of 20 ms, ms | count | median | p95 | p99 | p99 to quiet |",
            "|---|---:|---:|---:|---:|---:|",
            *(
                f"| {name} | {each.count} | {each.median:.1f} | {each.p95:.1f} | {each.p99:.1f}"
                f" | {each.p99 / quiet.p99:.2f} |"
                for name, each in (result.latency_ms | result.on_off_ms).items()
            ),
            "",
            *(f"A hog {name} began to yield {count} times." for name, count in result.on_off_yields.items()),
            "",
            f"Measured on: {where}.",
            "",
        ]
    )


def _row(what: str, of: Summary, goal: float) -> str:
    return f"| {what} | {of.count} | {of.median:.3g} | {of.p95:.3g} | {of.most:.3g} | {goal:.1f} |"


def write(machine: Mapping[str, Any], result: Result) -> Sequence[Path]:
    """Writes ``reports/bench_neighbours.md`` and ``.json``."""
    json_path = write_report("bench_neighbours", {"machine": machine, **asdict(result)})
    markdown_path = REPORTS / "bench_neighbours.md"
    markdown_path.write_text(markdown(machine, result))
    return [markdown_path, json_path]
