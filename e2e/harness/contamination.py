"""That no tenant has another's data, as every case with tenants that serve customers shows at its end.

with kept_apart(services, tenants, record) as contamination:
    ...                                        # customers with contamination.witness(tenant)
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from e2e.harness import canaries, many
from e2e.harness.administration import administrator
from e2e.harness.canaries import Finding, Search
from e2e.harness.served import Tenant
from e2e.harness.services import Services
from e2e.results import Recorder

PLACES: Final = (canaries.REPLY, canaries.REDIS, canaries.POSTGRES)
SHOWN: Final = 5


class Contamination:
    """One canary per tenant, planted, and looked for in every reply, key and row.

    Attributes:
        found: what was looked at so far, and what came of it.
    """

    def __init__(self, made: Sequence[Tenant]) -> None:
        self._tenants = made
        self.found = Search({tenant.name: tenant.canary for tenant in made})

    def plant(self) -> None:
        """Has each agent keep its tenant's canary in its context, in Redis and in PostgreSQL.

        Raises:
            OSError, websockets.InvalidStatus: when an agent doesn't answer.
        """
        asyncio.run(self.plant_all())

    async def plant_all(self) -> None:
        """`plant`, for who awaits."""
        await _a_few_at_a_time(tenant.plant() for tenant in self._tenants)

    def look(self, finding: Finding) -> None:
        """Looks at something else that a tenant got."""
        self.found.look(finding)

    def witness(self, tenant: Tenant) -> Callable[[str], None]:
        """Looks at each message that a customer of the tenant gets: for ``Tenant.customer``."""

        def look(reply: str) -> None:
            self.found.look(Finding(tenant.name, canaries.REPLY, reply))

        return look

    def search(self, services: Services, *, answering: Collection[Tenant] | None = None) -> None:
        """Has agents say all that they say, and looks at every key and every row. May be called more than
        once: what was found stays found.

        Args:
            answering: whose agents are asked; all by default, fewer where some are gone by now.
        """
        asyncio.run(self.search_all(services, answering=answering))

    async def search_all(self, services: Services, *, answering: Collection[Tenant] | None = None) -> None:
        """`search`, for who awaits."""
        asked = self._tenants if answering is None else answering
        await _a_few_at_a_time(tenant.inspect(self.found) for tenant in asked)
        async with administrator(services) as all_of_it:
            keys = await all_of_it.keys(tenant.name for tenant in self._tenants)
            for finding in (*keys, *await all_of_it.rows()):
                self.found.look(finding)

    def note(self, record: Recorder) -> None:
        """Notes what was found, as bounds.

        Raises:
            BoundMissedError: when a canary was found with another tenant, or one wasn't found where it had
                been planted: such a search is blind.
        """
        strangers, unseen = self.found.strangers, self.found.unseen(PLACES)
        record.figures["contamination"] = {
            "looked_at": dict(self.found.looked_at),
            "strangers": [str(each) for each in strangers[:SHOWN]],
        }
        for stranger in strangers[:SHOWN]:
            record.notes.append(str(stranger))
        record.bound("canaries found with another tenant", len(strangers), "", at_most=0)
        seen = len(self._tenants) * len(PLACES) - len(unseen)
        record.bound(
            "own canaries found in reply, Redis and PostgreSQL",
            seen,
            "",
            at_least=len(self._tenants) * len(PLACES),
        )


async def _a_few_at_a_time(many_times: Iterable[Awaitable[None]]) -> None:
    turn = asyncio.Semaphore(many.THREADS)

    async def wait(one: Awaitable[None]) -> None:
        async with turn:
            await one

    await asyncio.gather(*(wait(one) for one in many_times))


@contextmanager
def kept_apart(services: Services, made: Sequence[Tenant], record: Recorder) -> Iterator[Contamination]:
    """With a canary of each; what was found is noted at the end, unless something else failed.

    Raises:
        BoundMissedError: as `Contamination.note`.
    """
    contamination = Contamination(made)
    contamination.plant()
    yield contamination
    contamination.search(services)
    contamination.note(record)
