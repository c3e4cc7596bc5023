"""The loop goes on, whatever happens to one of its rounds."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from tenantquota.controller.loop import SWEEP_EVERY, Loop
from tenantquota.controller.reconciler import Reconciler
from tenantquota.controller.workqueue import WorkQueue


@dataclass
class Sweeper:
    """A reconciler that fails to sweep."""

    sweeps: int = 0
    views: Any = field(default_factory=lambda: SimpleNamespace(concerned=list))

    async def sweep(self) -> None:
        self.sweeps += 1
        raise TypeError("an answer of a form that nobody thought of")


async def test_a_sweep_that_fails_ends_nothing() -> None:
    sweeper = Sweeper()
    loop = Loop(cast(Reconciler, sweeper), WorkQueue(), resync_seconds=0.001)
    loop.started.set()
    running = asyncio.create_task(loop.run())
    while sweeper.sweeps < 2 and not running.done():
        await asyncio.sleep(0.001 * SWEEP_EVERY)
    assert not running.done()
    running.cancel()
