"""Pods' CPU weights as the agent sees and sets them: it reads the files and has ``weights`` write them."""

import logging
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from tenantquota.node.weights import WeightFiles

LOG: Final = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 0.5
"""Orders are given within a tick, which must not take long."""


class Order(NamedTuple):
    """
    Attributes:
        path: a pod's directory, or a container's.
        weight: of a container ``IDLE``, or ``kubelets`` to end that.
        kubelets: the weight that it is to have once the agent is gone.
    """

    path: str
    weight: int
    kubelets: int


class WeightOrders:
    """Gives orders; what can't be given now is tried again at the next occasion.

    Args:
        path: of the socket.
    """

    def __init__(self, files: WeightFiles, path: Path) -> None:
        self.version = files.version
        self.read = files.read
        self.runs_idle = files.runs_idle
        self._path = str(path)
        self._connection: socket.socket | None = None
        self.errors = 0

    def give(self, orders: Iterable[Order]) -> list[str]:
        """The answers, in order, empty where it was done; all the same where nobody could be asked.

        Without an order the writer is only told that there is an agent.
        """
        given = list(orders)
        lines = "".join(f"{each.weight} {each.kubelets} {each.path}\n" for each in given).encode()
        try:
            answers = self._ask(lines, len(given))
        except OSError as error:
            self.close()
            answers = [f"no answer from the writer of weights: {error}"] * len(given)
        failures = [answer for answer in answers if answer]
        if failures:
            # the first of a row is news, the rest are counted
            LOG.log(logging.DEBUG if self.errors else logging.WARNING, "weight not set: %s", failures[0])
        self.errors += len(failures)
        return answers

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, lines: bytes, count: int) -> list[str]:
        if self._connection is None:
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(TIMEOUT_SECONDS)
            try:
                connection.connect(self._path)
            except OSError:
                connection.close()
                raise
            self._connection = connection
        self._connection.sendall(lines)
        received = b""
        while received.count(b"\n") < count:
            piece = self._connection.recv(65536)
            if not piece:
                raise ConnectionError("it hung up")
            received += piece
        return [_failure(line) for line in received.decode(errors="replace").splitlines()]


def _failure(answer: str) -> str:
    return "" if answer == "ok" else answer.removeprefix("error: ")
