"""The messages between a customer and a tenant's agent, as JSON in WebSocket text frames.

A request has a number of the customer's choice and says what to ``do``, with the fields of that request's
class; its answer has the number again, the tenant who answers, and a result or an error:

    {"id": 1, "do": "work", "cpu_milliseconds": 20}
    {"id": 1, "tenant": "acme", "result": {"cpu_milliseconds": 20.01, "wall_milliseconds": 22.4}}
    {"id": 2, "tenant": "acme", "error": "work: cpu_milliseconds: give a number from 0 to 60000"}

The token travels among the offered subprotocols, beside the protocol's name: browsers can set no other
header of a handshake, and the API server's proxy to pods, by which tests connect, takes ``Authorization``
for its own.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Final, TypeAlias, get_type_hints

SUBPROTOCOL: Final = "tenantquota.v1"
TOKEN_PREFIX: Final = "bearer."  # noqa: S105 - no token
MAX_MESSAGE_BYTES: Final = 64 << 10
HEALTH_PATH: Final = "/healthz"

CLOSE_UNSUPPORTED: Final = 1003
"""For a frame that isn't text (RFC 6455, section 7.4.1), as the two below."""
CLOSE_LEAVING: Final = 1001
CLOSE_FAILED: Final = 1011
CLOSE_EXPIRED: Final = 4401
"""The token ended while its session was open."""


class ProtocolError(ValueError):
    """A message that isn't one of the protocol; the text says what is wrong with it.

    Attributes:
        id: the number of the request, where that much could be read.
    """

    def __init__(self, problem: str, request_id: int | None = None) -> None:
        super().__init__(problem)
        self.id = request_id


def _within(least: float, most: float, default: Any = MISSING) -> Any:
    return field(default=default, metadata={"least": least, "most": most})


@dataclass(frozen=True, slots=True)
class Work:
    """So much CPU time of the agent's own thread, then an answer with what it took."""

    cpu_milliseconds: float = _within(0, 60_000)


@dataclass(frozen=True, slots=True)
class Remember:
    """Keeps a value in the tenant's context: in the agent's memory and in Redis."""

    key: str = _within(1, 100)
    value: str = _within(0, 10_000)


@dataclass(frozen=True, slots=True)
class Recall:
    """A value of the context, as the agent's memory and as Redis have it; null where there is none."""

    key: str = _within(1, 100)


@dataclass(frozen=True, slots=True)
class Introduce:
    """Keeps a text about the user in PostgreSQL."""

    profile: str = _within(0, 10_000)


@dataclass(frozen=True, slots=True)
class Whoami:
    """The user, the profile and the session, as PostgreSQL has them."""


@dataclass(frozen=True, slots=True)
class Burn:
    """Keeps so many cores busy, each for part of the time, from now on; 0 stops that."""

    cores: int = _within(0, 256)
    percent: int = _within(1, 100, 100)


@dataclass(frozen=True, slots=True)
class Hold:
    """Holds so many bytes of touched memory from now on, leaked ones included; fewer gives them back."""

    bytes: int = _within(0, 1 << 40)


@dataclass(frozen=True, slots=True)
class Leak:
    """Memory, open files and idle processes that become more at these rates from now on; 0 stops that, and
    what was leaked stays."""

    memory_bytes_per_second: float = _within(0, 1 << 40, 0.0)
    files_per_second: float = _within(0, 10_000, 0.0)
    processes_per_second: float = _within(0, 1_000, 0.0)


@dataclass(frozen=True, slots=True)
class Keep:
    """So many open files and idle processes from now on; fewer ends what is too many."""

    files: int = _within(0, 100_000, 0)
    processes: int = _within(0, 10_000, 0)


@dataclass(frozen=True, slots=True)
class Write:
    """Writes so many bytes to the disk, then answers. Whole blocks of 4 KiB."""

    bytes: int = _within(0, 1 << 40)


@dataclass(frozen=True, slots=True)
class State:
    """What the agent burns, holds and leaks."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The agent answers, closes all sessions in order, and exits."""


