"""``spec.cleanup``: finished pods are removed once they have been finished for long enough.

Kubernetes keeps a finished pod until its owner or somebody deletes it, or until there are 12500 of them in
the cluster (kube-controller-manager, ``--terminated-pod-gc-threshold``). A Job's pods are the Job's: it has a
``ttlSecondsAfterFinished`` of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tenantquota.api.status import Decision
from tenantquota.domain.decisions import Outcome
from tenantquota.domain.model import FinishedPod, Quota
from tenantquota.domain.resizes import Rule

MOST_AT_ONCE: Final = 50
"""In one look at a namespace, so that limits there don't wait for long."""
NEXT_SECONDS: Final = 1.0
"""To the next of them."""


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What is to be removed of a quota's pods.

    Attributes:
        remove: those that finished first come first.
        again_seconds: when to look again though nothing is heard.
    """

    remove: tuple[FinishedPod, ...] = ()
    again_seconds: float | None = None


NOTHING_TO_REMOVE: Final = Cleanup()


def cleanup_of(quota: Quota, pods: Iterable[FinishedPod], ages_seconds: Mapping[str, float]) -> Cleanup:
    """What is to be removed now.

    Args:
        pods: that the quota alone selects.
        ages_seconds: by pod's uid, since it finished. Who isn't in it is being removed already.
    """
    ttl = quota.finished_ttl_seconds
    if ttl is None:
        return NOTHING_TO_REMOVE
    waiting = [(ages_seconds[pod.uid], pod) for pod in pods if pod.uid in ages_seconds and not pod.of_job]
    due = sorted(((age, pod) for age, pod in waiting if age >= ttl), key=lambda of: (-of[0], of[1].name))
    remove = tuple(pod for _, pod in due[:MOST_AT_ONCE])
    if len(due) > MOST_AT_ONCE:
        return Cleanup(remove, NEXT_SECONDS)
    return Cleanup(remove, min((ttl - age for age, _ in waiting if age < ttl), default=None))


@dataclass(frozen=True, slots=True)
class Removal:
    """One pod, and what came of its removal."""

    pod: FinishedPod
    outcome: Outcome
    message: str = ""

    def correlation_id(self) -> str:
        """Of its audit record: there is one for each pod and outcome."""
        return f"{self.pod.uid}@{self.pod.finished}"


def told(quota: Quota, removals: Iterable[Removal], now: str) -> tuple[Decision, ...]:
    """In words, one decision for all that came out the same."""
    groups: dict[tuple[Outcome, str], list[Removal]] = {}
    for removal in removals:
        if removal.outcome is not Outcome.GONE:
            groups.setdefault((removal.outcome, removal.message), []).append(removal)
    return tuple(
        Decision(
            time=now,
            rule=Rule.FINISHED_POD_REMOVED,
            target=f"pod {of[0].pod.name}" if len(of) == 1 else f"{len(of)} pods",
            outcome=outcome,
            message=f"finished {quota.finished_ttl_seconds} s ago or earlier"
            + (f" ({message})" if message else ""),
            mode=quota.enforcement,
            correlation_id=of[0].correlation_id(),
        )
        for (outcome, message), of in groups.items()
    )
