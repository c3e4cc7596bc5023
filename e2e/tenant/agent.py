"""A tenant's agent: answers requests with fixed work and, when told to, burns CPU and holds memory.

    agent.py serve [--port PORT] [--burn CORES] [--hold BYTES]
    agent.py load URL --rate PER_SECOND --seconds SECONDS

`serve` is what runs in a tenant's pod:

    GET  /work?units=N     does N units of work, then answers
    POST /burn?cores=N     keeps N cores busy from now on; 0 stops that
    POST /hold?bytes=N     holds N bytes of touched memory from now on; 0 gives them back
    GET  /                 what it burns and holds, as JSON

`load` sends requests at a fixed rate whether or not those before were answered (open loop), so that a slow
server can't slow the clock that measures it. It prints one JSON object: how many requests were sent, failed,
and were answered before SECONDS were over, and the latencies in milliseconds, each counted from the moment
when the request was due.

The standard library alone; about 10 MB when idle.
"""

import argparse
import json
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import FrameType
from typing import NoReturn
from urllib.parse import parse_qs, urlsplit

DEFAULT_PORT = 8080
DEFAULT_WORK_UNITS = 50_000
"""About 5 ms of CPU time on a core of 2024."""
STEP_BYTES = 4 << 20
"""Memory grows in steps, so that one who watches sees it grow."""
REQUEST_TIMEOUT_SECONDS = 30.0


def work(units: int) -> int:
    """CPU time in proportion to `units`, and no memory."""
    value = 1
    for _ in range(units):
        value = (value * 1103515245 + 12345) & 0x7FFFFFFF
    return value


class Burner:
    """Child processes that do nothing but use CPU; processes, since threads share one interpreter."""

    def __init__(self) -> None:
        self._children: list[int] = []

    @property
    def cores(self) -> int:
        return len(self._children)

    def set_cores(self, cores: int) -> None:
        """Burns `cores` cores from now on."""
        while len(self._children) < cores:
            self._children.append(self._fork())
        surplus = self._children[cores:]
        del self._children[cores:]
        for child in surplus:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def kill(self) -> None:
        """Ends the children without waiting for them."""
        for child in self._children:
            os.kill(child, signal.SIGKILL)

    @staticmethod
    def _fork() -> int:
        parent = os.getpid()
        child = os.fork()
        if child != 0:
            return child
        while os.getppid() == parent:
            work(100_000)
        os._exit(0)


class Holder:
    """Memory of this very process, every page of it touched: when it is too much, the kernel ends the
    container and not a child of it."""

    def __init__(self) -> None:
        self._blocks: list[mmap.mmap] = []
        self.size_bytes = 0

    def set_bytes(self, size_bytes: int) -> None:
        """Holds `size_bytes` from now on; what is held already stays where it is."""
        if size_bytes < self.size_bytes:
            for block in self._blocks:
                block.close()
            self._blocks.clear()
            self.size_bytes = 0
        while self.size_bytes < size_bytes:
            step = min(STEP_BYTES, size_bytes - self.size_bytes)
            block = mmap.mmap(-1, step)
            block.write(b"\1" * step)
            self._blocks.append(block)
            self.size_bytes += step


class Handler(BaseHTTPRequestHandler):
    """One connection; requests on it follow one another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Agent"

    def do_GET(self) -> None:
        self._route({"/": lambda _: None, "/work": self._work})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._route({"/burn": self._burn, "/hold": self._hold})

    def _route(self, paths: Mapping[str, Callable[[str], object]]) -> None:
        url = urlsplit(self.path)
        action = paths.get(url.path)
        if action is None:
            self._answer(404, {"error": f"{self.command} {url.path}: there are {', '.join(paths)}"})
            return
        try:
            action(url.query)
        except ValueError as error:
            self._answer(400, {"error": str(error)})
        else:
            self._answer(200, self.server.state())

    def _work(self, query: str) -> None:
        work(number(query, "units", default=DEFAULT_WORK_UNITS))

    def _burn(self, query: str) -> None:
        cores = number(query, "cores")
        with self.server.commanded:
            self.server.burner.set_cores(cores)

    def _hold(self, query: str) -> None:
        size_bytes = number(query, "bytes")
        with self.server.commanded:
            self.server.holder.set_bytes(size_bytes)

    def _answer(self, status: int, body: Mapping[str, object]) -> None:
        content = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: a line for each request would cost more than the request."""


