"""What leaks, and how sure that is: for the node agent too, which loads no pydantic."""

from enum import StrEnum


class Kind(StrEnum):
    """What leaks or runs away."""

    MEMORY_FAST = "memory_fast"
    MEMORY_SLOW = "memory_slow"
    OPEN_FILES = "open_files"
    PROCESSES = "processes"
    CPU = "cpu"


class Stage(StrEnum):
    """How sure a finding is."""

    SUSPECTED = "suspected"
    CONFIRMED = "confirmed"
    ENDED = "ended"
