"""Keeps reconciling: workers that take namespaces from the queue, and the resync that adds them all."""

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from tenantquota.controller.reconciler import Reconciler
from tenantquota.controller.workqueue import WorkQueue
from tenantquota.kube.client import KubeError

WORKERS: Final = 4
"""Namespaces at once; a large one doesn't hold up the others."""
SWEEP_EVERY: Final = 4
"""Resyncs from one sweep to the next."""
LONGEST_RETRY_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Loop:
    reconciler: Reconciler
    queue: WorkQueue
    resync_seconds: float
    started: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the watches have shown everything: before, a quota that isn't seen might just not be seen
    yet."""
    beat: float = field(default_factory=time.monotonic)
    """When the loop last showed life (monotonic seconds)."""
    _failures: Counter[str] = field(default_factory=Counter)

    def changed(self, namespace: str, delay_seconds: float = 0.0) -> None:
        """Something happened in the namespace. The watches call this only when all indices are complete."""
        self.started.set()
        self.queue.add(namespace, delay_seconds)

    def alive(self) -> bool:
        return time.monotonic() - self.beat < 4 * self.resync_seconds

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._resync())
            for _ in range(WORKERS):
                tasks.create_task(self._work())

    async def _resync(self) -> None:
        await self.started.wait()
        rounds = 0
        while True:
            self.beat = time.monotonic()
            for namespace in list(self.reconciler.views.concerned()):
                self.queue.add(namespace)
            rounds += 1
            if rounds % SWEEP_EVERY == 0:
                await self._sweep()
            await asyncio.sleep(self.resync_seconds)

    async def _sweep(self) -> None:
        try:
            await self.reconciler.sweep()
        except Exception as error:
            trace = None if isinstance(error, KubeError) else error
            _log.warning("the sweep has to wait: %s", error, exc_info=trace)

    async def _work(self) -> None:
        while True:
            namespace = await self.queue.take()
            try:
                await self._reconcile(namespace)
            finally:
                self.queue.done(namespace)
                self.reconciler.metrics.waiting.set(len(self.queue))

    async def _reconcile(self, namespace: str) -> None:
        """One namespace's trouble stays its own: it is logged, counted and tried again, ever more rarely."""
        metrics = self.reconciler.metrics
        try:
            again_seconds = await self.reconciler.reconcile(namespace)
        except Exception as error:
            self._failures[namespace] += 1
            delay = min(2.0 ** (self._failures[namespace] - 1), LONGEST_RETRY_SECONDS)
            metrics.reconciles.labels("error").inc()
            trace = None if isinstance(error, KubeError) else error
            _log.error("namespace %s: %s; again in %g s", namespace, error, delay, exc_info=trace)
            self.queue.add(namespace, delay)
        else:
            del self._failures[namespace]
            metrics.reconciles.labels("success").inc()
            metrics.last_reconcile.set_to_current_time()
            if again_seconds is not None:
                self.queue.add(namespace, again_seconds)
