"""Real cgroups on whatever version this kernel has; ``python -m e2e.cgroup2vm`` has version 2.

They need root, and fail without it: nothing here is skipped.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.harness.handmade import CGROUP_ROOT, Container, Kubelet, cgroup_version
from tests.kernel.following import Followed


@pytest.fixture(scope="session", autouse=True)
def _root() -> None:
    assert os.geteuid() == 0, "these tests make cgroups: run them as root"
    assert (CGROUP_ROOT / "cgroup.procs").exists() or (CGROUP_ROOT / "cpu" / "cgroup.procs").exists(), (
        f"no cgroup file system at {CGROUP_ROOT}"
    )


@pytest.fixture
def kubelet(request: pytest.FixtureRequest) -> Iterator[Kubelet]:
    """One with the systemd driver, unless the test asks for another."""
    with Kubelet(getattr(request, "param", "systemd")) as kubelet:
        yield kubelet


@pytest.fixture
def followed() -> Iterator[Followed]:
    """What the sampler says, of containers that the test owns."""
    with Followed() as followed:
        yield followed


@pytest.fixture
def container(kubelet: Kubelet, followed: Followed) -> Container:
    container = kubelet.start(cpu_milli=1000, memory_bytes=512 << 20)
    followed.own(container)
    return container


@pytest.fixture
def disk(kubelet: Kubelet) -> Iterator[Path]:
    """A directory on a disk on which this kernel counts I/O."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="tenantquota-") as name:
        if kubelet.version == 1:
            kubelet.have_io_counted(Path(name))
        yield Path(name)


def pytest_report_header() -> str:
    return f"cgroup version {cgroup_version()}, kernel {os.uname().release}"
