"""Ports of pods on this machine, through the API server, so that this machine need not reach pods."""

import logging
import re
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from e2e.harness.cluster import Cluster
from e2e.harness.wait import NotYet, wait_until

FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")
AGAIN_SECONDS: Final = 0.5
LOG: Final = logging.getLogger(__name__)


@contextmanager
def forwarded(cluster: Cluster, namespace: str, pod: str, port: int) -> Iterator[int]:
    """The port on 127.0.0.1 that leads to the pod's. It stays the same where the way breaks, as when the
    node's kubelet is restarted, and leads there again soon after.

    Raises:
        DeadlineExceededError: with what kubectl says.
    """
    command = [*cluster.kubectl_command, "port-forward", "--address", "127.0.0.1"]
    command += ["--namespace", namespace, f"pod/{pod}"]
    with tempfile.TemporaryFile("w+") as said:

        def listening() -> int:
            said.seek(0)
            found = FORWARDING.search(text := said.read())
            if found is None:
                raise NotYet(f"kubectl says {text!r}")
            return int(found[1])

        process = _start([*command, f":{port}"], said)
        try:
            own = wait_until(listening, what=f"a way to {namespace}/{pod}:{port}", deadline_seconds=20)
        except BaseException:
            _end(process)
            raise
        stop = threading.Event()
        keeper = threading.Thread(
            target=_keep, args=(process, [*command, f"{own}:{port}"], said, stop), daemon=True
        )
        keeper.start()
        try:
            yield own
        finally:
            stop.set()
            keeper.join()


def _keep(process: "subprocess.Popen[str]", command: list[str], said: IO[str], stop: threading.Event) -> None:
    """Starts kubectl anew whenever it ends, until it is told to stop."""
    while not stop.wait(AGAIN_SECONDS):
        if process.poll() is not None:
            LOG.info("kubectl ended with %s, the way to a pod is made anew", process.returncode)
            process = _start(command, said)
    _end(process)


def _start(command: list[str], said: IO[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, text=True
    )


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    process.wait(timeout=10)
