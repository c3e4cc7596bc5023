"""Runs the agent until it is told to leave; see the package."""

import asyncio
import logging
import os
import signal
import sys
from contextlib import aclosing

from e2e.tenant.accounts import Accounts
from e2e.tenant.context import Context
from e2e.tenant.server import Agent
from e2e.tenant.sessions import STORE_ERRORS
from e2e.tenant.settings import SettingError, Settings, read_settings


async def run(settings: Settings) -> None:
    """
    Raises:
        OSError, asyncpg.PostgresError, redis.RedisError: when a store isn't there at the start.
    """
    context = Context.connect(
        settings.redis_host,
        settings.tenant,
        settings.redis_password,
        lease_seconds=settings.lease_seconds,
    )
    async with aclosing(context):
        await context.ping()
        accounts = await Accounts.connect(
            settings.postgres_host,
            settings.tenant,
            settings.postgres_password,
            agent=settings.agent,
            pool_size=settings.pool_size,
            lease_seconds=settings.lease_seconds,
        )
        async with aclosing(accounts):
            await Agent(settings, accounts, context).run()


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("websockets").setLevel(logging.WARNING)
    # process 1 of a container gets no signal that it doesn't ask for; the server does so once it runs
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        settings = read_settings(os.environ)
        asyncio.run(run(settings))
    except SettingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except STORE_ERRORS as error:
        print(f"error: a store isn't there: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
