"""Resources that become more at a rate."""

import asyncio
import logging
import mmap
import time
from dataclasses import astuple
from typing import Final

from e2e.tenant.protocol import Leak
from e2e.tenant.resources import Children, Files, Holder, ResourceError

TICK_SECONDS: Final = 0.1
LOG: Final = logging.getLogger(__name__)


class Debt:
    """What a rate owes, in whole units."""

    def __init__(self, rate_per_second: float, unit: int = 1) -> None:
        self._rate_per_second = rate_per_second
        self._unit = unit
        self._paid = 0

    def due(self, elapsed_seconds: float) -> int:
        """How much more is due since it was asked last, ``elapsed_seconds`` after the start."""
        whole = int(self._rate_per_second * elapsed_seconds) // self._unit * self._unit
        due, self._paid = whole - self._paid, whole
        return due


class Leaks:
    """Lets memory, files and processes become more; costs nothing while no rate is set."""

    def __init__(self, holder: Holder, files: Files, idlers: Children) -> None:
        self._holder = holder
        self._files = files
        self._idlers = idlers
        self._task: asyncio.Task[None] | None = None
        self.rates = Leak()

    def set_rates(self, rates: Leak) -> None:
        """From now on; what was leaked stays."""
        self.stop()
        self.rates = rates
        if any(astuple(rates)):
            self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """It gets no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.rates = Leak()

    async def _run(self) -> None:
        memory = Debt(self.rates.memory_bytes_per_second, mmap.PAGESIZE)
        files = Debt(self.rates.files_per_second)
        processes = Debt(self.rates.processes_per_second)
        start = time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            elapsed = time.monotonic() - start
            try:
                self._holder.set_bytes(self._holder.size_bytes + memory.due(elapsed))
                self._files.set_count(len(self._files) + files.due(elapsed))
                self._idlers.set_count(len(self._idlers) + processes.due(elapsed))
            except ResourceError as error:
                LOG.warning("the leak stops: %s", error)
                self.stop()
                return
