"""What a driver is told, and what it tells: JSON objects, one a line."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

CONNECTED: Final = "connected"
STARTED: Final = "started"
TOLD: Final = "told"
"""The kinds of line that it tells, by the field ``line``."""


@dataclass(frozen=True)
class Target:
    """One tenant's agent, and what its customer asks.

    Attributes:
        url: ws://ADDRESS:PORT/.
        requests_per_second: on average; each is due at a random moment of its own interval, so that tenants
            neither keep step nor always meet at the same distance.
        cpu_milliseconds: the work of one request.
    """

    tenant: str
    url: str
    token: str
    requests_per_second: float
    cpu_milliseconds: float


@dataclass(frozen=True)
class Plan:
    """
    Attributes:
        seconds: of load, from when all targets were tried once; it ends early when the driver is told.
        connect_seconds: for the first connection of each; it is tried again and again until then.
    """

    targets: Sequence[Target]
    seconds: float
    connect_seconds: float = 60.0
    seed: int = 1


Sample: TypeAlias = tuple[float, float]
"""When a request was due, in seconds since the start of the load, and its latency in ms from then on."""


@dataclass(frozen=True)
class Connected:
    """The first connections.

    Attributes:
        seconds: by tenant, from the driver's start until its customer had the first answer.
        refused: by tenant that was never reached, why.
    """

    seconds: Mapping[str, float]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class Started:
    """The load begins now."""


@dataclass(frozen=True)
class Told:
    """What came since the line before.

    Attributes:
        second: seconds since the start of the load.
        answered: by tenant, in the order of the answers.
        failed: by tenant, when the requests were due that will have no answer.
        late_ms: how late the driver itself sent each request; its own share of each latency.
    """

    second: float
    answered: Mapping[str, Sequence[Sample]]
    failed: Mapping[str, Sequence[float]]
    late_ms: Sequence[float]


Line: TypeAlias = Connected | Started | Told
_LINES: Final = {CONNECTED: Connected, STARTED: Started, TOLD: Told}
_NAMES: Final = {kind: name for name, kind in _LINES.items()}


def encode_plan(plan: Plan) -> str:
    """One line."""
    return json.dumps(asdict(plan))


def decode_plan(line: str) -> Plan:
    """A plan as it was encoded."""
    content: dict[str, Any] = json.loads(line)
    targets = [Target(**target) for target in content.pop("targets")]
    return Plan(targets=targets, **content)


def encode(line: Line) -> str:
    """One line."""
    return json.dumps({"line": _NAMES[type(line)], **asdict(line)}, separators=(",", ":"))


def decode(line: str) -> Line:
    """
    Raises:
        ValueError: for a line that no driver tells; it may say why it ended.
    """
    try:
        content: dict[str, Any] = json.loads(line)
        kind: type[Line] = _LINES[content.pop("line")]
        return kind(**content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a driver's line: {line.strip()}") from error
