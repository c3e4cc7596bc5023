"""Lower memory limits of containers that were begun anew, whose usage the kubelet often can't read.

The kubelet lowers a memory limit, or sets a first one, only after it has read what is in use. It asks the
runtime, which lists ended containers too, with no usage. Where the ended one comes second in that list, whose
order is chance, the kubelet takes its usage for missing and refuses the whole resize, CPU with it; it tries
again every 10 to 15 s, or as soon as anything of the pod changes. docs/decisions/0035-unread-usage.md has the
sources and what was measured.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tenantquota.domain.limits import same_cpu_limit
from tenantquota.domain.model import Pod, Resources

ASK_AGAIN_SECONDS: Final = 1.0
"""So often is the kubelet had to try again."""
_UNREAD: Final = re.compile(r"missing (container \S+|pod) memory usage")
"""validateMemoryResizeAction (kubernetes pkg/kubelet/kuberuntime/kuberuntime_manager.go)."""


def is_unread(pod: Pod) -> bool:
    """Whether the kubelet refuses the resize in the pod's spec, or is likely to, because it can't read what
    is in use. Its condition says so only after it has tried a second time."""
    message = pod.pending.message if pod.pending else ""
    if message:
        return _UNREAD.search(message) is not None
    return any(c.begun_anew and c.actual is not None and _lowers(c.actual, c.spec) for c in pod.containers)


def cpu_first(pod: Pod, target: Mapping[str, Resources]) -> Mapping[str, Resources]:
    """``target``, by container; where the kubelet may not be able to read usage, with the spec's memory until
    the CPU limits are in force."""
    if not any(c.begun_anew and _lowers(c.spec, target[c.name]) for c in pod.containers):
        return target
    if all(c.actual is None or same_cpu_limit(c.actual, target[c.name]) for c in pod.containers):
        return target
    return {
        c.name: replace(
            target[c.name],
            memory_limit_bytes=c.spec.memory_limit_bytes,
            memory_request_bytes=c.spec.memory_request_bytes,
        )
        for c in pod.containers
    }


def _lowers(before: Resources, target: Resources) -> bool:
    """Whether the memory limit goes down; a first one is less than none."""
    limit = target.memory_limit_bytes
    return limit is not None and (before.memory_limit_bytes is None or limit < before.memory_limit_bytes)
