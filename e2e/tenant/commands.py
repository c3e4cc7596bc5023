"""What each message does."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final, assert_never
from uuid import UUID

from e2e.tenant import protocol
from e2e.tenant.accounts import Accounts
from e2e.tenant.context import Context
from e2e.tenant.leaks import Leaks
from e2e.tenant.resources import Burner, Files, Holder, Idlers, ResourceError, work, write_to_disk

CRASHED: Final = 70
"""The exit code of an agent that was told to crash. Not a signal: as process 1 of its container it is safe
from its own."""

Result = Mapping[str, Any]


class Commands:
    """One agent's resources and stores, told what to do by its customers.

    Args:
        leave: begins an orderly exit.
    """

    def __init__(
        self, accounts: Accounts, context: Context, *, scratch: str, leave: Callable[[], None]
    ) -> None:
        self._accounts = accounts
        self._context = context
        self._scratch = scratch
        self._leave = leave
        self._burner = Burner()
        self._holder = Holder()
        self._files = Files()
        self._idlers = Idlers()
        self._leaks = Leaks(self._holder, self._files, self._idlers)

    async def perform(self, request: protocol.Request, session: UUID, user: str) -> Result:
        """The result of a request.

        Raises:
            ResourceError: when what was asked for can't be had.
            OSError, asyncpg.PostgresError, redis.RedisError: when a store doesn't answer or refuses.
        """
        match request:
            case protocol.Work():
                return _work(request)
            case protocol.Remember() | protocol.Recall() | protocol.Introduce() | protocol.Whoami():
                return await self._stored(request, session, user)
            case _:
                return await self._commanded(request)

    async def _stored(
        self,
        request: protocol.Remember | protocol.Recall | protocol.Introduce | protocol.Whoami,
        session: UUID,
        user: str,
    ) -> Result:
        match request:
            case protocol.Remember(key, value):
                await self._context.remember(key, value)
                return {}
            case protocol.Recall(key):
                return await self._context.recall(key)
            case protocol.Introduce(profile):
                await self._accounts.introduce(user, profile)
                return {}
            case protocol.Whoami():
                account = await self._accounts.account(session)
                if account is None:
                    raise ResourceError("this session has ended in the database")
                return account.as_result()

    async def _commanded(
        self,
        request: protocol.Burn
        | protocol.Hold
        | protocol.Keep
        | protocol.Leak
        | protocol.Write
        | protocol.State
        | protocol.Leave
        | protocol.Crash,
    ) -> Result:
        match request:
            case protocol.Burn(cores, percent):
                self._burner.set_cores(cores, percent)
            case protocol.Hold(size_bytes):
                self._holder.set_bytes(size_bytes)
            case protocol.Keep(files, processes):
                self._files.set_count(files)
                self._idlers.set_count(processes)
            case protocol.Leak():
                self._leaks.set_rates(request)
            case protocol.Write(size_bytes):
                await asyncio.to_thread(write_to_disk, self._scratch, size_bytes)
            case protocol.State():
                pass
            case protocol.Leave():
                self._leave()
            case protocol.Crash():
                os._exit(CRASHED)
            case _:
                assert_never(request)
        return self._state()

    def stop(self) -> None:
        """Ends what it does besides answering."""
        self._leaks.stop()
        self._burner.set_cores(0)
        self._idlers.set_count(0)

    def _state(self) -> Result:
        return {
            "cores": self._burner.cores,
            "percent": self._burner.percent,
            "held_bytes": self._holder.size_bytes,
            "files": len(self._files),
            "processes": len(self._idlers),
            "leak": asdict(self._leaks.rates),
        }


def _work(request: protocol.Work) -> Result:
    """In the thread that serves everybody, as an agent would."""
    start = time.monotonic()
    used = work(request.cpu_milliseconds / 1000)
    wall = time.monotonic() - start
    return {"cpu_milliseconds": round(used * 1000, 3), "wall_milliseconds": round(wall * 1000, 3)}
