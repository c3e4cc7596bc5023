"""``spec.leaks.action: Restart``: the pod of a leak is evicted, one pod at a time and ever more rarely.

An eviction heeds PodDisruptionBudgets. A pod that nothing makes anew is never evicted. What was tried last
stands in the status, so that a new controller waits as long as the last one would have.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import Final

from tenantquota.api.leaks import Action, Kind
from tenantquota.api.status import Decision, LeakRestart
from tenantquota.domain.decisions import Outcome
from tenantquota.domain.model import Pod, Quota
from tenantquota.domain.reports import ReportedLeak
from tenantquota.domain.resizes import Rule

FIRST_WAIT_SECONDS: Final = 120
LONGEST_WAIT_SECONDS: Final = 1800
"""From one eviction of a tenant's pods to the next; twice as long each time, since a leak that is back after
a restart will be back after the next."""
FORGET_SECONDS: Final = 3600
"""After so long without an eviction, the next waits begin anew."""
FIRST_RETRY_SECONDS: Final = 10
LONGEST_RETRY_SECONDS: Final = 300
"""From an eviction that was refused to the next attempt; twice as long each time."""
ASKED: Final = "Asked"
"""The outcome while the API server is asked: who takes over then can't know whether it was."""
EVICTED: Final = "Evicted"
"""The outcome once the pod is seen to run no more."""
BARE: Final = "no controller would make it anew, so it is not restarted: delete it and create it anew"
_MESSAGE_LENGTH: Final = 1024
_RESTARTED: Final = frozenset({Kind.MEMORY_FAST, Kind.MEMORY_SLOW, Kind.OPEN_FILES, Kind.PROCESSES})
_REFUSED: Final = frozenset({Outcome.REFUSED, Outcome.FAILED})


@dataclass(frozen=True, slots=True)
class Eviction:
    """A pod that is to be evicted now."""

    pod: Pod
    leak: ReportedLeak
    wait_seconds: int
    """From it to the next one."""
    waited_seconds: int
    """From the one before to it; what stays in force if it is refused."""
    retry_seconds: int
    """Until it is tried again, if it is refused."""

    def tried(self, outcome: str, message: str, now: str) -> LeakRestart:
        """What the status is to say of it."""
        refused = outcome in _REFUSED
        return LeakRestart(
            time=now,
            pod=self.pod.name,
            uid=self.pod.uid,
            container=self.leak.container,
            kind=self.leak.kind,
            since=self.leak.since,
            rate_per_minute=self.leak.rate_per_minute,
            evidence=self.leak.evidence,
            outcome=outcome,
            message=message[:_MESSAGE_LENGTH],
            wait_seconds=self.waited_seconds if refused else self.wait_seconds,
            retry_seconds=self.retry_seconds if refused else 0,
        )


@dataclass(frozen=True, slots=True)
class Restarts:
    """What is to be done about a quota's leaks by restarts."""

    last: LeakRestart | None = None
    """What the status says of the last attempt, or is to say."""
    evict: Eviction | None = None
    bare: tuple[tuple[Pod, ReportedLeak], ...] = ()
    """Pods that leak and that nothing would make anew."""
    ended: bool = False
    """The pod that was evicted last is seen to run no more."""
    again_seconds: float | None = None
    """When to look again though nothing is heard."""


NO_RESTARTS: Final = Restarts()


def restarts_of(
    quota: Quota,
    leaks: Iterable[tuple[Pod, ReportedLeak]],
    running: Collection[str],
    since_seconds: float = inf,
) -> Restarts:
    """What is to be done, from the leaks that are confirmed and the last attempt in the status.

    Args:
        running: the uids of the namespace's pods that are neither finished nor being deleted.
        since_seconds: since the last attempt.
    """
    last = quota.status.leaks.restart if quota.status.leaks else None
    ended = last is not None and last.outcome in {ASKED, Outcome.APPLIED} and last.uid not in running
    if last is not None and ended:
        last = last.model_copy(update={"outcome": EVICTED})
    if quota.leak_action is not Action.RESTART:
        return Restarts(last, ended=ended)
    found = [(pod, leak) for pod, leak in leaks if leak.kind in _RESTARTED]
    bare = tuple((pod, leak) for pod, leak in found if not restartable(pod))
    candidates = [(pod, leak) for pod, leak in found if restartable(pod)]
    left = pause_seconds(last) - since_seconds
    if not candidates or left > 0:
        return Restarts(last, None, bare, ended, left if candidates else None)
    pod, leak = min(candidates, key=lambda of: (_refused(last, of[0]), of[1].since, of[0].name))
    return Restarts(last, _eviction(pod, leak, last, since_seconds), bare, ended)


def restartable(pod: Pod) -> bool:
    """Something makes it anew. A static pod's owner is its node, which starts it from a file."""
    return pod.controlled and not pod.static


def pause_seconds(last: LeakRestart | None) -> float:
    """From the last attempt to the next."""
    if last is None:
        return 0.0
    return last.retry_seconds if last.outcome in _REFUSED else last.wait_seconds


def told(quota: Quota, of: LeakRestart) -> Decision:
    """The decision in words."""
    words = f"{of.container}: {of.evidence}, since {of.since}"
    return Decision(
        time=of.time,
        rule=Rule.LEAK_RESTARTED,
        target=f"pod {of.pod}",
        outcome=of.outcome,
        message=f"{words} ({of.message})" if of.message else words,
        mode=quota.enforcement,
        correlation_id=correlation_id(of),
    )


def skipped(pod: Pod, leak: ReportedLeak, now: str) -> LeakRestart:
    """That a pod isn't evicted. The words stay the same while the leak goes on, so that it is told once."""
    leak = replace(leak, evidence=f"{leak.kind.value} leak")
    return Eviction(pod, leak, 0, 0, 0).tried(Outcome.SKIPPED, BARE, now)


def correlation_id(of: LeakRestart) -> str:
    """From what stands in the status, so that a new controller closes what its predecessor began."""
    return f"{of.uid}@{of.time}"


def _eviction(pod: Pod, leak: ReportedLeak, last: LeakRestart | None, since_seconds: float) -> Eviction:
    waited = last.wait_seconds if last is not None and since_seconds < FORGET_SECONDS else 0
    refused = last is not None and last.outcome in _REFUSED
    retry = last.retry_seconds if last is not None and refused else 0
    return Eviction(
        pod,
        leak,
        wait_seconds=min(2 * waited, LONGEST_WAIT_SECONDS) or FIRST_WAIT_SECONDS,
        waited_seconds=waited,
        retry_seconds=min(2 * retry, LONGEST_RETRY_SECONDS) or FIRST_RETRY_SECONDS,
    )


def _refused(last: LeakRestart | None, pod: Pod) -> bool:
    """Where its eviction was refused last, another pod's turn comes first."""
    return last is not None and last.outcome in _REFUSED and last.uid == pod.uid
