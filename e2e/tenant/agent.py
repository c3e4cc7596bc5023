"""A tenant's agent: answers requests with fixed work and, when told to, uses so much of a resource.

    agent.py serve [--port PORT] [--burn CORES] [--hold BYTES] [--scratch DIRECTORY]
    agent.py load URL --rate PER_SECOND --seconds SECONDS

`serve` is what runs in a tenant's pod:

    GET  /work?units=N               does N units of work, then answers
    POST /burn?cores=N[&percent=P]   keeps N cores busy, each for P % of the time, from now on; 0 stops that
    POST /hold?bytes=N               holds N bytes of touched memory from now on; 0 gives them back
    POST /files?count=N              keeps N files open from now on
    POST /processes?count=N          has N idle child processes from now on
    POST /write?bytes=N              writes N bytes to the disk, then answers
    GET  /                           what it burns, holds and so on, as JSON

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
BURST_UNITS = 50_000
"""What a burner does before it may rest: short against the second in which it is measured."""
MAX_OPEN_FILES = 4096
BLOCK_BYTES = 4096
WRITE_BYTES = 1 << 20
DEFAULT_SCRATCH = "/scratch"


def work(units: int) -> int:
    """CPU time in proportion to `units`, and no memory."""
    value = 1
    for _ in range(units):
        value = (value * 1103515245 + 12345) & 0x7FFFFFFF
    return value


class Children:
    """Child processes that all do the same, again and again, until they are ended."""

    def __init__(self, turn: Callable[[], object]) -> None:
        self._turn = turn
        self._pids: list[int] = []

    def __len__(self) -> int:
        return len(self._pids)

    def set_count(self, count: int) -> None:
        """As many as `count` from now on."""
        while len(self._pids) < count:
            self._pids.append(self._fork())
        surplus = self._pids[count:]
        del self._pids[count:]
        for child in surplus:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def kill(self) -> None:
        """Ends them without waiting for them."""
        for child in self._pids:
            os.kill(child, signal.SIGKILL)

    def _fork(self) -> int:
        parent = os.getpid()
        child = os.fork()
        if child != 0:
            return child
        os.closerange(3, MAX_OPEN_FILES)  # the parent's own
        while os.getppid() == parent:
            self._turn()
        os._exit(0)


class Burner:
    """Children that use CPU; processes, since threads share one interpreter."""

    def __init__(self) -> None:
        self._children = Children(self._turn)
        self._start: float | None = None
        self.percent = 100

    @property
    def cores(self) -> int:
        return len(self._children)

    def set_cores(self, cores: int, percent: int = 100) -> None:
        """Burns `cores` cores from now on, each for `percent` % of the time."""
        if percent != self.percent:
            self._children.set_count(0)
            self.percent = percent
        self._children.set_count(cores)

    def kill(self) -> None:
        """Ends the children without waiting for them."""
        self._children.kill()

    def _turn(self) -> None:
        """In a child: some work, and rest for as long as it is ahead of its share."""
        if self._start is None:
            self._start = time.monotonic() - time.process_time()
        work(BURST_UNITS)
        rest = time.process_time() * 100 / self.percent - (time.monotonic() - self._start)
        if rest > 0:
            time.sleep(rest)


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
            for page in range(0, step, mmap.PAGESIZE):  # page by page: a copy to write from would stay
                block[page] = 1
            self._blocks.append(block)
            self.size_bytes += step


class Files:
    """Open files."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def __len__(self) -> int:
        return len(self._descriptors)

    def set_count(self, count: int) -> None:
        """As many as `count` from now on.

        Raises:
            ValueError: when they are more than a process should have.
        """
        if count > MAX_OPEN_FILES // 2:
            raise ValueError(f"give count=N of at most {MAX_OPEN_FILES // 2}")
        while len(self._descriptors) < count:
            self._descriptors.append(os.open(os.devnull, os.O_RDONLY))
        while len(self._descriptors) > count:
            os.close(self._descriptors.pop())


