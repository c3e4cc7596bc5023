"""Containers that begin, end and come back, as a kernel shows it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from e2e.harness.handmade import Container, Kubelet
from tenantquota.node.cgroups.files import VanishedError
from tenantquota.node.cgroups.tree import Leaf
from tenantquota.node.ticks import Ticks
from tests.kernel.following import Followed
from tests.kernel.test_accuracy import OPEN, SPIN

NOBODY = 65532
DRIVERS = pytest.mark.parametrize("kubelet", ["systemd", "cgroupfs"], indirect=True)


@DRIVERS
def test_begins_and_ends(kubelet: Kubelet, followed: Followed) -> None:
    followed.tick()
    container = kubelet.start(cpu_milli=500)
    followed.own(container)
    tick = followed.tick()
    assert [found.id for found in tick.appeared] == [container.id]
    assert followed[container].samples.latest is not None
    container.remove()
    tick = followed.tick()
    assert [found.id for found in tick.gone] == [container.id]
    assert container not in followed
    assert followed.errors.total == 0


@DRIVERS
def test_restarts_within_a_tick(kubelet: Kubelet, followed: Followed) -> None:
    first = kubelet.start()
    followed.own(first)
    followed.tick()
    first.remove()
    second = kubelet.start(pod_uid=first.pod_uid)
    tick = followed.tick()
    assert ([found.id for found in tick.gone], [found.id for found in tick.appeared]) == (
        [first.id],
        [second.id],
    )
    assert followed.errors.total == 0


def test_a_recreated_cgroup_has_its_own_history(kubelet: Kubelet, followed: Followed) -> None:
    first = kubelet.start()
    followed.own(first)
    first.python(SPIN)
    time.sleep(0.5)
    followed.tick()
    old = followed[first]
    first.remove()
    again = kubelet.start(pod_uid=first.pod_uid, container_id=first.id)
    tick = followed.tick()
    assert tick.gone == [old]
    new = followed[again]
    assert new is not old
    assert new.samples.latest is not None
    assert new.samples.latest.cpu_usage_ns == 0
    assert followed.sampler.counter_resets == 0
    assert followed.errors.total == 0


def test_no_descriptor_of_a_removed_cgroup_reads_the_one_that_took_its_path(
    kubelet: Kubelet, followed: Followed
) -> None:
    first = kubelet.start()
    reader = followed.cgroups.open(leaf_of(first, followed))
    reader.sample()
    first.remove()
    kubelet.start(pod_uid=first.pod_uid, container_id=first.id)
    for read in (reader.sample, reader.detail, reader.limits, reader.thread_ids, reader.process_ids):
        with pytest.raises(VanishedError):
            read()
    reader.close()
    assert followed.errors.total == 0


def test_a_read_notices_what_the_kernel_did_not_tell(
    kubelet: Kubelet, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kubelet.start()
    followed.own(first)
    followed.tick()
    monkeypatch.setattr(followed.cgroups, "poll", lambda: None)
    first.remove()
    second = kubelet.start(pod_uid=first.pod_uid)
    tick = followed.tick()
    assert [found.id for found in tick.gone] == [first.id]
    assert [found.id for found in tick.appeared] == [second.id]
    assert followed[second].samples.latest is not None


def test_leaves_nothing_open(kubelet: Kubelet, followed: Followed) -> None:
    followed.tick()
    before = descriptors()
    for _ in range(3):
        containers = [kubelet.start() for _ in range(5)]
        for container in containers:
            followed.own(container)
            container.python(SPIN)
        followed.tick(everything=True)
        assert descriptors() > before
        for container in containers:
            container.remove()
        followed.tick()
        assert descriptors() == before


def test_a_user_without_capabilities_reads_it_all(kubelet: Kubelet) -> None:
    """Of other users' processes. Only open files take a capability before Linux 6.2: then there is no figure,
    and that is counted."""
    container = kubelet.start(cpu_milli=500, memory_bytes=64 << 20)
    container.python(OPEN, "50")
    nobody = [
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--bounding-set=-all",
        "--no-new-privs",
    ]
    done = subprocess.run(
        ["setpriv", *nobody, sys.executable, "-m", "tests.kernel.unprivileged", container.pod_uid],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path) + os.pathsep + ".",
        },
    )
    assert done.returncode == 0, done.stderr
    counts_descriptors = Path("/proc/self/fd").stat().st_size > 0
    figures, errors = done.stdout.splitlines()
    assert figures == f"500 {64 << 20} 1 1 {53 if counts_descriptors else None} 0 True"
    assert errors == ("{}" if counts_descriptors else "{('fd', 'EACCES'): 1}")


def test_keeps_the_schedule_while_all_cores_are_busy(kubelet: Kubelet, followed: Followed) -> None:
    """No tick is missed, and each keeps to its moment: the last is as many periods after the first as there
    were ticks between."""
    containers = [kubelet.start(cpu_milli=2000) for _ in range(2 * (os.cpu_count() or 1))]
    for container in containers:
        followed.own(container)
        container.python(SPIN)
    stop = threading.Event()
    ticks = Ticks(0.5, stop.wait)
    began = []
    for number in ticks:
        began.append(time.monotonic())
        followed.tick()
        if number >= 8:
            stop.set()
    assert (ticks.begun, ticks.missed) == (9, 0)
    assert began[-1] - began[0] == pytest.approx(4.0, rel=0.05)
    median = ticks.period_error_seconds(0.5)
    assert median is not None
    assert median < 0.5 / 10


def leaf_of(container: Container, followed: Followed) -> Leaf:
    changes = followed.cgroups.tree.look()
    return next(leaf for leaf in changes.appeared if leaf.container_id == container.id)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - its own is closed when this counts
