"""What an agent that serves customers uses when told to, by the cgroup files, and what it costs idle."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from e2e.harness import served
from e2e.harness.cgroups import Count, NodeCgroups
from e2e.harness.cluster import Cluster, Container
from e2e.harness.readings import Reading, cpu_use
from e2e.harness.served import Tenant
from e2e.harness.services import Services
from e2e.harness.wait import NotYet, wait_until_async
from e2e.tenant.client import RequestRefusedError
from e2e.tenant.protocol import Burn, Hold, Keep, Leak, State, Work, Write

pytestmark = pytest.mark.xdist_group("served")

MIB = 1 << 20
DEADLINE_SECONDS = 30
WINDOW_SECONDS = 1.0
IDLE_WINDOW_SECONDS = 5.0
IDLE_MEMORY_BYTES = 40 * MIB
IDLE_MILLICORES = 5.0
"""Of one agent, so that 50 of them leave a node of two cores to those who have work."""


class Watched:
    """A tenant's agent and its cgroup."""

    def __init__(self, tenant: Tenant, container: Container) -> None:
        self.tenant = tenant
        self._container = container
        self._cgroups = NodeCgroups(container.node)

    def reading(self) -> Reading:
        return self._cgroups.read([self._container])[self._container]

    def count(self) -> Count:
        return self._cgroups.count([self._container])[self._container]

    async def millicores(self, seconds: float) -> float:
        before = self.reading()
        await asyncio.sleep(seconds)
        return cpu_use(before, self.reading()).millicores

    async def wait_millicores(
        self, wanted: Callable[[float], bool], what: str, *, seconds: float = WINDOW_SECONDS
    ) -> None:
        async def so() -> bool:
            used = await self.millicores(seconds)
            if not wanted(used):
                raise NotYet(f"it used {used:.1f}m")
            return True

        await wait_until_async(so, what=what, deadline_seconds=DEADLINE_SECONDS, poll_seconds=0)


async def wait(condition: Callable[[], bool], what: str) -> None:
    async def so() -> bool:
        return condition()

    await wait_until_async(so, what=what, deadline_seconds=DEADLINE_SECONDS)


@pytest.fixture(scope="module")
def watched(cluster: Cluster, services: Services) -> Iterator[Watched]:
    with served.serving(cluster, services, "commanded", "a", cpu="1", memory="256Mi") as (tenant,):
        (container,) = cluster.running(tenant.name)
        yield Watched(tenant, container)


async def test_an_idle_agent_costs_little(watched: Watched) -> None:
    await watched.wait_millicores(
        lambda used: used < IDLE_MILLICORES, "an idle agent to rest", seconds=IDLE_WINDOW_SECONDS
    )
    assert watched.reading().memory_used_bytes < IDLE_MEMORY_BYTES


async def test_work_takes_the_cpu_time_that_it_says(watched: Watched) -> None:
    async with watched.tenant.customer() as session:
        before = watched.reading()
        took = await session.ask(Work(200))
        after = watched.reading()
    assert 200 <= took["cpu_milliseconds"] <= took["wall_milliseconds"] + 1
    assert after.cpu_used_seconds - before.cpu_used_seconds >= took["cpu_milliseconds"] / 1000


async def test_burning(watched: Watched) -> None:
    async with watched.tenant.customer() as session:
        await session.ask(Burn(1, percent=30))
        await watched.wait_millicores(lambda used: 200 < used < 400, "300m of CPU")
        await session.ask(Burn(1))
        await watched.wait_millicores(lambda used: used > 500, "all that a core has")
        await session.ask(Burn(0))
        await watched.wait_millicores(lambda used: used < 100, "the end of it")


async def test_holding_memory(watched: Watched) -> None:
    async with watched.tenant.customer() as session:
        before = watched.reading().memory_used_bytes
        await session.ask(Hold(64 * MIB))
        assert watched.reading().memory_used_bytes >= before + 63 * MIB
        await session.ask(Hold(0))
        await wait(
            lambda: watched.reading().memory_used_bytes < before + 8 * MIB, "the memory to be given back"
        )


async def test_leaking_memory(watched: Watched) -> None:
    async with watched.tenant.customer() as session:
        before = watched.reading().memory_used_bytes
        await session.ask(Leak(memory_bytes_per_second=32 * MIB))
        await wait(lambda: watched.reading().memory_used_bytes >= before + 24 * MIB, "24 MiB to be leaked")
        stopped = await session.ask(Leak())
        assert stopped["held_bytes"] >= 16 * MIB
        assert (await session.ask(State()))["held_bytes"] == stopped["held_bytes"]
        await session.ask(Hold(0))


async def test_keeping_files_and_processes(watched: Watched) -> None:
    async with watched.tenant.customer() as session:
        before = watched.count()
        await session.ask(Keep(files=100, processes=3))
        now = watched.count()
        assert now.processes == before.processes + 3
        assert 100 <= now.open_files - before.open_files < 100 + 3 * 10
        await session.ask(Keep())
        assert watched.count().processes == before.processes


async def test_leaking_files_and_processes(watched: Watched) -> None:
    async with watched.tenant.customer() as session:
        before = watched.count()
        await session.ask(Leak(files_per_second=50, processes_per_second=5))
        await wait(lambda: watched.count().processes >= before.processes + 3, "3 processes to be leaked")
        await wait(lambda: watched.count().open_files >= before.open_files + 50, "50 files to be leaked")
        await session.ask(Leak())
        await session.ask(Keep())
        assert watched.count().processes == before.processes


async def test_writing_to_the_disk(watched: Watched) -> None:
    async with watched.tenant.customer() as session:
        before = watched.reading().io_written_bytes
        await session.ask(Write(8 * MIB))
        assert watched.reading().io_written_bytes >= before + 8 * MIB


async def test_what_cannot_be_had_is_told(watched: Watched) -> None:
    async with watched.tenant.customer() as session:
        with pytest.raises(RequestRefusedError, match="give whole blocks of 4096 bytes"):
            await session.ask(Write(1))
        with pytest.raises(RequestRefusedError, match="burn: percent: give a whole number from 1 to 100"):
            await session.ask(Burn(1, percent=0))
        await session.ask(State())
