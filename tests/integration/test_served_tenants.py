"""Tenants that serve customers: who is let in, what each sees in the services, what an agent's end leaves."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import asyncpg
import jwt
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError
from websockets.exceptions import InvalidStatus

from e2e.harness import canaries, served
from e2e.harness.administration import administrator, postgres_as, redis_as
from e2e.harness.cluster import POD, Cluster
from e2e.harness.contamination import Contamination
from e2e.harness.rollout import roll_out
from e2e.harness.served import LEASE_SECONDS, USER, Tenant
from e2e.harness.services import Services
from e2e.harness.wait import NotYet, wait_until_async
from e2e.results import BoundMissedError, Recorder
from e2e.tenant import tokens
from e2e.tenant.client import Customer, customer
from e2e.tenant.commands import CRASHED
from e2e.tenant.protocol import (
    CLOSE_EXPIRED,
    CLOSE_LEAVING,
    Crash,
    Introduce,
    Leave,
    Recall,
    Remember,
    Whoami,
)
from e2e.tenant.settings import Settings

pytestmark = pytest.mark.xdist_group("served")
"""One process runs them all, with one set of tenants."""

WRONG_KEY = "0" * 64
DEADLINE_SECONDS = 30
NONE = {"redis": 0, "postgres": 0}
ONE = {"redis": 1, "postgres": 1}
AGENTS = 5
"""Of the first tenant."""
RESTARTED, LEFT, STOPPED, CRASHED_FOR_GOOD = "restarted", "left", "stopped", "crashed"


@pytest.fixture(scope="module")
def pair(cluster: Cluster, services: Services) -> Iterator[tuple[Tenant, Tenant]]:
    """Two tenants, the name of one of them the beginning of the other's; the first has agents to end."""
    with served.serving(cluster, services, "served", "a", "a-2") as (first, second):
        ending = [
            served.agent(first.name, services, name, restarts=False)
            for name in (LEFT, STOPPED, CRASHED_FOR_GOOD)
        ]
        roll_out(cluster, [served.agent(first.name, services, RESTARTED), *ending])
        cluster.wait_ready(first.name, AGENTS)
        yield first, second


@pytest.fixture
async def redis(services: Services, pair: tuple[Tenant, Tenant]) -> AsyncIterator[Redis]:
    """As the first tenant."""
    async with redis_as(services, pair[0].name, pair[0].stores.redis_password) as client:
        yield client


@pytest.fixture
async def postgres(
    services: Services, pair: tuple[Tenant, Tenant]
) -> "AsyncIterator[asyncpg.Connection[Any]]":
    """As the first tenant."""
    async with postgres_as(services, pair[0].name, pair[0].stores.postgres_password) as connection:
        yield connection


async def test_a_token_of_its_own_opens_a_tenant(pair: tuple[Tenant, Tenant]) -> None:
    for tenant in pair:
        async with tenant.customer("somebody") as session:
            assert (await session.ask(Whoami()))["user"] == "somebody"


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        (lambda own, other: None, 401, "no token was given"),
        (lambda own, other: "nonsense", 401, "the token can't be used"),
        (lambda own, other: other.token(), 401, "isn't signed with this tenant's key"),
        (lambda own, other: own.token(lifetime_seconds=-1), 401, "the token has expired"),
        (
            lambda own, other: tokens.issue(WRONG_KEY, own.name, USER, expires_seconds=time.time() + 60),
            401,
            "isn't signed with this tenant's key",
        ),
        (
            lambda own, other: tokens.issue(own.jwt_key, other.name, USER, expires_seconds=time.time() + 60),
            403,
            "the token is another tenant's",
        ),
        (
            lambda own, other: jwt.encode(
                {"sub": USER, "aud": own.name, "exp": time.time() + 60}, None, algorithm="none"
            ),
            401,
            "the token can't be used",
        ),
    ],
    ids=["none", "nonsense", "other tenant's", "expired", "forged", "other audience", "unsigned"],
)
async def test_any_other_token_is_refused(
    pair: tuple[Tenant, Tenant],
    token: Callable[[Tenant, Tenant], str | None],
    status: int,
    reason: str,
) -> None:
    own, other = pair
    with pytest.raises(InvalidStatus) as refused:
        async with customer(own.address(), token(own, other)):
            pass
    assert refused.value.response.status_code == status
    assert reason in bytes(refused.value.response.body or b"").decode()


