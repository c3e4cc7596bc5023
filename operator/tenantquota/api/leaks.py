"""What leaks, how sure that is, and what is done about it: for the node agent too, without pydantic."""

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


class Action(StrEnum):
    """What is done about a confirmed leak."""

    REPORT = "Report"
    CONTAIN = "Contain"
    RESTART = "Restart"
