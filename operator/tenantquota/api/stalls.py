"""For what tenants may wait because of each other: for the node agent too, without pydantic."""

from enum import StrEnum


class Resource(StrEnum):
    """What a node has too little of for all."""

    CPU = "cpu"
    IO = "io"
    MEMORY = "memory"
