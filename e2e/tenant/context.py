"""What the tenant remembers and who is connected, in Redis: every key begins with the tenant's name."""

from collections.abc import Collection
from typing import Final, Self
from uuid import UUID

from redis.asyncio import BlockingConnectionPool, Redis

TIMEOUT_SECONDS: Final = 5.0
CONNECTIONS: Final = 2


class Context:
    """The tenant's part of Redis, and this agent's own memory of it."""

    def __init__(self, client: Redis, tenant: str, lease_seconds: float) -> None:
        self._client = client
        self._tenant = tenant
        self._lease_milliseconds = round(lease_seconds * 1000)
        self._memory: dict[str, str] = {}

    @classmethod
    def connect(cls, host: str, tenant: str, password: str, *, lease_seconds: float) -> Self:
        """One that connects when it is used first."""
        pool = BlockingConnectionPool(  # who finds none free waits for one
            host=host,
            username=tenant,
            password=password,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            decode_responses=True,
        )
        return cls(Redis.from_pool(pool), tenant, lease_seconds)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def ping(self) -> None:
        """
        Raises:
            redis.RedisError: when it isn't there or refuses.
        """
        await self._client.ping()

    async def remember(self, key: str, value: str) -> None:
        """Keeps a value of the tenant's context."""
        await self._client.hset(self._key("context"), key, value)
        self._memory[key] = value

    async def recall(self, key: str) -> dict[str, str | None]:
        """The value as this agent's memory has it, and as Redis has it."""
        stored = await self._client.hget(self._key("context"), key)
        return {"memory": self._memory.get(key), "redis": None if stored is None else str(stored)}

    async def open_session(self, session: UUID, user: str) -> None:
        await self._client.set(self._session(session), user, px=self._lease_milliseconds)

    async def renew(self, sessions: Collection[UUID]) -> None:
        """These live on."""
        async with self._client.pipeline(transaction=False) as pipeline:
            for session in sessions:
                pipeline.pexpire(self._session(session), self._lease_milliseconds)
            await pipeline.execute()

    async def close_sessions(self, sessions: Collection[UUID]) -> None:
        if sessions:
            await self._client.delete(*map(self._session, sessions))

    def _key(self, name: str) -> str:
        return f"{self._tenant}:{name}"

    def _session(self, session: UUID) -> str:
        return self._key(f"session:{session}")
