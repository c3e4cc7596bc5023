"""kind, kubectl and helm: the user's own where the version fits, else built or taken from the node image."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from e2e.cluster import programs
from e2e.cluster.console import Console, StepError, output_of
from e2e.cluster.host import link_command
from e2e.cluster.settings import Settings

Version = tuple[int, int]  # major and minor

COMMANDS_FOR_ALL = Path("/usr/local/bin")


def parse_version(text: str) -> Version | None:
    """Major and minor of the first version like v1.37.2 in a text."""
    found = re.search(r"v(\d+)\.(\d+)\.\d+", text)
    return (int(found[1]), int(found[2])) if found else None


def same_or_newer(found: Version | None, wanted: Version) -> bool:
    """Whether a command of the version `found` has what one of `wanted` has."""
    return found is not None and found[0] == wanted[0] and found[1] >= wanted[1]


def within_skew(found: Version | None, wanted: Version) -> bool:
    """Whether a kubectl may talk to an API server: one minor version apart at most.

    https://kubernetes.io/releases/version-skew-policy/#kubectl
    """
    return found is not None and found[0] == wanted[0] and abs(found[1] - wanted[1]) <= 1


def users_own(
    name: str,
    settings: Settings,
    version_arguments: list[str],
    fits: Callable[[Version | None], bool],
) -> Path | None:
    """The user's command of that name, found on PATH, if its version fits."""
    found = _found_elsewhere(name, settings)
    if found is None:
        return None
    try:
        version = parse_version(output_of([found, *version_arguments], timeout=20))
    except StepError:
        return None
    return found if fits(version) else None


def _found_elsewhere(name: str, settings: Settings) -> Path | None:
    """The command of that name on PATH that is not one of ours."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which(name, path=folder)
        if found and not Path(found).resolve().is_relative_to(settings.cache.resolve()):
            return Path(found)
    return None


def ensure_kind(settings: Settings, console: Console) -> None:
    """Puts kind into the tools folder.

    Raises:
        StepError: when it must be built and cannot be.
    """
    wanted = parse_version(settings.versions.kind_version)
    _ensure_built(programs.kind(settings.versions), ["version"], wanted, settings, console)


def ensure_helm(settings: Settings, console: Console) -> None:
    """Puts helm into the tools folder.

    Raises:
        StepError: when it must be built and cannot be.
    """
    wanted = parse_version(settings.versions.helm_version)
    _ensure_built(programs.helm(settings.versions), ["version"], wanted, settings, console)


def ensure_promtool(settings: Settings, console: Console) -> None:
    """Puts promtool into the tools folder: the user's own, else out of Debian's package. Not installed,
    since it would start a Prometheus.

    Raises:
        StepError: when the package cannot be had.
    """
    target = _found_elsewhere("promtool", settings)
    if target is None:
        home = settings.cache / "programs" / "prometheus"
        target = home / "usr/bin/promtool"
        if not target.exists():
            home.mkdir(parents=True, exist_ok=True)
            package = "prometheus_*.deb"
            fetch = f'cd "$1" && apt-get download prometheus && dpkg-deb -x {package} . && rm {package}'
            console.run(
                "getting promtool",
                ["sh", "-c", fetch, "sh", str(home)],
                step="promtool",
                hint="Debian's packages must be in reach: try `apt-get update`.",
            )
    _offer(target, "promtool", settings, console)


def _ensure_built(
    program: programs.Program,
    version_arguments: list[str],
    wanted: Version | None,
    settings: Settings,
    console: Console,
) -> None:
    if wanted is None:
        raise StepError(f"versions.env: {program.name} {program.version} is not a version like v1.2.3")
    own = users_own(program.name, settings, version_arguments, lambda found: same_or_newer(found, wanted))
    target = own or programs.ensure(program, settings.cache, console) / program.name
    _offer(target, program.name, settings, console)


def ensure_kubectl(settings: Settings, node_image: str, console: Console) -> None:
    """Puts kubectl into the tools folder; where the user has none that fits, the one of the node image.

    Raises:
        StepError: when it cannot be copied out of the image.
    """
    wanted = parse_version(node_image)
    own = wanted and users_own(
        "kubectl", settings, ["version", "--client"], lambda found: within_skew(found, wanted)
    )
    _offer(own or _kubectl_of(node_image, settings), "kubectl", settings, console)


def _kubectl_of(node_image: str, settings: Settings) -> Path:
    image_id = output_of(["docker", "image", "inspect", "--format", "{{.Id}}", node_image])
    home = settings.cache / "programs" / f"kubectl-{image_id.removeprefix('sha256:')[:12]}"
    if not home.is_dir():
        home.parent.mkdir(parents=True, exist_ok=True)
        container = output_of(["docker", "create", node_image])
        try:
            with tempfile.TemporaryDirectory(dir=home.parent, prefix=".build-") as scratch:
                result = Path(scratch, "bin")
                result.mkdir()
                output_of(["docker", "cp", f"{container}:/usr/bin/kubectl", result])
                result.rename(home)
        finally:
            output_of(["docker", "rm", container])
    return home / "kubectl"


def _offer(target: Path, name: str, settings: Settings, console: Console) -> None:
    """Links the command into the tools folder, and for everyone's PATH where there is none of that name."""
    link_command(target, settings.tools, name)
    for_all = COMMANDS_FOR_ALL / name
    if _found_elsewhere(name, settings) or not os.access(COMMANDS_FOR_ALL, os.W_OK):
        return
    free = for_all.is_symlink() or not for_all.exists()  # whatever else has that name is not ours to replace
    if free and link_command(settings.tools / name, COMMANDS_FOR_ALL, name):
        console.say(f"there was no {name} on PATH: {for_all} is now one")


def links_for_all(settings: Settings) -> list[Path]:
    """The links to our commands on everyone's PATH."""
    links = (COMMANDS_FOR_ALL / name for name in ("kind", "kubectl", "helm"))
    return [link for link in links if link.is_symlink() and link.readlink().is_relative_to(settings.tools)]