def number(query: str, name: str, *, default: int | None = None) -> int:
    """The whole number `name` of a query string.

    Raises:
        ValueError: when it is no whole number, or is missing and has no default.
    """
    texts = parse_qs(query).get(name)
    if texts is None and default is not None:
        return default
    if texts is None or not texts[-1].isdecimal():
        raise ValueError(f"give {name}=N, a whole number")
    return int(texts[-1])


class Agent(ThreadingHTTPServer):
    """The server, and what it does besides answering."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("", port), Handler)
        self.burner = Burner()
        self.holder = Holder()
        self.commanded = threading.Lock()

    def server_bind(self) -> None:
        """Without http.server's look-up of the host's name, which takes seconds where no DNS answers."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", int(self.server_address[1])

    def state(self) -> dict[str, int]:
        return {"cores": self.burner.cores, "bytes": self.holder.size_bytes}


def serve(port: int, *, cores: int, size_bytes: int) -> NoReturn:
    agent = Agent(port)

    def end(_signal: int, _frame: FrameType | None) -> NoReturn:
        agent.burner.kill()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    agent.burner.set_cores(cores)
    agent.holder.set_bytes(size_bytes)
    agent.serve_forever()
    raise AssertionError("serve_forever came back")


class Load:
    """Requests at a fixed rate, on a few connections that take turns."""

    CONNECTIONS = 16

    def __init__(self, url: str, *, rate: float, seconds: float) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{url}: give http://HOST:PORT/PATH")
        self._host, self._port = parts.hostname, parts.port or 80
        self._path = f"{parts.path or '/'}?{parts.query}"
        self._rate = rate
        self._seconds = seconds
        self._count = max(1, round(rate * seconds))
        self.answer_times: list[float] = []
        self.latencies_ms: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        start = time.monotonic()
        threads = [
            threading.Thread(target=self._connection, args=(start, first))
            for first in range(self.CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _connection(self, start: float, first: int) -> None:
        connection = HTTPConnection(self._host, self._port, timeout=REQUEST_TIMEOUT_SECONDS)
        for turn in range(first, self._count, self.CONNECTIONS):
            due = start + turn / self._rate
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                connection.request("GET", self._path)
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    self.errors.append(f"status {response.status}")
                    continue
            except (OSError, HTTPException) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                connection.close()
            else:
                now = time.monotonic()
                self.answer_times.append(now - start)
                self.latencies_ms.append((now - due) * 1000)

    def report(self) -> dict[str, object]:
        return {
            "sent": self._count,
            "failed": len(self.errors),
            "in_time": sum(1 for answered in self.answer_times if answered <= self._seconds),
            "errors": sorted(set(self.errors))[:5],
            "latencies_ms": [round(latency, 2) for latency in self.latencies_ms],
        }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="agent.py", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve", help="answer requests")
    server.add_argument("--port", type=int, default=DEFAULT_PORT)
    server.add_argument(
        "--burn", type=int, default=0, metavar="CORES", help="keep CORES cores busy from the start"
    )
    server.add_argument("--hold", type=int, default=0, metavar="BYTES", help="hold BYTES from the start")
    loader = commands.add_parser("load", help="send requests at a fixed rate and print the latencies as JSON")
    loader.add_argument("url")
    loader.add_argument("--rate", type=float, required=True, metavar="PER_SECOND")
    loader.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args(arguments)
    if options.command == "serve":
        serve(options.port, cores=options.burn, size_bytes=options.hold)
    load = Load(options.url, rate=options.rate, seconds=options.seconds)
    load.run()
    print(json.dumps(load.report()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
