"""Customers of many tenants at once, whose sessions stay open from one test to the next.

They live in a thread of their own with its event loop: tests that wait for the cluster would else keep them
from answering pings.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from websockets.exceptions import WebSocketException

from e2e.harness.served import AGENT, Tenant
from e2e.tenant.client import Customer
from e2e.tenant.protocol import Request

T = TypeVar("T")
OPEN_SECONDS: Final = 30
ANSWER_SECONDS: Final = 30


class Crowd:
    """Open sessions by tenant. Made by `crowd`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sessions: dict[str, list[Customer]] = {}
        self._holders: dict[str, list[asyncio.Task[None]]] = {}

    def enter(
        self,
        tenant: Tenant,
        count: int,
        witness: Callable[[str], object] | None = None,
        *,
        agent: str = AGENT,
    ) -> None:
        """Opens so many more sessions of a tenant, each of a user of its own.

        Raises:
            OSError, websockets.InvalidStatus: when one isn't let in.
        """
        self._run(self._enter(tenant, count, witness, agent), OPEN_SECONDS)

    def ask(self, tenant: Tenant, request: Request) -> Mapping[str, Any]:
        """The answer to the tenant's first customer; see `Customer.ask`."""
        return self._run(self._sessions[tenant.name][0].ask(request), ANSWER_SECONDS)

    def tell(self, tenant: Tenant, request: Request) -> None:
        """As `ask`, of an agent that may be gone before it answers."""
        self._run(self._sessions[tenant.name][0].send(request), ANSWER_SECONDS)

    def cut(self, tenant: Tenant) -> None:
        """All connections of the tenant's customers are gone, without a closing handshake."""
        self._run(self._each(tenant, Customer.cut), ANSWER_SECONDS)

    def fall_silent(self, tenant: Tenant) -> None:
        """None of the tenant's customers answers any more, not even a ping."""
        self._run(self._each(tenant, Customer.fall_silent), ANSWER_SECONDS)

    def leave(self, tenant: Tenant) -> None:
        """Forgets the tenant's sessions; those that are open are cut."""
        self._run(self._leave(tenant.name), ANSWER_SECONDS)

    def ended(self, tenant: Tenant) -> list[tuple[int | None, str]]:
        """Waits for the end of the tenant's sessions, whoever ends them: close code and reason of each."""
        return self._run(self._ended(tenant), ANSWER_SECONDS)

    async def _enter(
        self, tenant: Tenant, count: int, witness: Callable[[str], object] | None, agent: str
    ) -> None:
        known = self._sessions.setdefault(tenant.name, [])
        opened = [self._loop.create_future() for _ in range(count)]
        self._holders.setdefault(tenant.name, []).extend(
            asyncio.create_task(self._hold(tenant, f"customer-{len(known) + number}", witness, agent, future))
            for number, future in enumerate(opened)
        )
        known.extend(await asyncio.gather(*opened))

    async def _hold(
        self,
        tenant: Tenant,
        user: str,
        witness: Callable[[str], object] | None,
        agent: str,
        opened: "asyncio.Future[Customer]",
    ) -> None:
        try:
            async with tenant.customer(user, agent=agent, witness=witness) as session:
                opened.set_result(session)
                await session.closed()
        except (OSError, WebSocketException) as error:
            if not opened.done():
                opened.set_exception(error)

    async def _each(self, tenant: Tenant, act: Callable[[Customer], None]) -> None:
        for session in self._sessions[tenant.name]:
            act(session)

    async def _ended(self, tenant: Tenant) -> list[tuple[int | None, str]]:
        return list(await asyncio.gather(*(each.closed() for each in self._sessions[tenant.name])))

    async def _leave(self, tenant: str) -> None:
        for session in self._sessions.pop(tenant, ()):
            session.cut()  # one that is silent would be waited for
        holders = self._holders.pop(tenant, [])
        for holder in holders:
            holder.cancel()
        await asyncio.gather(*holders, return_exceptions=True)

    async def leave_all(self) -> None:
        for tenant in list(self._holders):
            await self._leave(tenant)

    def _run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop).result()


@contextmanager
def crowd() -> Iterator[Crowd]:
    """Customers that are gone at the end, whatever became of their tenants."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="customers", daemon=True)
    thread.start()
    made = Crowd(loop)
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.leave_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