def write_to_disk(directory: str, size_bytes: int) -> None:
    """Writes past the page cache, so that the kernel counts every byte at once and to whom wrote it.

    Raises:
        ValueError: when the bytes are no whole blocks, or the directory can't be written to.
    """
    if size_bytes % BLOCK_BYTES:
        raise ValueError(f"give bytes=N, a multiple of {BLOCK_BYTES}")
    path = os.path.join(directory, f"agent-{threading.get_ident()}")  # noqa: PTH118 - pathlib costs memory
    try:
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_DIRECT, 0o600)
    except OSError as error:
        raise ValueError(f"{directory}: {error.strerror}; mount a volume there") from error
    try:
        os.unlink(path)  # noqa: PTH108 - nothing is left, whatever ends this
        with mmap.mmap(-1, WRITE_BYTES) as block:  # its address is aligned, as O_DIRECT wants it
            view = memoryview(block)
            while size_bytes > 0:
                size_bytes -= os.write(file, view[: min(size_bytes, WRITE_BYTES)])
            view.release()
    finally:
        os.close(file)


class Handler(BaseHTTPRequestHandler):
    """One connection; requests on it follow one another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Agent"

    def do_GET(self) -> None:
        self._route({"/": lambda _: None, "/work": self._work})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._route(
            {
                "/burn": self._burn,
                "/hold": self._hold,
                "/files": self._files,
                "/processes": self._processes,
                "/write": self._write,
            }
        )

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
        cores, percent = number(query, "cores"), number(query, "percent", default=100)
        if not 1 <= percent <= 100:
            raise ValueError("give percent=P from 1 to 100")
        with self.server.commanded:
            self.server.burner.set_cores(cores, percent)

    def _hold(self, query: str) -> None:
        size_bytes = number(query, "bytes")
        with self.server.commanded:
            self.server.holder.set_bytes(size_bytes)

    def _files(self, query: str) -> None:
        count = number(query, "count")
        with self.server.commanded:
            self.server.files.set_count(count)

    def _processes(self, query: str) -> None:
        count = number(query, "count")
        with self.server.commanded:
            self.server.idlers.set_count(count)

    def _write(self, query: str) -> None:
        write_to_disk(self.server.scratch, number(query, "bytes"))

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

    def __init__(self, port: int, scratch: str = DEFAULT_SCRATCH) -> None:
        super().__init__(("", port), Handler)
        self.scratch = scratch
        self.burner = Burner()
        self.idlers = Children(lambda: time.sleep(1))
        self.files = Files()
        self.holder = Holder()
        self.commanded = threading.Lock()

    def server_bind(self) -> None:
        """Without http.server's look-up of the host's name, which takes seconds where no DNS answers."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", int(self.server_address[1])

    def state(self) -> dict[str, int]:
        return {
            "cores": self.burner.cores,
            "percent": self.burner.percent,
            "bytes": self.holder.size_bytes,
            "files": len(self.files),
            "processes": len(self.idlers),
        }


def serve(port: int, *, cores: int, size_bytes: int, scratch: str) -> NoReturn:
    agent = Agent(port, scratch)

    def end(_signal: int, _frame: FrameType | None) -> NoReturn:
        agent.burner.kill()
        agent.idlers.kill()
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
    server.add_argument(
        "--scratch", default=DEFAULT_SCRATCH, metavar="DIRECTORY", help="where it writes, if told to"
    )
    loader = commands.add_parser("load", help="send requests at a fixed rate and print the latencies as JSON")
    loader.add_argument("url")
    loader.add_argument("--rate", type=float, required=True, metavar="PER_SECOND")
    loader.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args(arguments)
    if options.command == "serve":
        serve(options.port, cores=options.burn, size_bytes=options.hold, scratch=options.scratch)
    load = Load(options.url, rate=options.rate, seconds=options.seconds)
    load.run()
    print(json.dumps(load.report()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
