"""What the audience sees."""

import shlex
import subprocess
import time
from collections.abc import Sequence

from e2e.cluster.settings import REPOSITORY
from e2e.harness.cluster import Cluster


class Terminal:
    """Every command that is printed is the one that runs, so that all of it can be typed again."""

    def __init__(self, cluster: Cluster) -> None:
        self._start = time.monotonic()
        current = subprocess.run(
            ["kubectl", "config", "current-context"], capture_output=True, text=True, check=False
        )
        elsewhere = current.stdout.strip() != cluster.context
        self._kubectl = ["kubectl", *(["--context", cluster.context] if elsewhere else [])]

    def say(self, text: str = "") -> None:
        print(text, flush=True)

    def title(self, text: str) -> None:
        self.say(f"\n[{time.monotonic() - self._start:4.1f} s] {text}")

    def kubectl(self, *arguments: str) -> None:
        """Shows the command, and runs it.

        Raises:
            subprocess.CalledProcessError: when it fails; it has said why.
        """
        command = [*self._kubectl, *arguments]
        self.say(f"$ {shlex.join(command)}")
        subprocess.run(command, cwd=REPOSITORY, check=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        lines = [header, *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.say("  " + "   ".join(cells).rstrip())
