"""Which pods keep the kubelet's CPU weight though their tenant yields: those the runtime is at work on.

To start a container, and to change its limits, runc freezes it first where there is version 1 of cgroups. A
thread is frozen once it has run, and runc gives up after half a second ("unable to freeze"): the start fails,
and with it a pod that isn't restarted. Measured on two CPUs beside four threads that want all they get, it
gave up in 11 of 15 cases at the least weight, in 10 of 15 with ``cpu.idle``, and in none at the kubelet's
weight. And it writes the weight, which the kernel refuses of what runs idle (``sched_group_set_shares``).
"""

from collections.abc import Collection, Mapping
from typing import Final

MOST_SECONDS: Final = 20.0
"""What takes longer has failed, and is tried again or not: nobody escapes his hold by it."""


def starts(starting: bool, age_seconds: float) -> bool:
    """Whether a container is about to start.

    Args:
        starting: the kubelet has not said that it runs. It never does of the pause container.
        age_seconds: since its cgroup was seen first.
    """
    return starting and age_seconds < MOST_SECONDS


def resized_since(former: Mapping[str, float], resizing: Collection[str], now: float) -> dict[str, float]:
    """By pod, since when it is resized.

    Args:
        former: the same of a second ago.
        resizing: pods whose resources the kubelet is about to change.
    """
    return {uid: former.get(uid, now) for uid in resizing}


def resized(since: Mapping[str, float], now: float) -> frozenset[str]:
    """The pods that are spared for it."""
    return frozenset(uid for uid, began in since.items() if now - began < MOST_SECONDS)
