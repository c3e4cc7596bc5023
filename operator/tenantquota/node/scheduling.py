"""How soon the kernel lets the agent run when a tick is due."""

import ctypes
import os
from typing import Final

SLICE_NANOSECONDS: Final = 100_000
"""The shortest that the kernel takes: ``sched_attr.sched_runtime``, clamped to 0.1 to 100 ms."""
SYSCALLS: Final = {"x86_64": (314, 315), "aarch64": (274, 275), "riscv64": (274, 275)}
"""``sched_setattr`` and ``sched_getattr``, for which Python has no functions."""


class SchedAttr(ctypes.Structure):
    """``struct sched_attr`` as of Linux 3.14; include/uapi/linux/sched/types.h."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("sched_policy", ctypes.c_uint32),
        ("sched_flags", ctypes.c_uint64),
        ("sched_nice", ctypes.c_int32),
        ("sched_priority", ctypes.c_uint32),
        ("sched_runtime", ctypes.c_uint64),
        ("sched_deadline", ctypes.c_uint64),
        ("sched_period", ctypes.c_uint64),
    )


def run_in_short_slices(machine: str | None = None) -> int | None:
    """Has the calling thread take turns as short and as soon as there are; what a slice is then, in ns.

    A thread that asks for a shorter slice gets no more CPU than its weight is worth, but gets it earlier: its
    deadline is nearer. It takes no privilege. Kernels before 6.12 ignore it. See
    docs/decisions/0018-short-slices.md.

    Returns:
        None where the kernel doesn't do it, or refuses: nothing but latency depends on it.
    """
    syscalls = SYSCALLS.get(machine or os.uname().machine)
    if syscalls is None:
        return None
    set_, get = syscalls
    syscall = ctypes.CDLL(None).syscall
    attributes = SchedAttr()
    size = ctypes.sizeof(attributes)
    if syscall(get, 0, ctypes.byref(attributes), size, 0):
        return None
    attributes.sched_runtime = SLICE_NANOSECONDS
    if syscall(set_, 0, ctypes.byref(attributes), 0) or syscall(get, 0, ctypes.byref(attributes), size, 0):
        return None
    return attributes.sched_runtime or None
