"""``/metrics``, ``/healthz`` and ``/readyz``."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


@asynccontextmanager
async def serve(
    port: int, registry: CollectorRegistry, alive: Callable[[], bool], ready: Callable[[], bool]
) -> AsyncIterator[None]:
    """Serves while the context lasts, in the event loop whose life ``/healthz`` vouches for."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def probe(check: Callable[[], bool], otherwise: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(text="ok") if check() else web.Response(text=otherwise, status=503)

        return answer

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", probe(alive, "no resync for too long"))
    app.router.add_get("/readyz", probe(ready, "the watches are not complete yet"))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    try:
        yield
    finally:
        await runner.cleanup()
