"""Telling served agents what to do, from tests that wait for each answer: one event loop, in a thread of its
own, has all sessions."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from websockets.exceptions import WebSocketException

from e2e.harness.served import AGENT, Tenant
from e2e.harness.wait import NotYet, wait_until
from e2e.tenant.client import Customer
from e2e.tenant.protocol import Burn, Hold, Keep, Request, State, Work, Write

ANSWER_SECONDS: Final = 60.0
CLOSE_SECONDS: Final = 30.0
OPERATOR: Final = "operator"
"""The user by whose session agents are told."""


class NoAnswerError(Exception):
    """The agent is not there, or went before it answered."""


@dataclass
class _Line:
    """One agent's session, while there is one."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    session: Customer | None = None
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


class Sessions:
    """A session with each agent that was asked something; where it has ended, the next request makes it anew.

    Any thread may ask.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: dict[tuple[str, str], _Line] = {}

    def ask(self, tenant: Tenant, agent: str, request: Request) -> Mapping[str, Any]:
        """The result of a request.

        Raises:
            NoAnswerError: when there is none; what was asked for may have been done all the same.
            e2e.tenant.client.RequestRefusedError: when the agent answers with an error.
        """
        return asyncio.run_coroutine_threadsafe(self._ask(tenant, agent, request), self._loop).result()

    async def _ask(self, tenant: Tenant, agent: str, request: Request) -> Mapping[str, Any]:
        line = self._lines.setdefault((tenant.name, agent), _Line())
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await (await self._session(line, tenant, agent)).ask(request)
        except (OSError, WebSocketException, TimeoutError) as error:
            raise NoAnswerError(f"{tenant.name}/{agent}: {type(error).__name__}: {error}") from error

    async def _session(self, line: _Line, tenant: Tenant, agent: str) -> Customer:
        async with line.lock:
            if line.session is None or line.session.ended:
                await line.stack.aclose()
                line.session = None
                line.session = await line.stack.enter_async_context(tenant.customer(OPERATOR, agent=agent))
            return line.session

    async def close(self) -> None:
        """Ends all sessions in order, as far as their agents are still there."""
        lines = [line.stack.aclose() for line in self._lines.values()]
        await asyncio.gather(*lines, return_exceptions=True)


@dataclass(frozen=True)
class ServedAgent:
    """One agent of a tenant, as whoever operates it sees it."""

    sessions: Sessions
    tenant: Tenant
    name: str = AGENT

    def burn(self, cores: int, *, percent: int = 100) -> None:
        """From now on it keeps so many cores busy, each for part of the time, as far as its limit lets it."""
        self._ask(Burn(cores, percent))

    def hold(self, size_bytes: int) -> None:
        """From now on it holds so many bytes of touched memory."""
        self._ask(Hold(size_bytes))

    def keep(self, *, files: int = 0, processes: int = 0) -> None:
        """From now on it has so many open files and idle processes beyond those that it needs."""
        self._ask(Keep(files, processes))

    def write(self, size_bytes: int) -> None:
        """It writes so many bytes, and they are on the disk when this returns."""
        self._ask(Write(size_bytes))

    def work(self, cpu_milliseconds: float) -> None:
        """One request, answered when the work is done."""
        self._ask(Work(cpu_milliseconds))

    def state(self) -> Mapping[str, Any]:
        """What it burns, holds and so on."""
        return self._ask(State())

    def wait_answering(self, *, deadline_seconds: float = 30) -> None:
        """
        Raises:
            DeadlineExceededError: with the last error.
        """

        def answers() -> bool:
            try:
                self.state()
            except NoAnswerError as error:
                raise NotYet(str(error)) from error
            return True

        wait_until(
            answers,
            what=f"an answer of agent {self.tenant.name}/{self.name}",
            deadline_seconds=deadline_seconds,
        )

    def _ask(self, request: Request) -> Mapping[str, Any]:
        return self.sessions.ask(self.tenant, self.name, request)


@contextmanager
def opened() -> Iterator[Sessions]:
    """No session at the start; all are closed at the end."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sessions", daemon=True)
    thread.start()
    made = Sessions(loop)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.close(), loop).result(CLOSE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