async def test_a_session_ends_with_its_token(pair: tuple[Tenant, Tenant]) -> None:
    token = pair[0].token(lifetime_seconds=2)
    async with customer(pair[0].address(), token) as session:
        assert await session.closed() == (CLOSE_EXPIRED, "the token has expired")


async def test_many_customers_share_few_connections(services: Services, pair: tuple[Tenant, Tenant]) -> None:
    own = pair[0]

    async def use(number: int) -> str | None:
        async with own.customer(f"customer-{number}") as session:
            await session.ask(Remember(f"key-{number}", str(number)))
            await session.ask(Whoami())
            recalled: str | None = (await session.ask(Recall(f"key-{number}")))["redis"]
            return recalled

    assert await asyncio.gather(*map(use, range(20))) == [str(number) for number in range(20)]
    async with administrator(services) as all_of_it:
        assert await all_of_it.connections(own.name) <= Settings.pool_size * AGENTS


async def test_a_canary_is_found_with_its_tenant_and_with_nobody_else(
    services: Services, pair: tuple[Tenant, Tenant]
) -> None:
    contamination = Contamination(pair)
    await contamination.plant_all()
    await contamination.search_all(services)
    found = contamination.found
    assert not found.strangers
    assert not found.unseen((canaries.REPLY, canaries.REDIS, canaries.POSTGRES))


async def test_a_canary_that_got_out_is_found_in_replies_and_keys(
    services: Services, pair: tuple[Tenant, Tenant]
) -> None:
    own, other = pair
    async with own.customer() as session:
        await session.ask(Remember(canaries.CANARY, f"not mine: {other.canary}"))
        contamination = Contamination(pair)
        await contamination.search_all(services)
        found = contamination.found
        await session.ask(Remember(canaries.CANARY, own.canary))
    assert {(each.tenant, each.place, each.owner) for each in found.strangers} == {
        (own.name, canaries.REPLY, other.name),
        (own.name, canaries.REDIS, other.name),
    }


async def test_cases_find_a_foreign_canary_that_was_planted(
    services: Services, pair: tuple[Tenant, Tenant]
) -> None:
    """In what any customer is answered, and in keys and rows, whoever wrote them."""
    own, other = pair
    kept, mixed = Contamination(pair), Contamination(pair)
    await kept.plant_all()
    await kept.search_all(services)
    record = Recorder(7, "", "", tenants=2)
    kept.note(record)
    assert all(bound.met for bound in record.bounds)

    async with own.customer("visitor", witness=mixed.witness(own)) as session:
        await session.ask(Remember("note", other.canary))
        await session.ask(Introduce(f"a friend of {other.canary}"))
        await session.ask(Recall("note"))
        await mixed.search_all(services, answering=())
        await session.ask(Remember("note", ""))
        await session.ask(Introduce(""))
    with pytest.raises(BoundMissedError):
        mixed.note(record)
    assert set(record.notes) == {
        f"{place} of {own.name} has the canary of {other.name}"
        for place in (canaries.REPLY, canaries.REDIS, canaries.POSTGRES)
    }


