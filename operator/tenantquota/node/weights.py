"""The one writer: CPU weights of tenants' pods, and which of their containers run idle.

It does nothing else. Cgroup files are root's to write. The agent isn't root, so that it can do no harm
whatever becomes of it; this program is (without any capability), and takes orders from the agent alone, over
a socket in a directory that the two share. An order is a line ``WEIGHT KUBELETS PATH``, the answer ``ok`` or
``error: WHY``; KUBELETS is the weight that the pod is to have when nobody gives orders any more. It opens for
writing only ``cpu.weight`` (version 1 ``cpu.shares``) in a directory that is named as the kubelet names a
pod's, and in the directories of such a pod's containers ``cpu.idle``, for an order with weight 0, and the
weight, to take that back.
"""

import logging
import os
import selectors
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Final, Self

from tenantquota.domain.idling import IDLE
from tenantquota.domain.weights import V1_LEAST, V1_MOST, V2_LEAST, V2_MOST
from tenantquota.node.cgroups import layout
from tenantquota.node.logs import log_json
from tenantquota.settings import WeightsSettings

LOG: Final = logging.getLogger(__name__)

MAX_ORDER_BYTES: Final = 4096
FAREWELL_SECONDS: Final = 4.0
"""After SIGTERM: for the agent, which gets it too, to give back what it changed."""
ABANDONED_SECONDS: Final = 20.0
"""After the agent hung up: for its successor to call, before the kubelet's weights are put back. No hold may
outlive its cause by more than 30 s, the agent's death included."""
MANY_PODS: Final = 1000
"""No node has so many at a time: then those that are gone are forgotten."""
_PEER: Final = struct.Struct("iII")
_IDLE_FILE: Final = "cpu.idle"


class OrderError(ValueError):
    """Not an order that this program carries out; the message says why."""


class WeightFiles:
    """The weights of pods and containers below what the node has at /sys/fs/cgroup.

    Raises:
        LayoutError: that is not mounted there.
    """

    def __init__(self, root: Path) -> None:
        found = layout.find_layout(root)
        self.version = found.version
        self._root = found.roots["cpu"] if found.version == 1 else found.look_in
        self._file = "cpu.shares" if found.version == 1 else "cpu.weight"
        self._range = (V1_LEAST, V1_MOST) if found.version == 1 else (V2_LEAST, V2_MOST)

    def read(self, path: str) -> int | None:
        """None when the pod, or container, is gone."""
        return self._read(path, self._file)

    def runs_idle(self, path: str) -> bool | None:
        """Whether a container does; None when it is gone, or the kernel older than 5.15."""
        found = self._read(path, _IDLE_FILE)
        return None if found is None else bool(found)

    def write(self, pod_path: str, weight: int) -> None:
        """
        Raises:
            OrderError: no such pod, or no such weight.
            OSError: the kernel refuses.
        """
        self.check(weight)
        if not layout.is_pod(pod_path):
            raise OrderError(f"{pod_path!r} is not the directory of a pod")
        self._write(pod_path, self._file, weight)

    def run_idle(self, path: str) -> None:
        """
        Raises:
            OrderError: no such container.
            OSError: the kernel refuses.
        """
        if not layout.is_container(path):
            raise OrderError(f"{path!r} is not the directory of a container")
        self._write(path, _IDLE_FILE, 1)

    def end_idle(self, path: str, weight: int) -> None:
        """
        Args:
            weight: of the container from now on; the kernel gives it its default.

        Raises:
            OrderError: no such container, or no such weight.
            OSError: the kernel refuses.
        """
        self.check(weight)
        if not layout.is_container(path):
            raise OrderError(f"{path!r} is not the directory of a container")
        self._write(path, _IDLE_FILE, 0)
        self._write(path, self._file, weight)

    def check(self, weight: int) -> None:
        """
        Raises:
            OrderError: it is none.
        """
        least, most = self._range
        if not least <= weight <= most:
            raise OrderError(f"weight {weight} is not between {least} and {most}")

    def _read(self, path: str, file: str) -> int | None:
        try:
            with open(f"{self._root}/{path}/{file}", "rb", buffering=0) as opened:  # noqa: PTH123
                return int(opened.read())
        except (FileNotFoundError, OSError, ValueError):
            return None

    def _write(self, path: str, file: str, value: int) -> None:
        descriptor = os.open(f"{self._root}/{path}/{file}", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            os.write(descriptor, b"%d" % value)
        finally:
            os.close(descriptor)


class Book:
    """Carries out orders, and keeps which pods and containers have another weight than the kubelet's."""

    def __init__(self, files: WeightFiles) -> None:
        self._files = files
        self._kubelets: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._kubelets)

    def carry_out(self, order: bytes) -> bytes:
        """What an order is answered with; ends with a newline."""
        path = ""
        try:
            words = order.decode().rstrip("\n").split(" ", 2)
            if len(words) < 3:
                raise OrderError("an order is WEIGHT KUBELETS PATH")
            weight, kubelets, path = int(words[0]), int(words[1]), words[2]
            self._files.check(kubelets)
            if weight == IDLE:
                self._files.run_idle(path)
            elif weight == kubelets and layout.is_container(path):
                self._files.end_idle(path, weight)
            else:
                self._files.write(path, weight)
            self._note(path, weight, kubelets)
        except FileNotFoundError:
            self._kubelets.pop(path, None)
            return b"error: it is gone\n"
        except (OSError, ValueError) as error:
            return f"error: {error}".replace("\n", " ").encode() + b"\n"
        return b"ok\n"

    def _note(self, path: str, weight: int, kubelets: int) -> None:
        if weight == kubelets:
            self._kubelets.pop(path, None)
            return
        self._kubelets[path] = kubelets
        if len(self._kubelets) > MANY_PODS:
            there = self._files.read
            self._kubelets = {path: of for path, of in self._kubelets.items() if there(path) is not None}

    def give_back(self) -> None:
        """The kubelet's weights, to all that have another."""
        for path, weight in list(self._kubelets.items()):
            if (answer := self.carry_out(f"{weight} {weight} {path}".encode())) != b"ok\n":
                LOG.warning("weight of %s not given back: %s", path, answer.decode().strip())
        self._kubelets.clear()


