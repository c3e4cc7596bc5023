"""Tenants of three kinds at once: those that serve their customers, those that take all they can get, and
those that come and go in bursts."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from websockets.exceptions import ConnectionClosed

from e2e.harness.served import Tenant
from e2e.tenant.client import Customer, RequestRefusedError
from e2e.tenant.protocol import Burn, Hold, Keep, Write

MIB: Final = 1 << 20
BURST_SECONDS: Final = 3.0
"""So long a burst takes, and so long the rest after it."""
BURST_BYTES: Final = 24 * MIB
"""Of memory, held from the first burst on."""
BURST_FILES: Final = 50
BURST_WRITES_BYTES: Final = MIB
OPENING: Final = 8
"""Sessions that are opened at once."""
BEGIN_SECONDS: Final = 120.0


class Role(StrEnum):
    NORMAL = "normal"
    HEAVY = "heavy"
    MIXED = "mixed"


def roles(count: int) -> list[Role]:
    """A quarter heavy, a quarter mixed, at least half normal: the specification's mixture.

    Raises:
        ValueError: for so few that one kind is missing.
    """
    part = count // 4
    if not part:
        raise ValueError(f"{count} tenants are no mixture: give 4 at least")
    return [Role.NORMAL] * (count - 2 * part) + [Role.HEAVY] * part + [Role.MIXED] * part


@dataclass
class Unrest:
    """What heavy and mixed tenants do, from a thread of its own.

    Attributes:
        lost: tenants whose session was refused or ended, as often as that happened.
    """

    heavy: Sequence[Tenant]
    mixed: Sequence[Tenant]
    cores: int
    lost: list[str] = field(default_factory=list)

    async def run(self, begun: threading.Event, end: asyncio.Event) -> None:
        """Until the end; ``begun`` is set when all have begun once."""
        opening = asyncio.Semaphore(OPENING)
        everybody = asyncio.Barrier(len(self.heavy) + len(self.mixed) + 1)

        async def keep(tenant: Tenant, delay_seconds: float | None) -> None:
            async with opening:
                session = tenant.customer()
                customer = await session.__aenter__()
            try:
                await everybody.wait()
                if delay_seconds is None:
                    await self._burn(customer, end)
                else:
                    await self._bursts(customer, delay_seconds, end)
            except (ConnectionClosed, RequestRefusedError, TimeoutError) as error:
                self.lost.append(f"{tenant.name}: {error}")
            finally:
                await session.__aexit__(None, None, None)

        async with asyncio.TaskGroup() as group:
            for tenant in self.heavy:
                group.create_task(keep(tenant, None))
            for number, tenant in enumerate(self.mixed):
                # one after the other, so that as many burst as rest
                group.create_task(keep(tenant, 2 * BURST_SECONDS * number / len(self.mixed)))
            await everybody.wait()
            begun.set()

    async def _burn(self, customer: Customer, end: asyncio.Event) -> None:
        await customer.ask(Burn(self.cores))
        await end.wait()
        await customer.ask(Burn(0))

    async def _bursts(self, customer: Customer, delay_seconds: float, end: asyncio.Event) -> None:
        await _pause(end, delay_seconds)
        await customer.ask(Hold(BURST_BYTES))
        while not end.is_set():
            await customer.ask(Keep(files=BURST_FILES))
            await customer.ask(Burn(1))
            await customer.ask(Write(BURST_WRITES_BYTES))
            await _pause(end, BURST_SECONDS)
            await customer.ask(Burn(0))
            await customer.ask(Keep())
            await _pause(end, BURST_SECONDS)


async def _pause(end: asyncio.Event, seconds: float) -> None:
    """Shorter, when the end comes."""
    try:
        async with asyncio.timeout(seconds):
            await end.wait()
    except TimeoutError:
        pass


@contextmanager
def unrest(heavy: Sequence[Tenant], mixed: Sequence[Tenant], cores: int) -> Iterator[Unrest]:
    """Heavy tenants burn that many cores each, and mixed ones burst, until the end of the block.

    Raises:
        ExceptionGroup: when a tenant can't be told to begin.
    """
    made = Unrest(heavy, mixed, cores)
    begun = threading.Event()
    loop = asyncio.new_event_loop()
    end = asyncio.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(made.run(begun, end))
        except BaseException as error:
            failed.append(error)
        finally:
            begun.set()

    thread = threading.Thread(target=run, name="unrest", daemon=True)
    thread.start()
    try:
        if not begun.wait(BEGIN_SECONDS):
            raise TimeoutError(f"heavy and mixed tenants weren't told within {BEGIN_SECONDS:.0f} s")
        if not failed:
            yield made
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(BEGIN_SECONDS)
        if not thread.is_alive():
            loop.close()
    if failed:
        raise failed[0]
