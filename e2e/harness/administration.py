"""The services' administrator: lets tenants in, each to its own, and looks at what all of them have."""

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from redis.asyncio import Redis

from e2e.harness import canaries
from e2e.harness.canaries import Finding
from e2e.harness.services import POSTGRES_PASSWORD, REDIS_PASSWORD, Services
from e2e.tenant.accounts import DATABASE

TABLES: Final = ("auth_sessions", "auth_users")
"""The second one last: the first one refers to it."""
COMMANDS: Final = (
    *("+ping", "+multi", "+exec", "+discard"),
    *("+get", "+set", "+del", "+exists", "+expire", "+pexpire", "+pttl"),
    *("+hset", "+hget", "+hgetall", "+hdel"),
)
"""Of Redis, what tenants may use. A list of what is allowed: some commands name no key that an access rule
could look at, and tell of other tenants' keys all the same, such as SCAN, KEYS, RANDOMKEY and DBSIZE."""


@dataclass(frozen=True)
class StoreCredentials:
    """A tenant's own passwords."""

    postgres_password: str
    redis_password: str


class Administrator:
    """Connections to both services that may do everything."""

    def __init__(self, postgres: "asyncpg.Connection[Any]", redis: Redis) -> None:
        self._postgres = postgres
        self._redis = redis

    async def admit(self, tenants: Mapping[str, StoreCredentials]) -> None:
        """Makes the tenants' roles in PostgreSQL and their users in Redis."""
        await asyncio.gather(self._admit_to_postgres(tenants), self._admit_to_redis(tenants))

    async def _admit_to_postgres(self, tenants: Mapping[str, StoreCredentials]) -> None:
        await self._for_each(
            "SELECT format('CREATE ROLE %I LOGIN PASSWORD %L IN ROLE tenants', name, password)"
            " FROM unnest($1::text[], $2::text[]) AS tenant (name, password)",
            *(list(tenants), [each.postgres_password for each in tenants.values()]),
        )

    async def _for_each(self, format_statements: str, *arguments: Any) -> None:
        """Has PostgreSQL write statements, names and texts quoted, and then carry them out."""
        rows = await self._postgres.fetch(format_statements, *arguments)
        await self._postgres.execute(";".join(row[0] for row in rows))

    async def _admit_to_redis(self, tenants: Mapping[str, StoreCredentials]) -> None:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for tenant, credentials in tenants.items():
                pipeline.acl_setuser(
                    tenant,
                    enabled=True,
                    reset=True,
                    passwords=[f"+{credentials.redis_password}"],
                    keys=[f"{tenant}:*"],
                    commands=COMMANDS,
                )
            await pipeline.execute()

    async def expel(self, tenants: Collection[str]) -> None:
        """Removes both, and all that the tenants have there."""
        names = set(tenants)
        await self._redis.acl_deluser(*names)
        keys = [key async for key in self._redis.scan_iter(count=1000) if str(key).partition(":")[0] in names]
        if keys:
            await self._redis.delete(*keys)
        for table in TABLES:
            await self._postgres.execute(
                f"DELETE FROM {table} WHERE tenant = ANY($1::text[])",  # noqa: S608
                list(names),
            )
        await self._for_each(
            "SELECT format('DROP ROLE IF EXISTS %I', name) FROM unnest($1::text[]) AS tenant (name)",
            list(names),
        )

    async def keys(self, tenants: Iterable[str]) -> list[Finding]:
        """Every key of Redis with its name and value, by the tenant whose prefix it has; by none's is "".

        Raises:
            ValueError: for a key of a type that isn't looked into here.
        """
        owners = set(tenants)
        found = []
        async for name in self._redis.scan_iter(count=1000):
            key = str(name)
            prefix = key.partition(":")[0]
            content = await self._value(key)
            if content is not None:
                owner = prefix if prefix in owners else ""
                found.append(Finding(owner, canaries.REDIS, f"{key} {content}"))
        return found

    async def _value(self, key: str) -> str | None:
        """None when it has gone meanwhile."""
        kind = str(await self._redis.type(key))
        if kind == "string":
            return json.dumps(await self._redis.get(key))
        if kind == "hash":
            return json.dumps(await self._redis.hgetall(key))
        if kind == "none":
            return None
        raise ValueError(f"{key} is a {kind}, which isn't looked into")

    async def rows(self) -> list[Finding]:
        """Every row of the tenants' tables, by the tenant that it says it is of."""
        return [
            Finding(row["tenant"], canaries.POSTGRES, row["content"])
            for table in TABLES
            for row in await self._postgres.fetch(
                f"SELECT t.tenant, row_to_json(t)::text AS content FROM {table} t"  # noqa: S608
            )
        ]

    async def connections(self, tenant: str) -> int:
        """How many the tenant's agents have to PostgreSQL."""
        found: int = await self._postgres.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = $1", tenant
        )
        return found

    async def sessions(self, tenant: str) -> dict[str, int]:
        """How many sessions each service knows of the tenant."""
        keys = [key async for key in self._redis.scan_iter(match=f"{tenant}:session:*", count=1000)]
        rows = await self._postgres.fetchval("SELECT count(*) FROM auth_sessions WHERE tenant = $1", tenant)
        return {"redis": len(keys), "postgres": rows}


@asynccontextmanager
async def administrator(services: Services) -> AsyncIterator[Administrator]:
    """
    Raises:
        OSError, asyncpg.PostgresError, redis.RedisError: when a service isn't there.
    """
    async with (
        postgres_as(services, "postgres", services.passwords[POSTGRES_PASSWORD]) as postgres,
        redis_as(services, "default", services.passwords[REDIS_PASSWORD]) as redis,
    ):
        yield Administrator(postgres, redis)


@asynccontextmanager
async def postgres_as(
    services: Services, user: str, password: str, *, database: str = DATABASE
) -> "AsyncIterator[asyncpg.Connection[Any]]":
    """A connection from this machine, as that user.

    Raises:
        OSError, asyncpg.PostgresError: when it isn't there or refuses.
    """
    connection = await asyncpg.connect(
        host="127.0.0.1", port=services.postgres_port, user=user, password=password, database=database
    )
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def redis_as(services: Services, user: str, password: str) -> AsyncIterator[Redis]:
    """Connections from this machine, as that user."""
    client = Redis(
        host="127.0.0.1",
        port=services.redis_port,
        username=user,
        password=password,
        decode_responses=True,
    )
    try:
        yield client
    finally:
        await client.aclose()