@dataclass(frozen=True, slots=True)
class Crash:
    """The agent is gone at once: no answer, nothing tidied up."""


Request: TypeAlias = (
    Work | Remember | Recall | Introduce | Whoami | Burn | Hold | Leak | Keep | Write | State | Leave | Crash
)
REQUESTS: Final[Mapping[str, type[Request]]] = {
    kind.__name__.lower(): kind
    for kind in (
        *(Work, Remember, Recall, Introduce, Whoami),
        *(Burn, Hold, Leak, Keep, Write, State, Leave, Crash),
    )
}
_TYPES: Final = {kind: get_type_hints(kind) for kind in REQUESTS.values()}
_WORDS: Final = {int: "a whole number", float: "a number", str: "a text of a length"}


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Attributes:
        id: the request's; None where it had none.
        tenant: who answers.
        result: None if and only if there is an error.
    """

    id: int | None
    tenant: str
    result: Mapping[str, Any] | None = None
    error: str | None = None


def encode_request(request_id: int, request: Request) -> str:
    """A request as it is sent."""
    return json.dumps({"id": request_id, "do": type(request).__name__.lower(), **asdict(request)})


def decode_request(message: str) -> tuple[int, Request]:
    """A request's number, and what is asked for.

    Raises:
        ProtocolError: for anything else.
    """
    content = _object(message)
    request_id = content.pop("id", None)
    if not isinstance(request_id, int) or isinstance(request_id, bool):
        raise ProtocolError("id: give a whole number")
    name = content.pop("do", None)
    kind = REQUESTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ProtocolError(f"do: give one of {', '.join(REQUESTS)}", request_id)
    try:
        return request_id, _request(kind, content)
    except ProtocolError as error:
        raise ProtocolError(f"{name}: {error}", request_id) from error


def _request(kind: type[Request], content: Mapping[str, Any]) -> Request:
    known = {each.name: each for each in fields(kind)}
    if unknown := content.keys() - known.keys():
        raise ProtocolError(f"unknown: {', '.join(sorted(unknown))}")
    missing = [name for name, each in known.items() if each.default is MISSING and name not in content]
    if missing:
        raise ProtocolError(f"missing: {', '.join(missing)}")
    values = {
        name: _value(name, value, _TYPES[kind][name], known[name].metadata) for name, value in content.items()
    }
    return kind(**values)


def _value(name: str, value: Any, wanted: Any, bounds: Mapping[str, float]) -> Any:
    least, most = bounds["least"], bounds["most"]
    types = (int, float) if wanted is float else (wanted,)
    # JSON's true is an int to Python; NaN is within no bounds
    if isinstance(value, types) and not isinstance(value, bool):
        size: float = len(value) if isinstance(value, str) else value
        if least <= size <= most:
            return wanted(value)
    raise ProtocolError(f"{name}: give {_WORDS[wanted]} from {least:.15g} to {most:.15g}")


def encode_answer(answer: Answer) -> str:
    """An answer as it is sent."""
    said = {"error": answer.error} if answer.error is not None else {"result": answer.result}
    return json.dumps({"id": answer.id, "tenant": answer.tenant, **said})


def decode_answer(message: str) -> Answer:
    """
    Raises:
        ProtocolError: for anything but an answer.
    """
    try:
        return Answer(**_object(message))
    except TypeError as error:
        raise ProtocolError(f"not an answer: {error}") from error


def _object(message: str) -> dict[str, Any]:
    try:
        content = json.loads(message)
    except ValueError as error:
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ProtocolError("not a JSON object")
    return content


def offered(token: str) -> list[str]:
    """The subprotocols that a customer with that token offers."""
    return [SUBPROTOCOL, f"{TOKEN_PREFIX}{token}"]


def offered_token(headers: Iterable[str]) -> str | None:
    """The token in the values of a handshake's ``Sec-WebSocket-Protocol`` headers."""
    for header in headers:
        for each in header.split(","):
            if each.strip().startswith(TOKEN_PREFIX):
                return each.strip().removeprefix(TOKEN_PREFIX)
    return None
