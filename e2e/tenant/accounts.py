"""The tenant's users and sessions in PostgreSQL, by its own role.

No statement here names a tenant: row security shows a role its own rows only, and the database fills in whose
they are (see e2e/services/postgres/schema.sql).
"""

from dataclasses import asdict, dataclass
from typing import Final, Self
from uuid import UUID

import asyncpg

DATABASE: Final = "agents"
TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Account:
    """Whose session it is.

    Attributes:
        profile: what the user said about itself.
        agent: which of the tenant's agents serves the session.
    """

    user: str
    profile: str
    session: str
    agent: str

    def as_result(self) -> dict[str, str]:
        return asdict(self)


class Accounts:
    """The tables, by a pool of connections of bounded size."""

    def __init__(self, pool: asyncpg.Pool, agent: str, lease_seconds: float) -> None:
        self._pool = pool
        self._agent = agent
        self._lease_seconds = lease_seconds

    @classmethod
    async def connect(
        cls, host: str, tenant: str, password: str, *, agent: str, pool_size: int, lease_seconds: float
    ) -> Self:
        """
        Raises:
            OSError, asyncpg.PostgresError: when the database isn't there or refuses.
        """
        pool = await asyncpg.create_pool(
            host=host,
            user=tenant,
            password=password,
            database=DATABASE,
            min_size=1,
            max_size=pool_size,
            timeout=TIMEOUT_SECONDS,
            command_timeout=TIMEOUT_SECONDS,
        )
        return cls(pool, agent, lease_seconds)

    async def aclose(self) -> None:
        await self._pool.close()

    async def open_session(self, session: UUID, user: str) -> None:
        """The user, if it is new, and its session."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("INSERT INTO auth_users (name) VALUES ($1) ON CONFLICT DO NOTHING", user)
            await connection.execute(
                "INSERT INTO auth_sessions (id, user_name, agent, expires_at) VALUES ($1, $2, $3,"
                " now() + make_interval(secs => $4))",
                *(session, user, self._agent, self._lease_seconds),
            )

    async def renew(self) -> None:
        """All sessions of this agent live on."""
        await self._pool.execute(
            "UPDATE auth_sessions SET expires_at = now() + make_interval(secs => $2) WHERE agent = $1",
            *(self._agent, self._lease_seconds),
        )

    async def close_session(self, session: UUID) -> None:
        await self._pool.execute("DELETE FROM auth_sessions WHERE id = $1", session)

    async def end_former_sessions(self) -> list[UUID]:
        """Ends what an agent of this name left that crashed, and says which these were."""
        rows = await self._pool.fetch("DELETE FROM auth_sessions WHERE agent = $1 RETURNING id", self._agent)
        return [row["id"] for row in rows]

    async def introduce(self, user: str, profile: str) -> None:
        await self._pool.execute("UPDATE auth_users SET profile = $2 WHERE name = $1", user, profile)

    async def account(self, session: UUID) -> Account | None:
        """Whose session it is; None when the database doesn't know it."""
        row = await self._pool.fetchrow(
            "SELECT u.name, u.profile, s.agent FROM auth_sessions s JOIN auth_users u"
            " ON u.tenant = s.tenant AND u.name = s.user_name WHERE s.id = $1",
            session,
        )
        return None if row is None else Account(row["name"], row["profile"], str(session), row["agent"])
