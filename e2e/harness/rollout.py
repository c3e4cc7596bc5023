"""Many pods, started a few at a time."""

import logging
from collections.abc import Sequence
from typing import Final

from e2e.harness import many
from e2e.harness.cluster import POD, Cluster, Container, Manifest, is_ready, running_containers, state
from e2e.harness.wait import NotYet, wait_until

LOG: Final = logging.getLogger(__name__)
AT_ONCE: Final = 6
"""Pods whose containers don't run yet. Each start takes a second of CPU and more; where a hundred do so at
once on two cores, runc gives up on one after the other: on cgroup v1 it freezes a new container while it sets
it up, and a thread that gets no CPU can't be frozen ("unable to freeze")."""
ON_THEIR_WAY: Final = 2 * AT_ONCE
"""With those that run and aren't Ready, most of which wait for their next probe."""
UNFROZEN: Final = "unable to freeze"
TELL_EVERY: Final = 20
BASE_SECONDS: Final = 120
SECONDS_PER_POD: Final = 2.0


def roll_out(cluster: Cluster, pods: Sequence[Manifest]) -> list[Container]:
    """Starts pods, and returns their containers once all are Ready. One of which a container couldn't be
    frozen is made anew: that is the full node's doing, and where the container was begun anew instead, its
    pod's memory limit might wait for minutes (docs/decisions/0035-unread-usage.md). Any other failure stays.

    Raises:
        DeadlineExceededError: with the state of those that are not.
    """
    if not pods:
        return []
    left = list(pods)
    started: set[tuple[str, str]] = set()
    manifests = {_key(pod): pod for pod in pods}
    again: set[tuple[str, str]] = set()
    told = 0

    def make_anew(found: Sequence[Manifest]) -> None:
        for pod in found:
            if _key(pod) not in again and (why := _unfrozen(pod)):
                LOG.warning("is made anew: %s/%s: %s", *_key(pod), why)
                again.add(_key(pod))
                cluster.delete(POD, pod["metadata"]["name"], pod["metadata"]["namespace"])
        for key in again - {_key(pod) for pod in found}:
            again.discard(key)
            started.discard(key)
            left.append(manifests[key])

    def all_ready() -> list[Container]:
        nonlocal told
        found = [pod for pod in cluster.objects(POD) if _key(pod) in started] if started else []
        make_anew(found)
        waiting = [pod for pod in found if not is_ready(pod) or _key(pod) in again]
        ready = len(found) - len(waiting)
        if ready >= told + TELL_EVERY:
            told = ready
            LOG.info("%d of %d pods are ready", ready, len(pods))
        if len(found) == len(pods) and not waiting:
            return [container for pod in found for container in running_containers(pod)]
        set_up = sum(pod["status"].get("phase") == "Running" for pod in waiting)
        on_their_way = len(started) - ready
        room = min(AT_ONCE - (on_their_way - set_up), ON_THEIR_WAY - on_their_way)
        next_ones = left[: max(0, room)]
        del left[: len(next_ones)]
        many.each(cluster.apply, next_ones)
        started.update(map(_key, next_ones))
        raise NotYet(f"{ready} are, {len(left)} are not begun; {'; '.join(map(state, waiting[:3]))}")

    return wait_until(
        all_ready,
        what=f"{len(pods)} pods to be Ready",
        deadline_seconds=BASE_SECONDS + SECONDS_PER_POD * len(pods),
        poll_seconds=0.5,
    )


def _unfrozen(pod: Manifest) -> str | None:
    """The runtime's words, where it couldn't start a container for that reason."""
    messages = (
        said.get("message", "")
        for container in pod.get("status", {}).get("containerStatuses", [])
        for states in (container.get("state", {}), container.get("lastState", {}))
        for said in states.values()
    )
    return next((each for each in messages if UNFROZEN in each), None)


def _key(pod: Manifest) -> tuple[str, str]:
    return pod["metadata"]["namespace"], pod["metadata"]["name"]
