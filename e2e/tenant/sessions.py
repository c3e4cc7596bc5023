"""Sessions: what is kept of a connection in both stores, from its start until its end, whoever ends it.

A session has a lease in both, which its agent renews; so what a dead agent leaves ends by itself.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID, uuid4

import asyncpg
from redis import RedisError

from e2e.tenant.accounts import Accounts
from e2e.tenant.context import Context

LOG: Final = logging.getLogger(__name__)
STORE_ERRORS: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError)
"""What a store that isn't there, or refuses, makes its library raise (a timeout is an OSError)."""
RENEWALS_PER_LEASE: Final = 3


class Sessions:
    """Those of one agent."""

    def __init__(self, accounts: Accounts, context: Context, lease_seconds: float) -> None:
        self._accounts = accounts
        self._context = context
        self._renewal_seconds = lease_seconds / RENEWALS_PER_LEASE
        self._open: set[UUID] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def end_former(self) -> None:
        """What an agent of the same name left that crashed."""
        former = await self._accounts.end_former_sessions()
        await self._context.close_sessions(former)
        if former:
            LOG.info("ended %d sessions that a former process left", len(former))

    @asynccontextmanager
    async def session(self, user: str) -> AsyncIterator[UUID]:
        """A session of ``user``, kept in both stores until the end of the block.

        Raises:
            OSError, asyncpg.PostgresError, redis.RedisError: when a store doesn't take it.
        """
        session = uuid4()
        try:
            await self._accounts.open_session(session, user)
            await self._context.open_session(session, user)
            self._open.add(session)
            if self._renewing is None:  # an agent without sessions does nothing at all
                self._renewing = asyncio.create_task(self._renew())
            yield session
        finally:
            self._open.discard(session)
            if not self._open and self._renewing is not None:
                self._renewing.cancel()
                self._renewing = None
            await self._close(session)

    async def _close(self, session: UUID) -> None:
        try:
            await self._accounts.close_session(session)
            await self._context.close_sessions([session])
        except STORE_ERRORS as error:
            LOG.warning("session %s is left to its lease: %s", session, error)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._renewal_seconds)
            try:
                await self._accounts.renew()
                await self._context.renew(self._open)
            except STORE_ERRORS as error:
                LOG.warning("sessions aren't renewed: %s", error)
