"""A queue of keys to work on: what comes many times is worked on once."""

import asyncio


class WorkQueue:
    """Keys with the time when they are due. A key is never handed out twice at once: one that comes again
    while it is worked on is due after that. Not thread-safe; made inside the event loop that uses it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: dict[str, float] = {}
        self._busy: set[str] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def add(self, key: str, delay_seconds: float = 0.0) -> None:
        """The key is due after the delay, or earlier where it was so already."""
        due = self._loop.time() + delay_seconds
        self._due[key] = min(due, self._due.get(key, due))
        self._changed.set()

    async def take(self) -> str:
        """The key that has been due longest, once there is one; ``done`` must follow."""
        while True:
            self._changed.clear()
            waiting = {key: due for key, due in self._due.items() if key not in self._busy}
            key = min(waiting, key=waiting.__getitem__, default=None)
            if key is not None and waiting[key] <= self._loop.time():
                del self._due[key]
                self._busy.add(key)
                return key
            await self._sleep_until(waiting[key] if key is not None else None)

    def done(self, key: str) -> None:
        self._busy.discard(key)
        self._changed.set()

    async def _sleep_until(self, due: float | None) -> None:
        try:
            async with asyncio.timeout_at(due):
                await self._changed.wait()
        except TimeoutError:
            pass
