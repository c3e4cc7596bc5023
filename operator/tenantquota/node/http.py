"""``/metrics``, ``/healthz`` and ``/readyz``, in threads of their own."""

import logging
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, NamedTuple

LOG: Final = logging.getLogger(__name__)

IDLE_SECONDS: Final = 10.0
"""What a client may take for its request, and to take the answer."""


class Answer(NamedTuple):
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


Routes = Mapping[str, Callable[[], Answer]]


class Server(ThreadingHTTPServer):
    """Serves GET and HEAD of a few paths. ``serve_forever`` is to run in a daemon thread.

    Raises:
        OSError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, port: int, routes: Routes) -> None:
        super().__init__(("", port), _Handler)
        self.routes = routes

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is its own affair; anything else is ours."""
        LOG.debug("%s: no answer given", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    timeout = IDLE_SECONDS
    server: Server
    server_version = "tenantquota"
    sys_version = ""

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        try:
            answer = route() if route else Answer(404, b"not found\n")
        except Exception:
            LOG.exception("%s failed", self.path)
            answer = Answer(500, b"failed; the log says why\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Silent: each probe would be a line."""
