"""Connections, from the handshake to their end."""

import asyncio
import logging
import signal
import time
from http import HTTPStatus
from typing import Final
from uuid import UUID

from websockets.asyncio.server import Server as Listener
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from e2e.tenant import protocol, tokens
from e2e.tenant.accounts import Accounts
from e2e.tenant.commands import Commands
from e2e.tenant.context import Context
from e2e.tenant.protocol import Answer, ProtocolError
from e2e.tenant.resources import ResourceError
from e2e.tenant.sessions import STORE_ERRORS, Sessions
from e2e.tenant.settings import Settings
from e2e.tenant.tokens import Claims, TokenRefusedError

LOG: Final = logging.getLogger(__name__)
CLOSE_SECONDS: Final = 3.0
"""A customer that doesn't answer keeps an orderly exit waiting so long."""


class Customer(ServerConnection):
    """A connection that was let in."""

    claims: Claims


class Agent:
    """One agent: it accepts its tenant's customers and answers them."""

    def __init__(self, settings: Settings, accounts: Accounts, context: Context) -> None:
        self._settings = settings
        self._leaving = asyncio.Event()
        self._sessions = Sessions(accounts, context, settings.lease_seconds)
        self._commands = Commands(accounts, context, scratch=settings.scratch, leave=self.leave)

    def leave(self) -> None:
        """Begins an orderly exit."""
        self._leaving.set()

    async def run(self) -> None:
        """Until it is told to leave; then all sessions are closed, and their rows and keys removed.

        Raises:
            OSError, asyncpg.PostgresError, redis.RedisError: when a store isn't there at the start.
        """
        await self._sessions.end_former()
        async with serve(
            self._serve,
            port=self._settings.port,
            create_connection=Customer,
            process_request=self._admit,
            subprotocols=[Subprotocol(protocol.SUBPROTOCOL)],
            max_size=protocol.MAX_MESSAGE_BYTES,
            compression=None,  # 300 KiB for each connection
            close_timeout=CLOSE_SECONDS,
            ping_interval=self._settings.ping_seconds,
            ping_timeout=self._settings.ping_seconds,
            server_header=None,
        ) as listener:
            await self._until_told(listener)

    async def _until_told(self, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.leave)
        LOG.info("%s of tenant %s serves", self._settings.agent, self._settings.tenant)
        await self._leaving.wait()
        self._commands.stop()
        # waits for what serves connections, and so for what their end leaves to do
        listener.close(code=protocol.CLOSE_LEAVING, reason="the agent leaves")
        await listener.wait_closed()
        LOG.info("left")

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answers a handshake that isn't let in, and a probe."""
        if request.path.partition("?")[0] == protocol.HEALTH_PATH:
            return connection.respond(HTTPStatus.OK, "ok\n")
        token = protocol.offered_token(request.headers.get_all("Sec-WebSocket-Protocol"))
        try:
            claims = tokens.verify(
                token, self._settings.jwt_key, self._settings.tenant, now_seconds=time.time()
            )
        except TokenRefusedError as error:
            return connection.respond(error.status, f"{error}\n")
        assert isinstance(connection, Customer)
        connection.claims = claims
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        assert isinstance(connection, Customer)
        claims = connection.claims
        try:
            async with asyncio.timeout(claims.expires_seconds - time.time()) as life:
                await self._converse(connection, claims.user)
        except ConnectionClosed:
            pass
        except STORE_ERRORS as error:
            if life.expired():
                await connection.close(protocol.CLOSE_EXPIRED, "the token has expired")
                return
            LOG.warning("a session failed: %s", error)
            await connection.close(protocol.CLOSE_FAILED, "a store doesn't answer")

    async def _converse(self, connection: Customer, user: str) -> None:
        async with self._sessions.session(user) as session:
            async for message in connection:
                if not isinstance(message, str):
                    await connection.close(protocol.CLOSE_UNSUPPORTED, "give JSON in text frames")
                    return
                answer = await self._answer(message, session, user)
                await connection.send(protocol.encode_answer(answer))

    async def _answer(self, message: str, session: UUID, user: str) -> Answer:
        tenant = self._settings.tenant
        request_id = None
        try:
            request_id, request = protocol.decode_request(message)
            result = await self._commands.perform(request, session, user)
        except ProtocolError as error:
            return Answer(error.id, tenant, error=str(error))
        except ResourceError as error:
            return Answer(request_id, tenant, error=str(error))
        except STORE_ERRORS as error:
            LOG.warning("a store failed: %s", error)
            return Answer(request_id, tenant, error="a store doesn't answer")
        return Answer(request_id, tenant, result)
