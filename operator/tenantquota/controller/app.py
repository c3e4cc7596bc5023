"""Puts the controller together and runs it until it is told to stop."""

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from typing import Any

import kopf
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from tenantquota.api.names import GROUP, MANAGER
from tenantquota.controller.acting import Actor
from tenantquota.controller.handlers import register
from tenantquota.controller.heartbeats import Heartbeats
from tenantquota.controller.http import serve
from tenantquota.controller.loop import Loop
from tenantquota.controller.memory import Memory
from tenantquota.controller.reconciler import Reconciler
from tenantquota.controller.views import Views
from tenantquota.controller.workqueue import WorkQueue
from tenantquota.kube.client import connect
from tenantquota.metrics import ControllerMetrics, ReportAges
from tenantquota.settings import ControllerSettings


def run(settings: ControllerSettings) -> None:
    """Runs until SIGTERM or SIGINT."""
    kopf.configure(log_format=kopf.LogFormat.JSON)
    logging.getLogger().setLevel(settings.log_level.upper())
    logging.getLogger("kopf").setLevel(max(logging.getLogger().level, logging.WARNING))
    asyncio.run(_run(settings))


async def _run(settings: ControllerSettings) -> None:
    await _Controller(settings).run()


class _Controller:
    def __init__(self, settings: ControllerSettings) -> None:
        self._settings = settings
        self._parts = AsyncExitStack()
        self._heartbeats = Heartbeats()
        self._loop: Loop | None = None
        self._reconciling: asyncio.Task[None] | None = None
        self._end = asyncio.Event()

    async def run(self) -> None:
        """Raises what ended the reconcile loop, if that did."""
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(login)
        kopf.on.startup(registry=registry)(self.start)
        kopf.on.cleanup(registry=registry)(self.stop)
        register(registry, self.changed, self._heartbeats)
        # Kopf would look its user up by uid, which no passwd file of the image knows.
        identity: Any = MANAGER
        await kopf.operator(
            registry=registry, identity=identity, standalone=True, clusterwide=True, stop_flag=self._end
        )
        if self._reconciling is not None and not self._reconciling.cancelled():
            self._reconciling.result()

    async def start(self, *, settings: kopf.OperatorSettings, **views: Any) -> None:
        configure(settings)
        own, metrics_registry = self._settings, CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=metrics_registry)
        metrics_registry.register(ReportAges(self._heartbeats.ages))
        client = await self._parts.enter_async_context(connect(own.concurrency + 2, os.environ))
        reconciler = Reconciler(
            client,
            Actor(client, asyncio.Semaphore(own.concurrency)),
            Views(
                views["pods"], views["quotas"], views["resource_quotas"], views["reports"], views["finished"]
            ),
            Memory(),
            self._heartbeats,
            ControllerMetrics(metrics_registry),
            own.system_namespaces,
        )
        self._loop = loop = Loop(reconciler, WorkQueue(), own.resync_seconds)
        await self._parts.enter_async_context(
            serve(own.http_port, metrics_registry, loop.alive, loop.started.is_set)
        )
        self._reconciling = asyncio.create_task(loop.run(), name="reconcile loop")
        self._reconciling.add_done_callback(lambda _: self._end.set())
        self._parts.callback(self._reconciling.cancel)

    async def stop(self, **_: Any) -> None:
        await self._parts.aclose()

    def changed(self, namespace: str, delay_seconds: float = 0.0) -> None:
        if self._loop is not None:
            self._loop.changed(namespace, delay_seconds)


def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """In the cluster as the pod's service account, elsewhere as the user of the kubeconfig."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def configure(settings: kopf.OperatorSettings) -> None:
    """Kopf's settings that matter here; ground for each beside it."""
    settings.posting.enabled = False  # Events are written by the reconciler, with a reason and once
    settings.networking.request_timeout = 10.0  # 300 s by default: a lost packet would blind the watches
    settings.persistence.finalizer = f"{GROUP}/finalizer"  # never set; named in case a handler ever needs it
