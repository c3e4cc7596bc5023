"""What stress-ng is told, what its pod may take, and how it is ended."""

import os
import subprocess
from pathlib import Path

import pytest

from e2e.cluster.deploy import STRESS
from e2e.harness.stress import STRESSORS, UNTIL_TOLD, Stressor, pod, quota

BOUNDED = ["--temp-path", "/scratch", "--timeout", "180s"]
MIB = 1 << 20


@pytest.mark.parametrize(
    ("stressor", "arguments"),
    [
        (Stressor("cpu", 0), ["--cpu", "0"]),
        (Stressor("vm", 2, {"bytes": "64m"}), ["--vm", "2", "--vm-bytes", "64m"]),
        (
            Stressor("hdd", 1, {"bytes": "64m", "write-size": "4k"}),
            ["--hdd", "1", "--hdd-bytes", "64m", "--hdd-write-size", "4k"],
        ),
    ],
    ids=str,
)
def test_arguments(stressor: Stressor, arguments: list[str]) -> None:
    assert stressor.arguments == [*arguments, *BOUNDED]


def test_the_stressors_that_were_asked_for_are_there_and_bounded() -> None:
    names = [stressor.name for stressor in STRESSORS]
    assert names == ["cpu", "vm", "fork", "hdd", "pipe", "switch", "cache"]
    held_mib = [
        stressor.workers * int(stressor.options["bytes"].removesuffix("m"))
        for stressor in STRESSORS
        if "bytes" in stressor.options
    ]
    assert len(held_mib) == 2
    assert max(held_mib) <= 128  # half of the pod's limits


def test_the_pod_is_bounded_and_waits_to_be_told() -> None:
    manifest = pod("acme")
    (container,) = manifest["spec"]["containers"]
    assert container["image"] == STRESS.current
    assert {"command", "args"}.isdisjoint(container)  # the image's own: it waits
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["volumeMounts"] == [{"name": "scratch", "mountPath": "/scratch"}]
    assert manifest["spec"]["volumes"] == [{"name": "scratch", "emptyDir": {"sizeLimit": "256Mi"}}]
    assert quota("acme")["spec"]["container"]["limits"] == {"cpu": "2", "memory": "256Mi"}


@pytest.mark.parametrize("code", [0, 3])
def test_it_runs_until_its_input_ends_and_says_how_it_went(tmp_path: Path, code: int) -> None:
    command = tmp_path / "stress-ng"
    command.write_text(
        f"#!/bin/sh\ntrap 'exit {code}' TERM\necho \"dispatching hogs: $*\"\nwhile :; do sleep 0.05; done\n"
    )
    command.chmod(0o755)
    process = subprocess.Popen(
        ["sh", "-c", UNTIL_TOLD, "sh", "--cpu", "0"],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    with process.stdout as said:
        assert said.readline() == "dispatching hogs: --cpu 0\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=10) == code
