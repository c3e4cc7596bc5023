"""Root file systems from Debian's packages, and the Python base image made of one."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster import archive
from e2e.cluster.console import Console
from e2e.cluster.host import install_packages
from e2e.cluster.settings import Settings, Versions

RECIPES = Path(__file__).with_name("recipes")
TRUST_STORE = Path("/etc/ssl/certs/ca-certificates.crt")

PYTHON_PACKAGES = ("python3", "python3-pip", "python3-venv", "ca-certificates")
# /usr is merged before packages come, or a package would do it that needs the whole of Perl
MERGED_USR = "/usr/share/mmdebstrap/hooks/merged-usr"
BASE_PACKAGES = ("usr-is-merged",)
UNWANTED = [f"path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "info", "locale")]
HINT = "Debian's packages must be in reach: try `apt-get update`."


def recipe(name: str) -> str:
    """The text of a script in `recipes/`."""
    return (RECIPES / name).read_text()


def key(*inputs: object) -> str:
    """A short text that changes with its inputs, for the name of what is made from them."""
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:8]


@contextmanager
def scratch_folder(settings: Settings) -> Iterator[Path]:
    """A folder for the parts of an image, on the disk of the cache; gone afterwards."""
    settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.cache, prefix="scratch-") as name:
        yield Path(name)


def make_rootfs(
    title: str, rootfs: Path, packages: Sequence[str], hooks: Sequence[str], suite: str, console: Console
) -> None:
    """Installs packages into a new root file system and writes it as a tar file.

    Args:
        hooks: what mmdebstrap does in it at the end; see --customize-hook in mmdebstrap(1).

    Raises:
        StepError: when that fails.
    """
    hooked = [f"--customize-hook={hook}" for hook in hooks]
    options = ["--variant=minbase", f"--hook-dir={MERGED_USR}", *hooked]
    _mmdebstrap(title, rootfs, [*BASE_PACKAGES, *packages], options, suite, console)


def extract_rootfs(
    title: str, rootfs: Path, packages: Sequence[str], hooks: Sequence[str], suite: str, console: Console
) -> None:
    """Like `make_rootfs`, with nothing in it but the packages, and what they depend on, unpacked.

    There is no shell in it and nothing is configured: for one program and its libraries.

    Raises:
        StepError: when that fails.
    """
    hooked = [f"--extract-hook={hook}" for hook in hooks]
    _mmdebstrap(title, rootfs, packages, ["--variant=extract", *hooked], suite, console)


def _mmdebstrap(
    title: str, rootfs: Path, packages: Sequence[str], options: Sequence[str], suite: str, console: Console
) -> None:
    install_packages(["mmdebstrap", "ca-certificates"], "images made from Debian packages", console)
    command = ["mmdebstrap", f"--include={','.join(packages)}", *options]
    command += ['--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Retries "5"']
    command += [f"--dpkgopt={line}" for line in UNWANTED]
    console.run(title, [*command, suite, rootfs], step="debian", hint=HINT)


def import_rootfs(rootfs: Path, name: str, changes: Sequence[str], console: Console) -> None:
    """Makes an image of one layer.

    Args:
        changes: Dockerfile instructions for its configuration.

    Raises:
        StepError: when the engine refuses it.
    """
    options = [word for change in changes for word in ("--change", change)]
    console.run(f"importing {name}", ["docker", "import", *options, rootfs, name], step="image")


def python_image(versions: Versions) -> str:
    """The name of the Python image made here; it changes with its packages and the host's trust store."""
    trusted = TRUST_STORE.read_text() if TRUST_STORE.exists() else ""
    made_from = key(versions.debian_suite, BASE_PACKAGES, PYTHON_PACKAGES, recipe("python.sh"), trusted)
    return f"tenantquota/python:3.11-{made_from}"


def build_python_image(settings: Settings, console: Console) -> str:
    """Makes the image that stands in for `python:3.11-slim`, with the host's trust store; returns its name.

    Raises:
        StepError: when a step fails.
    """
    install_packages(["ca-certificates"], "the trust store of images", console)
    name = python_image(settings.versions)
    hooks = [
        f"upload {TRUST_STORE} {TRUST_STORE}",
        f"upload {RECIPES / 'python.sh'} /setup.sh",
        'chroot "$1" sh /setup.sh',
        'rm "$1/setup.sh"',
    ]
    changes = [f"ENV {archive.SEARCH_PATH}"]
    changes += [f"ENV PIP_CERT={TRUST_STORE}", f"ENV SSL_CERT_FILE={TRUST_STORE}", 'CMD ["python3"]']
    with scratch_folder(settings) as scratch:
        rootfs = scratch / "rootfs.tar"
        suite = settings.versions.debian_suite
        make_rootfs(f"making {name} from Debian packages", rootfs, PYTHON_PACKAGES, hooks, suite, console)
        import_rootfs(rootfs, name, changes, console)
    return name