async def test_a_tenants_redis_user_has_its_own_keys_alone(
    redis: Redis, services: Services, pair: tuple[Tenant, Tenant]
) -> None:
    own, other = pair
    theirs = f"{other.name}:context"
    async with other.customer() as session:
        await session.ask(Remember("secret", "theirs"))

        await redis.set(f"{own.name}:mine", "1")
        assert await redis.get(f"{own.name}:mine") == "1"
        for command in (
            *(("HGET", theirs, "secret"), ("HGETALL", theirs), ("HSET", theirs, "secret", "mine")),
            *(("DEL", theirs), ("EXISTS", theirs), ("PEXPIRE", theirs, "1"), ("GET", own.name)),
            *(("SCAN", "0"), ("KEYS", "*"), ("RANDOMKEY",), ("DBSIZE",), ("FLUSHALL",), ("SELECT", "1")),
            *(("EVAL", "return redis.call('KEYS', '*')", "0"), ("COPY", theirs, f"{own.name}:copy")),
            *(("ACL", "LIST"), ("CONFIG", "GET", "*"), ("CLIENT", "LIST"), ("MONITOR",)),
            *(("SUBSCRIBE", "*"), ("PUBLISH", other.name, "1"), ("OBJECT", "ENCODING", theirs)),
        ):
            with pytest.raises(NoPermissionError):
                await redis.execute_command(*command)
        assert (await session.ask(Recall("secret")))["redis"] == "theirs"

    async with redis_as(services, other.name, own.stores.redis_password) as intruder:
        with pytest.raises(AuthenticationError):
            await intruder.ping()


async def test_a_tenants_database_role_sees_its_own_rows_alone(
    postgres: "asyncpg.Connection[Any]", pair: tuple[Tenant, Tenant]
) -> None:
    own, other = pair
    async with own.customer(), other.customer() as session:
        whoami = await session.ask(Whoami())

        async def seen(table: str) -> set[str]:
            return {row["tenant"] for row in await postgres.fetch(f"SELECT tenant FROM {table}")}  # noqa: S608

        assert await seen("auth_users") == {own.name}
        assert await seen("auth_sessions") == {own.name}
        for statement in (
            "UPDATE auth_users SET profile = 'mine' WHERE tenant = $1",
            "DELETE FROM auth_users WHERE tenant = $1",
            "DELETE FROM auth_sessions WHERE tenant = $1",
        ):
            assert (await postgres.execute(statement, other.name)).endswith(" 0")
        assert await session.ask(Whoami()) == whoami


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO auth_users (tenant, name) VALUES ('{other}', 'mine')",
        "UPDATE auth_users SET tenant = '{other}'",
        'SET ROLE "{other}"',
        'SET SESSION AUTHORIZATION "{other}"',
        "SET row_security = off; SELECT * FROM auth_users",
        "ALTER TABLE auth_users DISABLE ROW LEVEL SECURITY",
        "TRUNCATE auth_sessions",
        "CREATE TABLE mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY auth_users TO PROGRAM 'cat'",
        "SELECT rolpassword FROM pg_authid",
    ],
)
async def test_a_tenants_database_role_gets_no_further(
    postgres: "asyncpg.Connection[Any]", pair: tuple[Tenant, Tenant], statement: str
) -> None:
    own, other = pair
    async with own.customer() as session:  # so that there are rows of its own to give away
        await session.ask(Whoami())
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await postgres.execute(statement.format(other=other.name))


async def test_a_tenants_database_password_opens_nothing_else(
    services: Services, pair: tuple[Tenant, Tenant]
) -> None:
    own, other = pair
    with pytest.raises(asyncpg.InvalidPasswordError):
        async with postgres_as(services, other.name, own.stores.postgres_password):
            pass
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with postgres_as(services, own.name, own.stores.postgres_password, database="postgres"):
            pass


async def wait_sessions(services: Services, tenant: Tenant, wanted: dict[str, int]) -> None:
    async with administrator(services) as all_of_it:

        async def so() -> bool:
            found = await all_of_it.sessions(tenant.name)
            if found != wanted:
                raise NotYet(f"there are {found}")
            return True

        await wait_until_async(so, what=f"{wanted} sessions", deadline_seconds=DEADLINE_SECONDS)


