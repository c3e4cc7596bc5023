"""Ports of pods on this machine, through the API server, so that this machine need not reach pods."""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from e2e.harness.cluster import Cluster
from e2e.harness.wait import NotYet, wait_until

FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@contextmanager
def forwarded(cluster: Cluster, namespace: str, pod: str, port: int) -> Iterator[int]:
    """The port on 127.0.0.1 that leads to the pod's.

    Raises:
        DeadlineExceededError: with what kubectl says.
    """
    command = [*cluster.kubectl_command, "port-forward", "--address", "127.0.0.1"]
    command += ["--namespace", namespace, f"pod/{pod}", f":{port}"]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)

        def listening() -> int:
            said.seek(0)
            found = FORWARDING.search(text := said.read())
            if found is None:
                raise NotYet(f"kubectl says {text!r}")
            return int(found[1])

        try:
            yield wait_until(listening, what=f"a way to {namespace}/{pod}:{port}", deadline_seconds=20)
        finally:
            process.terminate()
            process.wait(timeout=10)
