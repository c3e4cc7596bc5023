"""Quiet tenants beside a noisy one, whose quota first only observes and is then enforced; live."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

from e2e.demo.terminal import Terminal
from e2e.harness import isolation, load, services
from e2e.harness.cluster import Cluster
from e2e.harness.interleaving import Interleaved, at_most_seconds, interleaved
from e2e.harness.isolation import Customers, Scene
from e2e.harness.load import Load
from e2e.harness.node_agent import find_node_agents
from e2e.harness.served import Terms, serving
from e2e.results import Case, Outcome, Recorder
from e2e.validation import charts
from e2e.validation.statistics import percentile
from e2e.validation.verdict import JUDGED, Validation, validate
from e2e.validation.windows import Kind, order

TENANTS: Final = ("noisy", "quiet-1", "quiet-2", "quiet-3")
HOGS: Final = 1
CUSTOMERS: Final = Customers(requests_per_second=4)
ROUNDS: Final = 2
WINDOW_SECONDS: Final = 5.0
FORMER_HOG: Final = ("deployment", "hog", "--namespace=acme")
MILLISECONDS_PER_CELL: Final = 4.0
WIDEST: Final = 40
WORDS: Final = {
    Kind.QUIET: "quiet",
    Kind.NOT_HELD: "noise, not held",
    Kind.HELD: "noise, held",
}


def show(cluster: Cluster, terminal: Terminal) -> Case:
    """What was found, for the report.

    Raises:
        DeadlineExceededError, LoadFailedError: when the scene can't be had.
    """
    terminal.title("Three quiet tenants and a noisy one; Redis and PostgreSQL for all of them")
    # of an earlier show
    terminal.kubectl("delete", *FORMER_HOG, "--ignore-not-found")
    record = Recorder(
        4,
        "Isolation, as shown by the demo",
        "One tenant keeps four threads busy. The customers of three latency-sensitive ones send four requests"
        " a second, of 20 ms of CPU each: while it is quiet, while the noise is only observed, and while it"
        " is held.",
        len(TENANTS),
    )
    with (
        services.running(cluster) as running,
        load.driver_pod(cluster) as driver_pod,
        serving(
            cluster,
            running,
            "demo",
            *TENANTS,
            terms=isolation.terms(TENANTS, Terms(cpu="2", memory="192Mi"), hogs=HOGS),
        ) as served,
        isolation.scene(
            cluster,
            find_node_agents(cluster),
            driver_pod,
            served,
            hogs=HOGS,
            customers=[CUSTOMERS] * (len(TENANTS) - HOGS),
            seconds=at_most_seconds(len(order(ROUNDS)), WINDOW_SECONDS),
        ) as scene,
    ):
        terminal.title(
            f"How long their customers wait, each second, while the noisy one keeps {isolation.NOISE_CORES}"
            " threads busy"
        )
        with live(terminal, scene.load) as now:
            run = interleaved(scene, order(ROUNDS), WINDOW_SECONDS, now.append)
        found = validate(run.windows)
        tell(terminal, found, run)
        fill(record, scene, run, found)
    tested = outcome(run, found)
    return record.case(tests=[tested], seconds=tested.seconds)


@contextmanager
def live(terminal: Terminal, of: Load) -> Iterator[list[Kind]]:
    """A line for each second of the load; the list's last entry is what goes on."""
    stop, kinds = threading.Event(), [Kind.QUIET]

    def run() -> None:
        second = int(of.now)
        while not stop.wait(max(0.0, second + 1 + load.TOLD_SECONDS - of.now)):
            waits = of.between(second, second + 1).latencies_ms()
            if waits:
                terminal.say(line(second, kinds[-1], waits))
            second += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield kinds
    finally:
        stop.set()
        thread.join()


def line(second: int, kind: Kind, waits: list[float]) -> str:
    """Of one second: the median wait as a bar, and the longest."""
    median, longest = percentile(waits, 50), max(waits)
    cells = min(WIDEST, round(median / MILLISECONDS_PER_CELL))
    tail = max(0, min(WIDEST, round(longest / MILLISECONDS_PER_CELL)) - cells)
    bar = "█" * cells + "░" * tail
    return f"  {second:3} s  {WORDS[kind]:15}  median {median:4.0f} ms  longest {longest:4.0f} ms  {bar}"


def tell(terminal: Terminal, found: Validation, run: Interleaved) -> None:
    """What it comes to."""
    terminal.say()
    rows = [
        (WORDS[kind], str(each.count), f"{each.p50:.1f} ms", f"{each.p95:.1f} ms", f"{each.p99:.1f} ms")
        for kind, each in found.summaries.items()
    ]
    terminal.table(("", "REQUESTS", "MEDIAN", "P95", "P99"), rows)
    held = ", ".join(f"{seconds:.1f}" for seconds in run.held_after_seconds)
    back = ", ".join(f"{seconds:.1f}" for seconds in run.given_back_after_seconds)
    terminal.say(
        f"\n  The noisy tenant was held {held} s after it began, and given back {back} s after it ended."
    )
    terminal.say(f"  {found.verdict.text}")


def fill(record: Recorder, scene: Scene, run: Interleaved, found: Validation) -> None:
    record.verdict = found.verdict
    record.goal("from onset to hold, the slowest", max(run.held_after_seconds), "s", at_most=3)
    record.goal("from quiet to give-back, the slowest", max(run.given_back_after_seconds), "s", at_most=15)
    degradation = (found.held[JUDGED].ratio.value - 1) * 100
    record.goal("degradation of p99 while held", degradation, "%", at_most=10)
    record.charts += [
        charts.over_time(scene.load.all().answered, run.windows, scene.moments),
        charts.by_kind(found),
    ]
    record.figures["latency"] = asdict(found)


def outcome(run: Interleaved, found: Validation) -> Outcome:
    """The one thing that a show must prove: who is held is felt less."""
    less = found.held[50].ratio.value < found.not_held[50].ratio.value
    return Outcome(
        name="held_noise_is_felt_less",
        text="Held noise makes customers wait less than noise that nobody holds.",
        outcome="passed" if less else "failed",
        seconds=sum(window.seconds for window in run.windows),
        message="" if less else found.verdict.text,
    )
