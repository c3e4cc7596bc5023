"""Noise that nobody here wrote: Debian's stress-ng in a tenant's pod, started and ended when it is told."""

import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from e2e.cluster.deploy import STRESS
from e2e.harness import tenants
from e2e.harness.cluster import Cluster, Manifest
from e2e.harness.served import Terms
from e2e.harness.wait import NotYet, wait_until

CPU_LIMIT: Final = "2"
"""The whole of a small node."""
MEMORY_LIMIT: Final = "256Mi"
SCRATCH_LIMIT: Final = "256Mi"
SCRATCH: Final = "/scratch"
POD: Final = "stress"
LONGEST_SECONDS: Final = 180
"""After so long it ends by itself, whatever became of who started it."""
STARTED: Final = "dispatching hogs"
"""What stress-ng says when it starts its workers."""
UNTIL_TOLD: Final = 'stress-ng "$@" & read -r _; kill $! 2> /dev/null; wait $!'
"""Runs until its standard input ends, and ends with stress-ng's exit code."""


@dataclass(frozen=True)
class Stressor:
    """One of stress-ng's.

    Attributes:
        name: the option that starts it.
        workers: 0 is one for each CPU.
        options: further ones, without the stressor's name before them.
        wants_cpu: it wants the whole node's. Others wait for the disk or for memory, and may leave it some.
    """

    name: str
    workers: int
    options: Mapping[str, str] = field(default_factory=dict)
    wants_cpu: bool = True

    def __str__(self) -> str:
        return self.name

    @property
    def arguments(self) -> list[str]:
        """stress-ng's: it ends by itself in the end, and writes where it may."""
        found = [f"--{self.name}", str(self.workers)]
        for option, value in self.options.items():
            found += [f"--{self.name}-{option}", value]
        return [*found, "--temp-path", SCRATCH, "--timeout", f"{LONGEST_SECONDS}s"]


STRESSORS: Final = (
    Stressor("cpu", 0),
    Stressor("vm", 2, {"bytes": "64m"}),
    Stressor("fork", 2),
    Stressor("hdd", 1, {"bytes": "64m"}, wants_cpu=False),
    Stressor("pipe", 2),
    Stressor("switch", 2),
    Stressor("cache", 4, wants_cpu=False),
)
"""Bounded: what they hold and write stays far below the limits of their pods."""


def pod(tenant: str) -> Manifest:
    """A pod that waits to be told what to run."""
    manifest = tenants.agent(POD, tenant, scratch=True)
    manifest["spec"]["volumes"][0]["emptyDir"] = {"sizeLimit": SCRATCH_LIMIT}
    (container,) = manifest["spec"]["containers"]
    container["image"] = STRESS.current
    del container["ports"]
    return manifest


def quota(tenant: str) -> Manifest:
    """Lets it take the whole of a small node's CPU, and little memory."""
    return Terms(cpu=CPU_LIMIT, memory=MEMORY_LIMIT).quota(tenant)


class Running:
    """A stressor that runs from ``__enter__`` until ``stop``.

    Attributes:
        start_seconds: when it was told to start, by ``time.monotonic``.
    """

    def __init__(self, cluster: Cluster, tenant: str, stressor: Stressor) -> None:
        told = ["sh", "-c", UNTIL_TOLD, "sh", *stressor.arguments]
        self._command = [*cluster.kubectl_command, "exec", "--stdin"]
        self._command += ["--namespace", tenant, POD, "--", *told]
        self._said: list[str] = []
        self.start_seconds = 0.0

    def __enter__(self) -> Self:
        self.start_seconds = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            wait_until(self._started, what="stress-ng to start", deadline_seconds=30, poll_seconds=0.02)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._end()

    def stop(self) -> float:
        """Ends it; when it was told to, by ``time.monotonic``.

        Raises:
            subprocess.CalledProcessError: when it went wrong, with what it said.
        """
        told = time.monotonic()
        self._end()
        if self._process.returncode != 0:
            raise subprocess.CalledProcessError(self._process.returncode, self._command, "".join(self._said))
        return told

    def _end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self._said.extend(lines)

    def _started(self) -> bool:
        said = "".join(self._said)
        if STARTED not in said:
            raise NotYet(f"it says {said!r}")
        return True
