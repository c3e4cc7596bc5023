"""Whether a quota is enforced."""

from enum import StrEnum


class Enforcement(StrEnum):
    ENFORCE = "Enforce"
    OBSERVE = "Observe"
