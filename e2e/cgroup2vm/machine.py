"""One run of the machine."""

import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from e2e.cgroup2vm.image import Image
from e2e.cluster.console import StepError, end_group, output_of

SOURCES = ("operator", "tests", "e2e", "pyproject.toml")
LEFT_OUT = ("__pycache__", ".*_cache", "*.egg-info")
INIT = Path(__file__).with_name("init")
COMMAND = ".command"
MEMORY = "2G"
CPUS = "2"
SLOW_DISK_BYTES = 256 << 20
SLOW_DISK = "throttling.bps-total=33554432,throttling.iops-total=400"
"""32 MiB and 400 operations a second: on a disk in memory nobody waits for another."""
EXIT_CODE = "exit code "
TIMEOUT_SECONDS = 600.0


def run(image: Image, repository: Path, command: Sequence[str], out: IO[str] = sys.stdout) -> int:
    """Runs a command in a copy of the repository; its output appears as it comes, and its exit code is ours.

    Raises:
        StepError: the machine ended without an exit code, or didn't end within TIMEOUT_SECONDS.
    """
    with tempfile.TemporaryDirectory(prefix="cgroup2vm-") as name:
        scratch = Path(name)
        (scratch / COMMAND).write_text(shlex.join(command))
        initrd = scratch / "initrd"
        with initrd.open("wb") as file:
            for archive in (*image.archives, *_own_archives(image, repository, scratch)):
                file.write(archive.read_bytes())
        disk = scratch / "disk"
        with disk.open("wb") as file:
            file.truncate(SLOW_DISK_BYTES)
        return _boot(image.kernel, initrd, disk, out)


def _own_archives(image: Image, repository: Path, scratch: Path) -> tuple[Path, Path]:
    """What goes over the image: the start script and the module, and the checkout with the command."""
    start, sources = scratch / "start.cpio", scratch / "sources.cpio"
    (scratch / "init").write_text(INIT.read_text())
    (scratch / "init").chmod(0o755)
    (scratch / "source").mkdir()  # the kernel's unpacker makes no directory that isn't listed
    _pack(start, ["-C", scratch, "init", "source", "-C", image.module.parent, image.module.name])
    left_out = [option for pattern in LEFT_OUT for option in ("--exclude", pattern)]
    below = ["-s", ",^,source/,"]
    _pack(sources, [*below, *left_out, "-C", repository, *SOURCES, "-C", scratch, COMMAND])
    return start, sources


def _pack(target: Path, content: list[str | Path]) -> None:
    output_of(["bsdtar", "-cf", target, "--format=newc", *content])


def _boot(kernel: Path, initrd: Path, disk: Path, out: IO[str]) -> int:
    machine = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-m", MEMORY, "-smp", CPUS]
    quiet = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]
    # nvme: the one bus whose driver is in the kernel and not a module
    drive = f"if=none,id=slow,format=raw,cache=unsafe,file={disk},{SLOW_DISK}"
    disks = ["-drive", drive, "-device", "nvme,drive=slow,serial=slow"]
    parameters = "console=ttyS0 quiet loglevel=0 psi=1 panic=-1 rdinit=/init"
    process = subprocess.Popen(
        [*machine, *quiet, *disks, "-kernel", kernel, "-initrd", initrd, "-append", parameters],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    timer = threading.Timer(TIMEOUT_SECONDS, process.kill)
    timer.start()
    try:
        return follow(process.stdout, out)
    finally:
        timer.cancel()
        end_group(process)


def follow(lines: Iterable[str], out: IO[str]) -> int:
    """Passes the machine's lines on until the one with the exit code, which it returns.

    Raises:
        StepError: there was none.
    """
    last = "nothing"
    for line in lines:
        last = line.rstrip("\r\n")
        if last.startswith(EXIT_CODE):
            return int(last.removeprefix(EXIT_CODE))
        print(last, file=out, flush=True)
    raise StepError(
        f"the machine ended by itself, or was ended after {TIMEOUT_SECONDS:.0f} s; its last line: {last}"
    )
