"""The driver's threads before all others: on a full node its own waiting would pass for the victims'."""

import ctypes
import os
from typing import Final

from tenantquota.node.scheduling import SYSCALLS, SchedAttr, run_in_short_slices

SCHED_DEADLINE: Final = 6
RESET_ON_FORK: Final = 1
"""``SCHED_FLAG_RESET_ON_FORK``: without it a thread that runs by deadlines can't start another one."""
PERIOD_NANOSECONDS: Final = 10_000_000


def run_first(part: float) -> bool:
    """Has the calling thread run as soon as it is ready, before all that run by weights, whatever cgroup they
    are in: by deadlines (``SCHED_DEADLINE``, sched(7)), which takes CAP_SYS_NICE. Where that is refused, in
    short slices.

    Args:
        part: of one CPU, the most that it gets so. The kernel sets it aside.

    Returns:
        Whether it runs so.
    """
    if (numbers := SYSCALLS.get(os.uname().machine)) is not None:
        attributes = SchedAttr(
            size=ctypes.sizeof(SchedAttr),
            sched_policy=SCHED_DEADLINE,
            sched_flags=RESET_ON_FORK,
            sched_runtime=int(part * PERIOD_NANOSECONDS),
            sched_deadline=PERIOD_NANOSECONDS,
            sched_period=PERIOD_NANOSECONDS,
        )
        if ctypes.CDLL(None).syscall(numbers[0], 0, ctypes.byref(attributes), 0) == 0:
            return True
    run_in_short_slices()
    return False
