"""Agents that leak, or look as if they did, and what is told of them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TypeVar

from e2e.harness.cluster import EVENT, NODE_REPORT, TENANT_QUOTA, Cluster, Manifest, condition
from e2e.harness.sessions import NoAnswerError, ServedAgent
from e2e.harness.tenants import QUOTA
from e2e.harness.wait import NotYet, wait_until

TOLD_EVERY_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.25
LEAK_FOUND: Final = "LeakFound"
"""The reason of condition LeakFree, and of the Event."""

T = TypeVar("T")
Told = Callable[[float], None]
"""What an agent is told when so many seconds have passed."""


@dataclass(frozen=True)
class Found:
    """What was told of a leak, and how many seconds after its start it was there to be read.

    Attributes:
        start_seconds: of the leak, by this machine's clock.
        report: the finding in the NodeReport, as it was first, with its ``heartbeat``.
        condition: LeakFree.
        event: the message of the Event.
    """

    start_seconds: float
    reported_seconds: float
    report: Manifest
    condition_seconds: float
    condition: Manifest
    event_seconds: float
    event: str


class Teller:
    """What the operator tells of the leaks of one tenant, on one node."""

    def __init__(self, cluster: Cluster, node: str, tenant: str) -> None:
        self._cluster = cluster
        self._node = node
        self._tenant = tenant

    def findings(self) -> list[Manifest]:
        """Those of the tenant in the NodeReport, each with the ``heartbeat``."""
        report = self._cluster.get(NODE_REPORT, self._node)
        return [
            {**finding, "heartbeat": report["heartbeat"]}
            for finding in report.get("findings", [])
            if finding["tenant"] == self._tenant
        ]

    def finding(self, pod: str, kind: str) -> Manifest:
        """
        Raises:
            NotYet: when there is none of that kind.
        """
        findings = self.findings()
        for finding in findings:
            if (finding["pod"], finding["kind"]) == (pod, kind):
                return finding
        raise NotYet(f"findings are {findings}")

    def leak_free(self) -> Manifest:
        """The condition; empty while there is none."""
        return condition(self._cluster.get(TENANT_QUOTA, QUOTA, self._tenant), "LeakFree") or {}

    def is_leak_free(self) -> bool:
        """Nothing is found, in the report as in the condition; else NotYet."""
        findings, told = self.findings(), self.leak_free()
        if findings or told.get("status") != "True":
            raise NotYet(f"findings are {findings}, LeakFree is {told}")
        return True

    def named(self, pod: str) -> Manifest:
        """The condition that says that the pod leaks; else NotYet."""
        told = self.leak_free()
        if (told.get("status"), told.get("reason")) != ("False", LEAK_FOUND) or pod not in told["message"]:
            raise NotYet(f"LeakFree is {told}")
        return told

    def events(self) -> list[str]:
        """The messages of the Events of leaks, since the tenant is there."""
        found = self._cluster.objects(EVENT, self._tenant)
        return [event["message"] for event in found if event["reason"] == LEAK_FOUND]

    def event(self, pod: str) -> str:
        """That of the pod; else NotYet."""
        events = self.events()
        for message in events:
            if pod in message:
                return message
        raise NotYet(f"events are {events}")


class Course:
    """What an agent is told, once a second, from a thread of its own: from ``__enter__`` until ``stop``, or
    until the agent no longer answers.

    Attributes:
        start_seconds: when it was told for the first time, by this machine's clock.
    """

    def __init__(self, tell: Told) -> None:
        self._tell = tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: Exception | None = None
        self.start_seconds = 0.0
        self._ended_seconds: float | None = None

    def __enter__(self) -> Self:
        self.start_seconds = time.time()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Tells nothing more."""
        self._stop.set()
        self._thread.join()

    def seconds(self) -> float:
        """Since its start."""
        return time.time() - self.start_seconds

    def ended(self, *, deadline_seconds: float) -> float:
        """Waits until the agent no longer answers; how many seconds after the start that was.

        Raises:
            DeadlineExceededError: when it goes on answering.
        """
        ended = wait_until(
            lambda: self._ended_seconds,
            what="an agent to be ended by what it was told",
            deadline_seconds=deadline_seconds,
        )
        return ended - self.start_seconds

    def watch(self, teller: Teller, pod: str, kind: str, deadline_seconds: float) -> Found:
        """Waits until the leak that this is has been told of everywhere.

        Raises:
            NoAnswerError: when the agent doesn't answer meanwhile.
            DeadlineExceededError: says what is missing.
        """

        def first(ask: Callable[[str], T]) -> tuple[float, T]:
            def asked() -> T:
                self.check()
                return ask(pod)

            left = self.start_seconds + deadline_seconds - time.time()
            told = wait_until(asked, what=f"leak {kind}", deadline_seconds=left, poll_seconds=POLL_SECONDS)
            return self.seconds(), told

        reported_seconds, report = first(lambda name: teller.finding(name, kind))
        condition_seconds, told = first(teller.named)
        event_seconds, event = first(teller.event)
        return Found(
            self.start_seconds, reported_seconds, report, condition_seconds, told, event_seconds, event
        )

    def check(self) -> None:
        """
        Raises:
            NoAnswerError: when the agent didn't answer.
        """
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        turns = 0
        while not self._stop.wait(max(0.0, self.start_seconds + turns * TOLD_EVERY_SECONDS - time.time())):
            turns += 1
            try:
                self._tell(time.time() - self.start_seconds)
            except NoAnswerError as error:
                self._error, self._ended_seconds = error, time.time()
                return


@dataclass(frozen=True)
class Leak:
    """One kind of leak, as it is planted.

    Attributes:
        kind: as the findings call it.
        per_minute: bytes, files or processes; of CPU, core-seconds.
        tell: has an agent hold what has leaked after so many seconds; 0 gives it back.
    """

    kind: str
    per_minute: float
    tell: Callable[[ServedAgent, float], None]


def growing(
    what: Callable[[ServedAgent, int], None], per_minute: float
) -> Callable[[ServedAgent, float], None]:
    """A leak that takes evenly, be it in ever so small pieces."""
    return lambda agent, seconds: what(agent, int(per_minute * seconds / 60))
