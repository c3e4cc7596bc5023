import asyncio

import pytest

from tenantquota.controller.workqueue import WorkQueue


async def taken(queue: WorkQueue) -> str:
    async with asyncio.timeout(5):
        return await queue.take()


async def nothing_is_due(queue: WorkQueue) -> bool:
    task = asyncio.create_task(queue.take())
    for _ in range(5):
        await asyncio.sleep(0)
    over = task.done()
    task.cancel()
    return not over


async def test_what_comes_many_times_is_worked_on_once() -> None:
    queue = WorkQueue()
    for _ in range(3):
        queue.add("acme")
    assert await taken(queue) == "acme"
    queue.done("acme")
    assert await nothing_is_due(queue)


async def test_a_key_is_not_handed_out_twice_at_once_but_again_afterwards() -> None:
    queue = WorkQueue()
    queue.add("acme")
    assert await taken(queue) == "acme"
    queue.add("acme")
    assert await nothing_is_due(queue)
    queue.done("acme")
    assert await taken(queue) == "acme"


async def test_others_go_on_while_one_is_worked_on() -> None:
    queue = WorkQueue()
    queue.add("acme")
    await taken(queue)
    queue.add("acme")
    queue.add("globex")
    assert await taken(queue) == "globex"


async def test_the_earliest_time_counts() -> None:
    queue = WorkQueue()
    queue.add("acme", 3600)
    assert await nothing_is_due(queue)
    queue.add("acme")
    queue.add("acme", 3600)
    assert await taken(queue) == "acme"


async def test_a_waiting_taker_hears_of_an_earlier_key() -> None:
    queue = WorkQueue()
    queue.add("later", 3600)
    task = asyncio.create_task(taken(queue))
    await asyncio.sleep(0)
    queue.add("now")
    assert await task == "now"


async def test_a_delay_passes() -> None:
    queue = WorkQueue()
    queue.add("acme", 0.01)
    assert await taken(queue) == "acme"
    assert len(queue) == 0


async def test_keys_come_in_the_order_in_which_they_are_due() -> None:
    queue = WorkQueue()
    queue.add("second", 0.002)
    queue.add("first", 0.001)
    await asyncio.sleep(0.01)
    assert [await taken(queue), await taken(queue)] == ["first", "second"]


@pytest.mark.parametrize("keys", [0, 3])
async def test_length_is_what_waits(keys: int) -> None:
    queue = WorkQueue()
    for key in range(keys):
        queue.add(str(key))
    assert len(queue) == keys