async def wait_ended(cluster: Cluster, tenant: Tenant, pod: str) -> int:
    """The exit code of a pod that isn't started anew."""

    async def ended() -> tuple[int]:
        (status,) = cluster.get(POD, pod, tenant.name)["status"]["containerStatuses"]
        if "terminated" not in status["state"]:
            raise NotYet(f"it is {status['state']}")
        return (int(status["state"]["terminated"]["exitCode"]),)

    (code,) = await wait_until_async(ended, what=f"the end of {pod}", deadline_seconds=DEADLINE_SECONDS)
    return code


async def test_an_agent_that_leaves_closes_its_sessions_in_order(
    cluster: Cluster, services: Services, pair: tuple[Tenant, Tenant]
) -> None:
    await wait_sessions(services, pair[0], NONE)
    async with pair[0].customer(agent=LEFT) as one, pair[0].customer(agent=LEFT) as two:
        await wait_sessions(services, pair[0], {"redis": 2, "postgres": 2})
        await one.ask(Leave())
        assert await one.closed() == (CLOSE_LEAVING, "the agent leaves")
        assert await two.closed() == (CLOSE_LEAVING, "the agent leaves")
        assert await wait_ended(cluster, pair[0], LEFT) == 0
        async with administrator(services) as all_of_it:
            assert await all_of_it.sessions(pair[0].name) == NONE


async def test_an_agent_whose_pod_is_deleted_does_so_too(
    cluster: Cluster, services: Services, pair: tuple[Tenant, Tenant]
) -> None:
    await wait_sessions(services, pair[0], NONE)
    async with pair[0].customer(agent=STOPPED) as session:
        await wait_sessions(services, pair[0], ONE)
        cluster.delete(POD, STOPPED, pair[0].name)
        assert await session.closed() == (CLOSE_LEAVING, "the agent leaves")

    async def gone() -> bool:
        return cluster.gone(POD, STOPPED, pair[0].name)

    await wait_until_async(gone, what="the pod to be gone", deadline_seconds=DEADLINE_SECONDS)
    async with administrator(services) as all_of_it:
        assert await all_of_it.sessions(pair[0].name) == NONE


async def crash(session: Customer) -> None:
    """It is gone without a word."""
    answer = await session.send(Crash())
    code, _ = await session.closed()
    assert code not in {CLOSE_LEAVING, 1000}
    assert answer.exception() is not None


async def test_what_a_crashed_agent_leaves_ends_with_its_lease(
    cluster: Cluster, services: Services, pair: tuple[Tenant, Tenant]
) -> None:
    await wait_sessions(services, pair[0], NONE)
    async with administrator(services) as all_of_it, pair[0].customer(agent=CRASHED_FOR_GOOD) as session:
        await wait_sessions(services, pair[0], ONE)
        await session.ask(Whoami())
        await crash(session)
        assert await all_of_it.sessions(pair[0].name) == ONE
    assert await wait_ended(cluster, pair[0], CRASHED_FOR_GOOD) == CRASHED
    assert LEASE_SECONDS < DEADLINE_SECONDS
    await wait_sessions(services, pair[0], NONE)


async def test_an_agent_that_is_started_anew_ends_what_it_left(
    cluster: Cluster, services: Services, pair: tuple[Tenant, Tenant]
) -> None:
    await wait_sessions(services, pair[0], NONE)
    async with pair[0].customer(agent=RESTARTED) as session:
        await session.ask(Remember("kept", "yes"))
        before = (await session.ask(Whoami()))["session"]
        await crash(session)

    async def answers() -> dict[str, str]:
        try:
            async with pair[0].customer(agent=RESTARTED) as session:
                recalled = dict(await session.ask(Recall("kept")))
                async with administrator(services) as all_of_it:
                    rows = [row.text for row in await all_of_it.rows() if row.tenant == pair[0].name]
                assert not any(before in row for row in rows)
                return recalled
        except (InvalidStatus, OSError) as error:
            raise NotYet(str(error)) from error

    recalled = await wait_until_async(
        answers, what="an answer of the agent", deadline_seconds=DEADLINE_SECONDS, poll_seconds=0.25
    )
    assert recalled == {"memory": None, "redis": "yes"}
