"""A customer of a tenant's agent: connects, sends messages, reads the answers."""

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.typing import Subprotocol

from e2e.tenant import protocol
from e2e.tenant.protocol import Answer, Request


class RequestRefusedError(Exception):
    """The agent answered with an error; the text is the agent's."""


@dataclass(frozen=True)
class Address:
    """How to get at an agent.

    Attributes:
        url: ws:// or wss://.
        tls: for wss://.
        headers: what a proxy on the way wants.
    """

    url: str
    tls: ssl.SSLContext | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Customer:
    """One open session. Several requests may be under way at once; the agent answers one after the other."""

    def __init__(self, connection: ClientConnection, witness: Callable[[str], object] | None = None) -> None:
        self._connection = connection
        self._witness = witness
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}

    async def send(self, request: Request) -> "asyncio.Future[Answer]":
        """Sends a request and doesn't wait for its answer, which the future gets; it fails when the
        connection ends before.

        Raises:
            websockets.ConnectionClosed: when it has ended already.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self._connection.send(protocol.encode_request(number, request))
        except ConnectionClosed:
            del self._waiting[number]
            raise
        return answer

    async def ask(self, request: Request) -> Mapping[str, Any]:
        """The result of a request.

        Raises:
            RequestRefusedError: when the agent answers with an error.
            websockets.ConnectionClosed: when the connection ends before it answers.
        """
        answer = await (await self.send(request))
        if answer.result is None:
            raise RequestRefusedError(answer.error)
        return answer.result

    @property
    def ended(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._connection.state is not State.OPEN

    def cut(self) -> None:
        """The connection is gone, without a closing handshake."""
        self._connection.transport.abort()

    def fall_silent(self) -> None:
        """Reads nothing any more, so that no ping is answered: to the agent as if the network had broken."""
        self._connection.transport.pause_reading()

    async def closed(self) -> tuple[int | None, str]:
        """Waits for the end of the connection; its close code (RFC 6455, section 7.4) and reason."""
        await self._connection.wait_closed()
        return self._connection.close_code, self._connection.close_reason or ""

    async def read(self) -> None:
        """Gives the answers to who waits for them, until the connection ends."""
        ended: Exception = ConnectionError("the connection has ended")
        try:
            while True:
                message = await self._connection.recv(decode=True)
                if self._witness is not None:
                    self._witness(message)
                answer = protocol.decode_answer(message)
                waiting = self._waiting.pop(answer.id or 0, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
        except ConnectionClosed as error:
            ended = error
        finally:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ended)
                    waiting.exception()  # nobody may be there to look at it


@asynccontextmanager
async def customer(
    address: Address, token: str | None, *, witness: Callable[[str], object] | None = None
) -> AsyncIterator[Customer]:
    """A session with the agent there, closed in order at the end.

    Args:
        token: None to try without.
        witness: sees every message of the agent as it comes.

    Raises:
        websockets.InvalidStatus: when the agent doesn't let it in; its ``response`` has the status and why.
        OSError: when nobody answers.
    """
    offered = protocol.offered(token) if token is not None else [protocol.SUBPROTOCOL]
    async with connect(
        address.url,
        ssl=address.tls,
        subprotocols=[Subprotocol(each) for each in offered],
        additional_headers=dict(address.headers),
        compression=None,
        max_size=protocol.MAX_MESSAGE_BYTES,
        proxy=None,
    ) as connection:
        session = Customer(connection, witness)
        reader = asyncio.create_task(session.read())
        try:
            yield session
        finally:
            await connection.close()
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader
