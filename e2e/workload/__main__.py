"""Uses so much of a resource, when it is told to by HTTP.

    python3 -m e2e.workload [--port PORT] [--burn CORES] [--hold BYTES] [--scratch DIRECTORY]

    POST /burn?cores=N[&percent=P]   keeps N cores busy, each for P % of the time, from now on; 0 stops that
    POST /hold?bytes=N               holds N bytes of touched memory from now on; 0 gives them back
    POST /files?count=N              keeps N files open from now on
    POST /processes?count=N          has N idle child processes from now on
    POST /write?bytes=N              writes N bytes to the disk, then answers
    GET  /                           what it burns, holds and so on, as JSON

The standard library alone; about 10 MB when idle.
"""

import argparse
import json
import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import FrameType
from typing import Final, NoReturn
from urllib.parse import parse_qs, urlsplit

from e2e.tenant.resources import Burner, Files, Holder, Idlers, ResourceError, write_to_disk

DEFAULT_PORT: Final = 8080
DEFAULT_SCRATCH: Final = "/scratch"


class Handler(BaseHTTPRequestHandler):
    """One connection; requests on it follow one another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Workload"

    def do_GET(self) -> None:
        self._route({"/": lambda _: None})

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
        except (ValueError, ResourceError) as error:
            self._answer(400, {"error": str(error)})
        else:
            self._answer(200, self.server.state())

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
    """The whole number ``name`` of a query string.

    Raises:
        ValueError: when it is no whole number, or is missing and has no default.
    """
    texts = parse_qs(query).get(name)
    if texts is None and default is not None:
        return default
    if texts is None or not texts[-1].isdecimal():
        raise ValueError(f"give {name}=N, a whole number")
    return int(texts[-1])


class Workload(ThreadingHTTPServer):
    """The server, and what it does besides answering."""

    daemon_threads = True

    def __init__(self, port: int, scratch: str) -> None:
        super().__init__(("", port), Handler)
        self.scratch = scratch
        self.burner = Burner()
        self.idlers = Idlers()
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


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    parser = argparse.ArgumentParser(prog="e2e.workload", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--burn", type=int, default=0, metavar="CORES", help="from the start")
    parser.add_argument("--hold", type=int, default=0, metavar="BYTES", help="from the start")
    parser.add_argument("--scratch", default=DEFAULT_SCRATCH, metavar="DIRECTORY", help="where it writes")
    options = parser.parse_args(arguments)
    workload = Workload(options.port, options.scratch)

    def end(_signal: int, _frame: FrameType | None) -> NoReturn:
        workload.burner.set_cores(0)
        workload.idlers.set_count(0)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    workload.burner.set_cores(options.burn)
    workload.holder.set_bytes(options.hold)
    workload.serve_forever()
    raise AssertionError("serve_forever came back")


if __name__ == "__main__":
    main()
