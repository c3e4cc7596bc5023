"""Whom weights free of those who yield: a limit of a part of their share would add nothing for them.

Between pods of one QoS class CPU goes by weight, and one on which only idle groups run counts as free
(``domain.idling``). Measured on two CPUs, eight victims lifted to eighteen times what two idle hogs have
together: limits of half or a quarter of a CPU for each hog besides leave p99 as it is (72, 72 and 70 ms),
while setting a limit is a resize, which keeps the node's own programs at work for a second and has the
kubelet write the weights of before (decision 27). What far lower ones add is for those who ask for it
(``spec.latencySensitive``, decision 37).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

ENOUGH: Final = 10
"""A victim is free from so many times the weight that all idle hogs of its class have together. Measured with
5, 10 and 100 times: a median of 26.1, 24.1 and 22.3 ms for requests of 20 ms, 21.5 when all is quiet."""


class Contender(NamedTuple):
    """A pod as it competes for CPU."""

    tenant: str
    group: str
    """The cgroup of its QoS class, within which weights count."""
    weight: int
    awake: bool
    """It ran in this second."""
    idle: bool
    """Its containers run idle."""


def freed(pods: Iterable[Contender], yielding: Collection[str]) -> frozenset[str]:
    """The tenants all of whose pods that are awake are free of all pods of tenants that yield."""
    against: dict[str, int] = defaultdict(int)
    groups: set[str] = set()
    others = []
    for pod in pods:
        if not pod.awake:
            continue
        if pod.tenant not in yielding:
            others.append(pod)
        elif not pod.idle:
            return frozenset()
        else:
            groups.add(pod.group)
            against[pod.group] += pod.weight
    held = {pod.tenant for pod in others if groups - {pod.group} or pod.weight < ENOUGH * against[pod.group]}
    return frozenset(pod.tenant for pod in others) - held
