"""Which image the nodes run, and which one our own images build on: chosen, pulled, or made from packages."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.console import Console, StepError, end_group, last_line, succeeds

REGISTRY_SECONDS = 8.0


@dataclass(frozen=True)
class Candidates:
    """The ways to one image.

    Attributes:
        override: the user's own choice.
        published: on a registry, with or without a digest; None where it would not run on this host.
        built: the name that the image made from packages has or gets.
    """

    override: str | None
    published: str | None
    built: str

    @property
    def unasked(self) -> tuple[str, ...]:
        """What is taken without asking a registry if the engine has it, the best first.

        An image that was loaded from an archive has a tag and no digest.
        """
        published = () if self.published is None else (self.published, self.published.partition("@")[0])
        return (*published, self.built)

    def offer(self, reference: str) -> bool:
        """Whether a reference is one of these."""
        return reference == self.override or reference in self.unasked


def choose(candidates: Candidates, here: Callable[[str], bool], pull: Callable[[str], bool]) -> str | None:
    """The reference of the image to use, or None when it must be built.

    Args:
        here: whether the engine has the image of a reference.
        pull: tries to get it from its registry, and says whether that worked.

    Raises:
        StepError: when the user's own choice cannot be had.
    """
    if candidates.override is not None:
        if here(candidates.override) or pull(candidates.override):
            return candidates.override
        raise StepError(
            f"the image {candidates.override} is not here and cannot be pulled",
            hint="Correct or unset TENANTQUOTA_NODE_IMAGE and TENANTQUOTA_BASE_IMAGE.",
        )
    for reference in candidates.unasked:
        if here(reference):
            return reference
    if candidates.published is not None and pull(candidates.published):
        return candidates.published
    return None


def here(reference: str) -> bool:
    """Whether the engine has the image."""
    return succeeds(["docker", "image", "inspect", "--format", "{{.Id}}", reference])


def answered(output: bytes) -> bool:
    """Whether what `docker pull` has written so far shows that the registry knows the image."""
    return b"Pulling from" in output or b"Status:" in output


def pull(reference: str, console: Console, patience: float = REGISTRY_SECONDS) -> bool:
    """Pulls an image and says whether that worked.

    The engine itself is asked, since it may know a proxy or a mirror that this process does not. It waits for
    minutes where packets are dropped, so a registry that is silent for `patience` seconds is given up.
    """
    title = f"pulling {reference.partition('@')[0]}"
    log = console.log("pull")
    written_before = log.stat().st_size
    with log.open("a") as output:
        process = subprocess.Popen(
            ["docker", "pull", reference],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    started = time.monotonic()
    try:
        while process.poll() is None and not answered(log.read_bytes()[written_before:]):
            if time.monotonic() - started > patience:
                console.say(f"{title}: no registry answered within {patience:.0f} s")
                return False
            time.sleep(0.1)
        worked = console.wait(process, title, log) == 0
    finally:
        end_group(process)
    if not worked:
        console.say(f"{title}: {last_line(log)}")
    return worked


def host_cgroup_version(mount: Path = Path("/sys/fs/cgroup")) -> int:
    """1 or 2: which cgroup hierarchy the host gives its containers."""
    return 2 if (mount / "cgroup.controllers").exists() else 1