class Writer:
    """Serves orders until it is told to stop.

    Args:
        agent_user: the only user whose orders count.
        abandoned_seconds: how long without an agent until all weights are given back.
    """

    def __init__(
        self, files: WeightFiles, path: Path, agent_user: int, abandoned_seconds: float = ABANDONED_SECONDS
    ) -> None:
        self._book = Book(files)
        self._agent_user = agent_user
        self._abandoned_seconds = abandoned_seconds
        self._alone_since = time.monotonic()
        self._path = path
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)  # who connects is looked at
        self._listener.listen(1)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._agent: socket.socket | None = None
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up()
        self._selector.close()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def run(self, stop: socket.socket) -> None:
        """Until something can be read from ``stop``, and the agent has hung up or FAREWELL_SECONDS passed."""
        self._selector.register(stop, selectors.EVENT_READ)
        stopping = False
        while not (stopping and self._agent is None):
            ready = self._selector.select(FAREWELL_SECONDS if stopping else self._patience_seconds())
            if stopping and not ready:
                break
            if self._patience_seconds() == 0.0:
                LOG.warning(
                    "the agent is gone: giving %d pods and containers their weights back", len(self._book)
                )
                self._book.give_back()
            for key, _ in ready:
                if key.fileobj is stop:
                    stopping = True
                    self._selector.unregister(stop)
                elif key.fileobj is self._listener:
                    self._take_call()
                else:
                    self._serve()

    def _patience_seconds(self) -> float | None:
        """Until all is given back; None: as long as it is."""
        if self._agent is not None or not self._book:
            return None
        return max(0.0, self._alone_since + self._abandoned_seconds - time.monotonic())

    def _take_call(self) -> None:
        caller, _ = self._listener.accept()
        peer = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        user = _PEER.unpack(peer)[1]
        if user != self._agent_user:
            LOG.warning("user %d may give no orders", user)
            caller.close()
            return
        self._hang_up()  # an agent that was started anew; its predecessor is gone
        self._agent = caller
        self._selector.register(caller, selectors.EVENT_READ)

    def _serve(self) -> None:
        if self._agent is None:
            return
        try:
            received = self._agent.recv(MAX_ORDER_BYTES)
            *orders, self._pending = (self._pending + received).split(b"\n")
            if not received or len(self._pending) > MAX_ORDER_BYTES:
                self._hang_up()
                return
            if orders:
                self._agent.sendall(b"".join(map(self._book.carry_out, orders)))
        except OSError:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._agent is not None:
            self._selector.unregister(self._agent)
            self._agent.close()
            self._alone_since = time.monotonic()
        self._agent, self._pending = None, b""


def run(settings: WeightsSettings) -> int:
    """Until SIGTERM or SIGINT; what the program is to exit with."""
    log_json(settings.log_level)
    try:
        writer = Writer(WeightFiles(settings.cgroup_root), settings.socket, settings.agent_user)
    except (layout.LayoutError, OSError) as error:
        LOG.error("%s", error)  # noqa: TRY400 - says what to do; a traceback would hide it
        return 1
    stop, told = socket.socketpair()
    told.setblocking(False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.send(b"x"))
    LOG.info("taking orders of user %d at %s", settings.agent_user, settings.socket)
    with writer:
        writer.run(stop)
    return 0
