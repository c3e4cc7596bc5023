"""The open loop: requests leave when they are due, whether or not those before were answered, and latency
counts from when they were due, so that a slow server can't slow the clock that measures it."""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from e2e.load.plan import Connected, Line, Plan, Sample, Started, Target, Told
from e2e.load.schedule import due
from e2e.tenant.client import Address, Customer, RequestRefusedError, customer
from e2e.tenant.protocol import Answer, Work

AGAIN_SECONDS: Final = 0.25
"""Between two attempts to connect."""
TELL_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 10.0
"""A request without an answer after so long has failed."""
LOOP_PART: Final = 0.8
SENDER_PART: Final = 0.2
"""Of one CPU, at most; the thread that sends only says what is due."""
NO_WORK: Final = Work(0)
_LOST: Final = (OSError, ConnectionClosed)
_UNREACHABLE: Final = (*_LOST, InvalidHandshake, RequestRefusedError)


class _Session:
    """One target's customer, who comes again when the connection has ended."""

    def __init__(self, target: Target, begin: float) -> None:
        self.target = target
        self._begin = begin
        self.customer: Customer | None = None
        self.connected_seconds: float | None = None
        self.problem = "not tried"
        self.tried = asyncio.Event()

    async def keep(self, connect_seconds: float) -> None:
        """Connects, and again after each end; ``tried`` is set by the first answer, or when time is up."""
        while True:
            try:
                async with customer(Address(self.target.url), self.target.token) as opened:
                    await opened.ask(NO_WORK)
                    self.customer = opened
                    if self.connected_seconds is None:
                        self.connected_seconds = time.monotonic() - self._begin
                    self.tried.set()
                    await opened.closed()
                    self.problem = "the connection ended"
            except _UNREACHABLE as error:
                self.problem = f"{type(error).__name__}: {error}"
            self.customer = None
            if time.monotonic() - self._begin > connect_seconds:
                self.tried.set()
            await asyncio.sleep(AGAIN_SECONDS)


class Driver:
    """One plan, carried out.

    Args:
        tell: gets the lines.
        run_first: has the calling thread run as soon as it wakes, for at most so much of a CPU.
    """

    def __init__(
        self,
        plan: Plan,
        tell: Callable[[Line], None],
        run_first: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._plan = plan
        self._tell = tell
        self._run_first = run_first
        self._answered: defaultdict[str, list[Sample]] = defaultdict(list)
        self._failed: defaultdict[str, list[float]] = defaultdict(list)
        self._late_ms: list[float] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._stop = threading.Event()

    async def run(self) -> None:
        """Until the load is over and its last request was answered or given up."""
        self._run_first(LOOP_PART)
        begin = time.monotonic()
        sessions = [_Session(target, begin) for target in self._plan.targets]
        async with asyncio.TaskGroup() as group:
            keepers = [group.create_task(each.keep(self._plan.connect_seconds)) for each in sessions]
            for each in sessions:
                await each.tried.wait()
            self._tell(_connected(sessions))
            await self._load(sessions)
            for keeper in keepers:
                keeper.cancel()

    def stop(self) -> None:
        """Ends the load early. From any thread."""
        self._stop.set()

    async def _load(self, sessions: list[_Session]) -> None:
        start = time.monotonic()
        self._tell(Started())
        teller = asyncio.create_task(self._tell_now_and_then(start))
        # a thread: the event loop's own timers are as coarse as epoll's, whole milliseconds
        await asyncio.to_thread(self._send_all, sessions, start, asyncio.get_running_loop())
        if self._under_way:
            await asyncio.wait(self._under_way)
        teller.cancel()
        with suppress(asyncio.CancelledError):
            await teller
        self._tell_news(start)

    def _send_all(self, sessions: list[_Session], start: float, loop: asyncio.AbstractEventLoop) -> None:
        self._run_first(SENDER_PART)
        for seconds, index in due(self._plan.targets, self._plan.seconds, self._plan.seed):
            wait = start + seconds - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            if self._stop.is_set():
                return
            loop.call_soon_threadsafe(self._begin, sessions[index], start, seconds)

    def _begin(self, session: _Session, start: float, seconds: float) -> None:
        task = asyncio.get_running_loop().create_task(self._request(session, start, seconds))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _request(self, session: _Session, start: float, seconds: float) -> None:
        tenant = session.target.tenant
        self._late_ms.append((time.monotonic() - start - seconds) * 1000)
        answer: Answer | None = None
        if session.customer is not None:
            with suppress(*_LOST):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    answer = await (await session.customer.send(Work(session.target.cpu_milliseconds)))
        if answer is None or answer.result is None:
            self._failed[tenant].append(round(seconds, 4))
        else:
            latency_ms = (time.monotonic() - start - seconds) * 1000
            self._answered[tenant].append((round(seconds, 4), round(latency_ms, 3)))

    async def _tell_now_and_then(self, start: float) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            self._tell_news(start)

    def _tell_news(self, start: float) -> None:
        late_ms = [round(each, 3) for each in self._late_ms]
        self._tell(
            Told(round(time.monotonic() - start, 3), dict(self._answered), dict(self._failed), late_ms)
        )
        self._answered.clear()
        self._failed.clear()
        self._late_ms.clear()


def _connected(sessions: list[_Session]) -> Connected:
    return Connected(
        seconds={
            each.target.tenant: round(each.connected_seconds, 3)
            for each in sessions
            if each.connected_seconds is not None
        },
        refused={each.target.tenant: each.problem for each in sessions if each.connected_seconds is None},
    )
