"""What comes of a stressor: who is harmed, who is blamed and held for it, and how soon."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Final, Self

import psutil

from e2e.harness.figures import Summary
from e2e.harness.load import Answers
from e2e.harness.noise import LEAST_WEIGHT
from e2e.harness.readings import cpu_use
from e2e.harness.stress import Running, Stressor
from e2e.harness.stressed import Scene, blames
from e2e.harness.wait import DeadlineExceededError, NotYet, wait_until

LOAD_SECONDS: Final = 3.0
LOOK_SECONDS: Final = 1.0
MILD_SECONDS: Final = 3.0
"""One that may leave some CPU is waited for so long; what comes later is seen by a look each second."""
HARM_FACTOR: Final = 1.5
"""So many times the latency of a quiet node, at the median or at p99, is harm."""


@dataclass(frozen=True)
class Outcome:
    """What came of one stressor. Times are seconds from the moment when it was told to start, or to end, by
    this machine's clock; latencies those of the victims' requests, in ms.

    Attributes:
        used_milli: CPU that the stressor used while nobody held it.
        system_milli: CPU that all that is no tenant's used meanwhile, these tests included.
        found_seconds: until the node's report named it; None where it did not.
        held_seconds: until the cgroup files had it yield.
        named_seconds: until its quota's status named a victim, by a look each second.
        given_back_seconds: until all weights were as before; None where it wasn't held in the end.
        blamed: who else was told of or held at any time.
        failed: requests of the victims that were not answered.
    """

    stressor: str
    used_milli: float
    system_milli: float
    found_seconds: float | None
    held_seconds: float | None
    named_seconds: float | None
    given_back_seconds: float | None
    blamed: tuple[str, ...]
    failed: int
    quiet: Summary
    not_held: Summary
    held: Summary | None

    @property
    def harmed(self) -> bool:
        """The victims felt it while nobody held it."""
        before, during = self.quiet, self.not_held
        return max(during.median / before.median, during.p99 / before.p99) >= HARM_FACTOR

    @property
    def told_apart(self) -> bool:
        """The culprit was found and held, and nobody else was."""
        return self.found_seconds is not None and self.held_seconds is not None and not self.blamed

    def row(self) -> dict[str, Any]:
        """Of the table of all stressors."""
        return {
            "stressor": self.stressor,
            "harmed": self.harmed,
            "told_apart": self.told_apart,
            "others_blamed": self.blamed,
            "found_after_seconds": self.found_seconds,
            "held_after_seconds": self.held_seconds,
            "named_after_seconds": self.named_seconds,
            "given_back_after_seconds": self.given_back_seconds,
            "cpu_used_milli": self.used_milli,
            "cpu_used_by_system_milli": self.system_milli,
            "latency_ms": {
                "quiet": asdict(self.quiet),
                "not_held": asdict(self.not_held),
                "held": asdict(self.held) if self.held else None,
            },
        }


class Onset:
    """When a culprit was found, by the node's report, and held, by the cgroup files; in seconds since the
    start, None while it was not."""

    def __init__(self, of: Scene, culprit: str, start_seconds: float) -> None:
        self._scene = of
        self._culprit = culprit
        self._start_seconds = start_seconds
        self.found_seconds: float | None = None
        self.held_seconds: float | None = None

    def wait(self, deadline_seconds: float) -> None:
        """
        Raises:
            DeadlineExceededError: when it isn't both in time.
        """
        wait_until(
            self._look, what=f"{self._culprit} to be found and held", deadline_seconds=deadline_seconds
        )

    def _look(self) -> bool:
        if self.held_seconds is None and self._scene.yields(self._culprit):
            self.held_seconds = time.monotonic() - self._start_seconds
        if self.found_seconds is None and self._culprit in self._scene.reported():
            self.found_seconds = time.monotonic() - self._start_seconds
        if self.held_seconds is None or self.found_seconds is None:
            raise NotYet(f"weights are {self._scene.weights()}, and {self._scene.reported()} yield")
        return True


class Watch:
    """What is told of a stressor while it runs and after, from ``__enter__`` until ``__exit__``.

    Attributes:
        blamed: whoever but the culprit is told of or held at any time.
        found_seconds, held_seconds, named_seconds: when the node's report first named the culprit, its cgroup
            had it yield, its status named a victim; after the start, None until then.
    """

    def __init__(self, scene: Scene, culprit: str) -> None:
        self._scene = scene
        self._culprit = culprit
        self._start_seconds = time.monotonic()
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self.blamed: set[str] = set()
        self.found_seconds: float | None = None
        self.held_seconds: float | None = None
        self.named_seconds: float | None = None

    def __enter__(self) -> Self:
        self._looks = self._thread.submit(self._run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._looks.result()
        self._thread.shutdown()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._look()
        self._look()

    def _look(self) -> None:
        isolated, reported = self._scene.isolated(), self._scene.reported()
        held = {tenant for tenant, weight in self._scene.weights().items() if weight <= LEAST_WEIGHT}
        now = time.monotonic() - self._start_seconds
        if self.found_seconds is None and self._culprit in reported:
            self.found_seconds = now
        if self.held_seconds is None and self._culprit in held:
            self.held_seconds = now
        if self.named_seconds is None and self._scene.names_a_victim(isolated[self._culprit]):
            self.named_seconds = now
        told = {tenant for tenant, found in isolated.items() if blames(found)}
        self.blamed |= (told | held | reported) - {self._culprit}


def measure(of: Scene, stressor: Stressor, deadline_seconds: float) -> Outcome:
    """One stressor from start to end: held; for a while only observed; held again, and given back. One that
    isn't held is observed as it is.

    Raises:
        DeadlineExceededError: when one that wants CPU isn't found and held, or what was changed isn't given
            back.
    """
    culprit = of.culprits[stressor.name]
    held: Answers | None = None
    held_again, given_back_seconds = False, None
    patience_seconds = deadline_seconds if stressor.wants_cpu else MILD_SECONDS
    forgiven = () if stressor.wants_cpu else (DeadlineExceededError,)
    with Watch(of, culprit) as watch:
        with Running(of.cluster, culprit, stressor) as running:
            onset = Onset(of, culprit, running.start_seconds)
            with suppress(*forgiven):
                onset.wait(patience_seconds)
            if onset.held_seconds is None:
                not_held, used_milli, system_milli = observe(of, culprit)
            else:
                held = of.load(LOAD_SECONDS)
                with of.observed(culprit):
                    _wait(of.alike, "the weights of before", deadline_seconds)
                    not_held, used_milli, system_milli = observe(of, culprit)
                with suppress(*forgiven):
                    _wait(lambda: of.yields(culprit), "it to be held again", patience_seconds)
                    held_again = True
            stopped = running.stop()
        with ThreadPoolExecutor() as threads:
            load = threads.submit(of.load, LOAD_SECONDS)
            if held_again:
                _wait(of.alike, "the weights of before", deadline_seconds)
                given_back_seconds = time.monotonic() - stopped
            quiet = load.result()
        _wait(of.quiet, "quiet", deadline_seconds)
    return Outcome(
        stressor=stressor.name,
        used_milli=used_milli,
        system_milli=system_milli,
        found_seconds=watch.found_seconds if onset.found_seconds is None else onset.found_seconds,
        held_seconds=watch.held_seconds if onset.held_seconds is None else onset.held_seconds,
        named_seconds=watch.named_seconds,
        given_back_seconds=given_back_seconds,
        blamed=tuple(sorted(watch.blamed)),
        failed=sum(each.failures for each in (quiet, not_held, held) if each),
        quiet=Summary.of(quiet.latencies_ms()),
        not_held=Summary.of(not_held.latencies_ms()),
        held=Summary.of(held.latencies_ms()) if held else None,
    )


def observe(of: Scene, culprit: str) -> tuple[Answers, float, float]:
    """What comes of the victims' requests while nobody holds a stressor; and the milli-CPU that it uses, and
    all that is no tenant's."""
    busy_before, before = _busy_seconds(), of.cgroups.read(of.containers)
    answers = of.load(LOAD_SECONDS)
    busy, after = _busy_seconds() - busy_before, of.cgroups.read(of.containers)
    used = {item.namespace: cpu_use(before[item], after[item]) for item in of.containers}
    system_milli = busy / used[culprit].seconds * 1000 - sum(each.millicores for each in used.values())
    return answers, used[culprit].millicores, system_milli


def _busy_seconds() -> float:
    """Of all CPUs together, since the machine's start. The nodes are on this machine."""
    times = psutil.cpu_times()
    return times.user + times.nice + times.system + times.irq + times.softirq


def _wait(condition: Callable[[], bool], what: str, deadline_seconds: float) -> None:
    wait_until(condition, what=what, deadline_seconds=deadline_seconds)
