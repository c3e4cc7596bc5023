"""A real HTTP server that behaves as API servers do, and misbehaves when told to."""

import json
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

Manifest = dict[str, Any]

HOLD: Final = b"hold"
"""In a stream: it stays open, and nothing more comes."""
CUT: Final = b"cut"
"""In a stream: the connection breaks, without the end that HTTP has for it."""
REFUSE: Final = b"refuse"
"""Instead of a stream."""


def pod(
    uid: str,
    *containers: str,
    tenant: str = "acme",
    version: str = "1",
    state: str = "running",
    **fields: Any,
) -> Manifest:
    """A pod whose containers have these ids, and are named c0, c1, …; an empty id is a container to come."""
    names = [f"c{number}" for number in range(len(containers))]
    return {
        "metadata": {
            "uid": uid,
            "name": f"agent-{uid}",
            "namespace": f"ns-{tenant}",
            "resourceVersion": version,
            "labels": {"app": "agent"},
        },
        "spec": {"containers": [{"name": name} for name in names]},
        "status": {
            "containerStatuses": [
                {"name": name, "containerID": f"containerd://{id_}", "state": {state: {}}}
                for name, id_ in zip(names, containers, strict=True)
                if id_
            ]
        },
    } | fields


def quota(uid: str, of: str, *, version: str = "1", **spec: Any) -> Manifest:
    """A TenantQuota for the pods of tenant ``of``."""
    return {
        "metadata": {"uid": uid, "name": uid, "namespace": f"ns-{of}", "resourceVersion": version},
        "spec": {"container": {"limits": {"cpu": "1", "memory": "1Gi"}}, **spec},
    }


def event(kind: str, manifest: Manifest) -> bytes:
    return json.dumps({"type": kind, "object": manifest}).encode() + b"\n"


def bookmark(version: str) -> bytes:
    return event("BOOKMARK", {"metadata": {"resourceVersion": version}})


EXPIRED: Final = event("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})


class FakeApiServer(ThreadingHTTPServer):
    """Lists ``pods`` and ``quotas``, and answers each watch of pods with the next of ``streams`` (when there
    is none, as for quotas: HOLD)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pods: list[Manifest] = []
        self.quotas: list[Manifest] = []
        self.version = "100"
        self.streams: deque[Sequence[bytes]] = deque()
        self.refusals: deque[tuple[int, bytes]] = deque()
        """Answered to the next requests, whatever they are."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.reports: list[Manifest] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def lists(self) -> list[dict[str, str]]:
        return [query for method, _, query in self.requests if method == "GET" and "watch" not in query]

    def watches(self) -> list[dict[str, str]]:
        return [query for _, _, query in self.requests if "watch" in query]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that break off are part of the tests."""


@contextmanager
def serving() -> Iterator[FakeApiServer]:
    server = FakeApiServer()
    threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeApiServer

    def do_GET(self) -> None:
        query = self._note()
        if self._refuse():
            return
        if "watch" in query:
            told = self.server.streams and not self._is_about_quotas()
            self._stream(self.server.streams.popleft() if told else (HOLD,))
        else:
            self._list(query, self.server.quotas if self._is_about_quotas() else self.server.pods)

    def do_PATCH(self) -> None:
        self._note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._refuse():
            self.server.reports.append(json.loads(body))
            self._answer(200, body)

    def _note(self) -> dict[str, str]:
        path = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(path.query).items()}
        self.server.requests.append((self.command, path.path, query))
        return query

    def _refuse(self) -> bool:
        if not self.server.refusals:
            return False
        self._answer(*self.server.refusals.popleft())
        return True

    def _is_about_quotas(self) -> bool:
        return urlsplit(self.path).path.endswith("/tenantquotas")

    def _list(self, query: dict[str, str], objects: Sequence[Manifest]) -> None:
        start, size = int(query.get("continue", 0)), int(query["limit"])
        end = start + size
        metadata = {"resourceVersion": self.server.version}
        if end < len(objects):
            metadata["continue"] = str(end)
        self._answer(200, json.dumps({"metadata": metadata, "items": objects[start:end]}).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, pieces: Sequence[bytes]) -> None:
        if list(pieces) == [REFUSE]:
            self._answer(503, b'{"message": "overloaded"}')
            return
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            if piece in (HOLD, CUT):
                if piece == HOLD:
                    self.server.over.wait()
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Silent."""
