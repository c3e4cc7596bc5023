"""The load driver: when requests are due, and that latency counts from then."""

import asyncio
import itertools
import json
import time

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from e2e.load.driver import Driver
from e2e.load.plan import (
    Connected,
    Line,
    Plan,
    Started,
    Target,
    Told,
    decode,
    decode_plan,
    encode,
    encode_plan,
)
from e2e.load.schedule import due
from e2e.tenant.protocol import SUBPROTOCOL

RATE = 50.0
STALL_SECONDS = 0.4


def target(tenant: str, port: int = 1, rate: float = RATE) -> Target:
    return Target(tenant, f"ws://127.0.0.1:{port}/", "token", rate, cpu_milliseconds=0)


def test_each_interval_has_one_request() -> None:
    requests = list(due([target("a"), target("b", rate=10)], 2.0, seed=1))

    assert requests == sorted(requests)
    for index, rate in ((0, RATE), (1, 10)):
        intervals = [int(seconds * rate) for seconds, of in requests if of == index]
        assert intervals == list(range(int(2 * rate)))


def test_requests_are_due_as_the_seed_has_it_and_tenants_do_not_keep_step() -> None:
    targets = [target("a"), target("b")]
    once = list(due(targets, 2.0, seed=1))

    assert once == list(due(targets, 2.0, seed=1))
    assert once != list(due(targets, 2.0, seed=2))
    distances = {round(b - a, 3) for (a, _), (b, _) in itertools.pairwise(once)}
    assert len(distances) > 20


@pytest.mark.parametrize(
    "line",
    [
        Connected({"a": 0.5}, {"b": "refused"}),
        Started(),
        Told(1.0, {"a": [[0.1, 20.5]]}, {"b": [0.2]}, [0.1]),  # type: ignore[dict-item]
    ],
)
def test_lines_are_told_and_understood(line: Line) -> None:
    assert decode(encode(line)) == line


def test_what_is_no_line_is_shown() -> None:
    with pytest.raises(ValueError, match="not a driver's line: Traceback"):
        decode("Traceback\n")


def test_a_plan_is_handed_over() -> None:
    plan = Plan([target("a")], seconds=3)
    assert decode_plan(encode_plan(plan)) == plan


async def drive(stall: bool, *, unreached: bool = False, seconds: float = 1.5) -> list[Line]:
    """Against an agent that answers at once, and once lets everybody wait."""
    stalled = asyncio.Event()

    async def answer(connection: ServerConnection) -> None:
        begin = time.monotonic()
        async for message in connection:
            if stall and not stalled.is_set() and time.monotonic() - begin > seconds / 3:
                stalled.set()
                time.sleep(STALL_SECONDS)  # noqa: ASYNC251 - as a busy agent does
            result = {"id": json.loads(message)["id"], "tenant": "a", "result": {}}
            await connection.send(json.dumps(result))

    lines: list[Line] = []
    async with serve(answer, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        targets = [target("a", port), *([target("gone", 1)] if unreached else [])]
        await Driver(Plan(targets, seconds, connect_seconds=0.2), lines.append).run()
    return lines


async def test_a_stall_is_felt_by_all_that_was_due_meanwhile() -> None:
    """One late answer would be all that a closed loop sees."""
    lines = await drive(stall=True)

    told = [line for line in lines if isinstance(line, Told)]
    samples = [sample for line in told for sample in line.answered.get("a", [])]
    felt = [ms for _, ms in samples if ms > STALL_SECONDS * 1000 / 4]
    assert len(samples) == int(1.5 * RATE)
    assert len(felt) >= STALL_SECONDS * RATE / 2
    assert max(felt) >= STALL_SECONDS * 1000 * 0.9


async def test_who_is_not_reached_is_told_and_its_requests_have_failed() -> None:
    lines = await drive(stall=False, unreached=True)

    connected = lines[0]
    assert isinstance(connected, Connected)
    assert set(connected.seconds) == {"a"}
    assert set(connected.refused) == {"gone"}
    assert isinstance(lines[1], Started)
    failed = [due for line in lines[2:] if isinstance(line, Told) for due in line.failed.get("gone", [])]
    assert len(failed) == int(1.5 * RATE)
