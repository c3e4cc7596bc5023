"""The API server by the standard library alone, for the node agent: its imports are a part of what it costs.

Every request opens a connection of its own and reads the token and the CA anew, since both are rotated: the
agent writes a few times a minute, and the one stream that it keeps open lasts for minutes.
"""

import base64
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlencode, urlsplit

JSON: Final = "application/json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
"""Server-side apply; JSON is YAML."""

REQUEST_TIMEOUT_SECONDS: Final = 10.0
STREAM_TIMEOUT_SECONDS: Final = 120.0
"""The API server sends a bookmark about once a minute."""
MAX_LINE_BYTES: Final = 8 * 2**20
"""etcd takes no object above 1.5 MiB, of which JSON escapes at most quintuple."""

_KEEPALIVE: Final = {
    socket.TCP_KEEPIDLE: 15,
    socket.TCP_KEEPINTVL: 5,
    socket.TCP_KEEPCNT: 3,
}
"""Seconds, seconds, times: a peer that is gone without a word is noticed after half a minute."""
_MESSAGE_BYTES: Final = 64 * 1024


class ApiError(Exception):
    """The API server didn't do it; the message says why.

    Attributes:
        status: of HTTP; None where it didn't answer, or not in a way that can be understood.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class NodeIdentity(NamedTuple):
    """The node that a token is bound to."""

    name: str
    uid: str


def node_of(token: str) -> NodeIdentity:
    """The node that the kubelet asked for the token on, as the token's own claim has it.

    The API server vouches for that claim, and nobody else's word is needed: neither a right to read nodes
    nor a name in the environment. In every pod's token since Kubernetes 1.32 (KEP-4193).

    Raises:
        ApiError: it has no such claim, or is no such token.
    """
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        node = claims["kubernetes.io"]["node"]
        return NodeIdentity(str(node["name"]), str(node["uid"]))
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise ApiError(
            "the token names no node: run the agent in a pod, or make a token with "
            "'kubectl create token tenantquota-node --bound-object-kind=Node --bound-object-name=NODE'"
        ) from error


class ApiServer:
    """One API server.

    Args:
        url: such as ``https://10.96.0.1:443``; over plain http no token is sent.
        credentials: a folder with ``token`` and ``ca.crt``, as every pod has it.
    """

    def __init__(self, url: str, credentials: Path) -> None:
        self._url: SplitResult = urlsplit(url)
        self._credentials = credentials
        if self._url.scheme not in ("http", "https") or not self._url.hostname:
            raise ApiError(f"{url!r} is no API server's address: write it as https://HOST:PORT")

    @staticmethod
    def address(environment: Mapping[str, str]) -> str:
        """Where the API server is, as the kubelet tells every container.

        Raises:
            ApiError: it is not told.
        """
        try:
            host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
        except KeyError as error:
            raise ApiError(f"{error} is not set: outside of a cluster, give --api-server") from error
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"

    def token(self) -> str:
        """
        Raises:
            ApiError: there is none.
        """
        path = self._credentials / "token"
        try:
            return path.read_text().strip()
        except OSError as error:
            raise ApiError(f"no token: {error}; outside of a pod, give --credentials") from error

    def get(self, path: str, query: Mapping[str, str | int]) -> Any:
        """Parsed JSON.

        Raises:
            ApiError: any failure.
        """
        with self._answer("GET", path, query) as response:
            content = response.read()
        try:
            return json.loads(content)
        except ValueError as error:
            raise ApiError(f"GET {path}: the answer is no JSON: {error}") from error

    def apply(self, path: str, manifest: bytes, *, manager: str) -> None:
        """Server-side apply of JSON: the object is then as the manifest says, whether there was one or not.

        Raises:
            ApiError: any failure.
        """
        query = {"fieldManager": manager, "force": "true"}
        # the answer is the whole object once more, and not worth to be read
        with self._answer("PATCH", path, query, body=manifest, content_type=APPLY_PATCH):
            pass

    @contextmanager
    def lines(self, path: str, query: Mapping[str, str | int]) -> Iterator[Iterator[bytes]]:
        """The lines of an answer that goes on for minutes. A line that the connection cut short is not given.

        Raises:
            ApiError: any failure, also while lines are read. The end of the answer is none.
        """
        with self._answer("GET", path, query, timeout_seconds=STREAM_TIMEOUT_SECONDS) as response:
            yield _lines(response)

    @contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        *,
        body: bytes | None = None,
        content_type: str = JSON,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> Iterator[HTTPResponse]:
        """A successful answer, while the context lasts."""
        connection = self._connection()
        try:
            headers = {"Accept": JSON, "User-Agent": "tenantquota-node"}
            if body is not None:
                headers["Content-Type"] = content_type
            if self._url.scheme == "https":
                headers["Authorization"] = f"Bearer {self.token()}"
            connection.connect()
            _keep_alive(connection.sock)
            connection.request(method, f"{self._url.path}{path}?{urlencode(query)}", body, headers)
            response = connection.getresponse()
            if response.status >= 300:
                raise ApiError(f"{method} {path}: {_words(response)}", response.status)
            connection.sock.settimeout(timeout_seconds)
            yield response
        except (OSError, HTTPException) as error:
            raise ApiError(f"{method} {path}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "http":
            return HTTPConnection(host, port, timeout=REQUEST_TIMEOUT_SECONDS)
        path = self._credentials / "ca.crt"
        try:
            context = ssl.create_default_context(cafile=str(path))
        except OSError as error:
            raise ApiError(f"no CA certificate in {path}: {error}") from error
        return HTTPSConnection(host, port, timeout=REQUEST_TIMEOUT_SECONDS, context=context)


def _keep_alive(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        connected.setsockopt(socket.IPPROTO_TCP, option, value)


def _lines(response: HTTPResponse) -> Iterator[bytes]:
    while line := response.readline(MAX_LINE_BYTES):
        if not line.endswith(b"\n"):
            if len(line) >= MAX_LINE_BYTES:
                raise ApiError(f"a line of more than {MAX_LINE_BYTES} bytes")
            return
        yield line


def _words(response: HTTPResponse) -> str:
    """What the API server says of its refusal."""
    content = response.read(_MESSAGE_BYTES)
    try:
        message = json.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        message = content[:200].decode(errors="replace").strip()
    return f"HTTP {response.status}: {message}"
