"""The reconcile loop: one namespace's trouble stays its own, and the loop's own trouble is never silent."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from tenantquota.controller.loop import Loop
from tenantquota.controller.reconciler import Reconciler
from tenantquota.controller.views import Views
from tenantquota.controller.workqueue import WorkQueue
from tenantquota.kube.client import UnavailableError
from tenantquota.metrics import ControllerMetrics


@dataclass
class Scripted:
    """In the reconciler's place: what each call does is written down beforehand."""

    metrics: ControllerMetrics
    views: Views
    failures: dict[str, list[Exception]] = field(default_factory=dict)
    again_seconds: dict[str, float] = field(default_factory=dict)
    sweep_failures: list[Exception] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    sweeps: int = 0

    async def reconcile(self, namespace: str) -> float | None:
        if self.failures.get(namespace):
            raise self.failures[namespace].pop()
        self.done.append(namespace)
        return self.again_seconds.pop(namespace, None)

    async def sweep(self) -> None:
        self.sweeps += 1
        if self.sweep_failures:
            raise self.sweep_failures.pop()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def scripted(registry: CollectorRegistry) -> Scripted:
    return Scripted(ControllerMetrics(registry), Views({}, {"acme": ()}, {}, {}))


def loop_of(scripted: Scripted, resync_seconds: float = 3600) -> Loop:
    return Loop(cast(Reconciler, scripted), WorkQueue(), resync_seconds)


async def until(condition: Any, task: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(10):
        while not condition():
            assert not task.done(), task
            await asyncio.sleep(0.001)
    task.cancel()


async def test_nothing_is_reconciled_before_the_watches_have_shown_everything(scripted: Scripted) -> None:
    loop = loop_of(scripted)
    task = asyncio.create_task(loop.run())
    for _ in range(10):
        await asyncio.sleep(0)
    assert scripted.done == []
    loop.changed("other")
    await until(lambda: set(scripted.done) == {"acme", "other"}, task)


async def test_a_namespace_that_fails_is_tried_again_and_holds_nobody_up(
    scripted: Scripted, registry: CollectorRegistry
) -> None:
    scripted.failures["bad"] = [UnavailableError("etcd is slow")]
    loop = loop_of(scripted)
    loop.changed("bad")
    loop.changed("good")
    task = asyncio.create_task(loop.run())
    await until(lambda: {"bad", "good"} <= set(scripted.done), task)
    assert registry.get_sample_value("tenantquota_reconciles_total", {"result": "error"}) == 1


async def test_a_bug_in_one_namespace_is_logged_with_its_trace(
    scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.failures["bad"] = [KeyError("surprise")]
    loop = loop_of(scripted)
    loop.changed("bad")
    task = asyncio.create_task(loop.run())
    await until(lambda: "bad" in scripted.done, task)
    (record,) = (record for record in caplog.records if "namespace bad" in record.getMessage())
    assert record.exc_info is not None


async def test_every_namespace_with_a_quota_is_looked_at_again_and_again(scripted: Scripted) -> None:
    loop = loop_of(scripted, resync_seconds=0.001)
    begun = loop.beat
    loop.changed("acme")
    task = asyncio.create_task(loop.run())
    await until(lambda: scripted.done.count("acme") > 5 and scripted.sweeps > 1, task)
    assert loop.beat > begun


async def test_it_is_alive_while_it_has_not_missed_four_resyncs(scripted: Scripted) -> None:
    loop = loop_of(scripted, resync_seconds=1000)
    for seconds_ago, alive in ((0, True), (3900, True), (4100, False)):
        loop.beat = time.monotonic() - seconds_ago
        assert loop.alive() is alive


async def test_a_sweep_that_the_api_server_does_not_answer_waits(scripted: Scripted) -> None:
    scripted.sweep_failures = [UnavailableError("etcd is slow")]
    loop = loop_of(scripted, resync_seconds=0.001)
    loop.changed("acme")
    task = asyncio.create_task(loop.run())
    await until(lambda: scripted.sweeps > 1, task)


async def test_a_bug_in_the_sweep_is_logged_with_its_trace_and_ends_nothing(
    scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.sweep_failures = [TypeError("surprise")]
    loop = loop_of(scripted, resync_seconds=0.001)
    loop.changed("acme")
    task = asyncio.create_task(loop.run())
    await until(lambda: scripted.sweeps > 1, task)
    assert any(record.exc_info for record in caplog.records)


async def test_a_namespace_that_has_something_due_is_looked_at_then(scripted: Scripted) -> None:
    scripted.again_seconds["other"] = 0.01
    loop = loop_of(scripted)
    loop.changed("other")
    task = asyncio.create_task(loop.run())
    await until(lambda: scripted.done.count("other") == 2, task)
