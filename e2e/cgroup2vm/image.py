"""What the machine boots: a kernel, a root file system and Python packages, made from Debian's and PyPI's.

Each part is kept under a name that changes with whatever it is made from, and appears in one move once it is
whole.
"""

import hashlib
import sys
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from e2e.cluster.console import Console, StepError
from e2e.cluster.host import install_packages
from e2e.cluster.settings import Settings

HOST_PACKAGES = ("qemu-system-x86", "mmdebstrap", "libarchive-tools")
KERNEL_PACKAGE = "linux-image-cloud-amd64"
KERNEL_FILES = {"kernel": "./boot/vmlinuz-*", "brd.ko": "*/kernel/drivers/block/brd.ko"}
ROOT_PACKAGES = ("python3", "kmod")
PYTHON_PACKAGES = ("pytest", "pytest-asyncio", "psutil")
PYTHON_VERSION = "3.11"
"""Of the Debian suite."""
SLIM = [f"path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "info", "locale")]
NOT_BOOTED = ("*/perl*", "*/gconv*", "*/zoneinfo*", "*/libicu*", "./var/lib/*", "./var/cache/*")
"""What Debian's base has and the machine doesn't need: it is all unpacked into memory at each start."""
STEP = "cgroup2vm"
APT_HINT = "Debian's packages must be in reach: try `apt-get update`."
PIP_HINT = "pip must reach a package index; see `pip config list`."


@dataclass(frozen=True)
class Image:
    """Files to boot from."""

    kernel: Path
    module: Path
    """A disk in memory (brd), which I/O can be counted on."""
    archives: tuple[Path, ...]
    """To be unpacked into the root, one over the other: initramfs archives (cpio, newc)."""


def ensure(settings: Settings, console: Console) -> Image:
    """The image; what of it isn't in the cache yet is made.

    Raises:
        StepError: when a step fails.
    """
    install_packages(HOST_PACKAGES, "a machine with cgroup version 2", console)
    suite = settings.versions.debian_suite
    constraints = settings.repository / "constraints.txt"

    def part(name: str, inputs: object, make: Callable[[Path, Path], None]) -> Path:
        key = hashlib.sha256(repr(inputs).encode()).hexdigest()[:8]
        home = settings.cache / "cgroup2vm" / f"{name}-{key}"
        if not home.is_dir():
            home.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=home.parent, prefix=".build-") as scratch:
                result = Path(scratch, "result")
                result.mkdir()
                make(Path(scratch), result)
                result.rename(home)
        return home

    def make_kernel(scratch: Path, result: Path) -> None:
        archive = scratch / "kernel.tar"
        # extracted only: installed, it would make an initramfs of its own
        _debian("the machine's kernel", archive, suite, "extract", (KERNEL_PACKAGE,), console)
        for name, pattern in KERNEL_FILES.items():
            (result / name).write_bytes(_file_of(archive, pattern))

    def make_root(scratch: Path, result: Path) -> None:
        archive = scratch / "root.tar"
        _debian("the machine's root", archive, suite, "minbase", ROOT_PACKAGES, console)
        left_out = [option for pattern in NOT_BOOTED for option in ("--exclude", pattern)]
        _pack(result / "root.cpio", [*left_out, f"@{archive}"], console)

    def make_site(scratch: Path, result: Path) -> None:
        _python(scratch / "site", constraints, console)
        _pack(result / "site.cpio", ["-C", scratch, "site"], console)

    kernel = part("kernel", (suite, KERNEL_PACKAGE, KERNEL_FILES), make_kernel)
    root = part("root", (suite, ROOT_PACKAGES, SLIM, NOT_BOOTED), make_root)
    site = part("site", (PYTHON_PACKAGES, PYTHON_VERSION, constraints.read_text()), make_site)
    return Image(kernel / "kernel", kernel / "brd.ko", (root / "root.cpio", site / "site.cpio"))


def _debian(
    what: str, target: Path, suite: str, variant: str, packages: tuple[str, ...], console: Console
) -> None:
    options = [f"--variant={variant}", f"--include={','.join(packages)}", '--aptopt=Acquire::Retries "5"']
    options += [f"--dpkgopt={line}" for line in SLIM]
    console.run(
        f"making {what} from Debian packages",
        ["mmdebstrap", *options, suite, target],
        step=STEP,
        hint=APT_HINT,
    )


def _python(target: Path, constraints: Path, console: Console) -> None:
    """The versions that everything else is tested with, too, for the Python of the machine."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    wheels = ["--only-binary", ":all:", "--python-version", PYTHON_VERSION, "--implementation", "cp"]
    console.run(
        "fetching the machine's Python packages",
        [*pip, *wheels, "--target", target, "--constraint", constraints, *PYTHON_PACKAGES],
        step=STEP,
        hint=PIP_HINT,
    )


def _pack(target: Path, content: list[str | Path], console: Console) -> None:
    console.run(f"packing {target.name}", ["bsdtar", "-cf", target, "--format=newc", *content], step=STEP)


def _file_of(archive: Path, pattern: str) -> bytes:
    """The content of the first file in a tar archive whose name matches."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if fnmatch(member.name, pattern) and (file := tar.extractfile(member)):
                return file.read()
    raise StepError(f"{KERNEL_PACKAGE} has no {pattern}")
