"""The runtime that takes CAP_SYS_RESOURCE out of what containers ask for."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import oci_runtime


@pytest.mark.parametrize(
    ("bounding_set", "lacks"),
    [("000001ffffffffff", False), ("000001fffeffffff", True), ("0000000001000000", False), ("0", True)],
)
def test_reads_the_bounding_set(bounding_set: str, lacks: bool) -> None:
    assert oci_runtime.host_lacks_capability(f"Name:\tx\nCapBnd:\t{bounding_set}\nNoNewPrivs:\t0\n") is lacks


def test_a_status_without_a_bounding_set_is_refused() -> None:
    with pytest.raises(ValueError, match="CapBnd"):
        oci_runtime.host_lacks_capability("Name:\tx\n")


def test_takes_the_capability_out_of_every_set_and_nothing_else() -> None:
    process = {
        "user": {"uid": 0},
        "capabilities": {
            "bounding": ["CAP_SYS_RESOURCE", "CAP_NET_ADMIN"],
            "effective": ["CAP_NET_ADMIN", "CAP_SYS_RESOURCE"],
            "ambient": [],
        },
    }
    before = json.dumps(process)
    assert oci_runtime.lower(process) == {
        "user": {"uid": 0},
        "capabilities": {"bounding": ["CAP_NET_ADMIN"], "effective": ["CAP_NET_ADMIN"], "ambient": []},
    }
    assert json.dumps(process) == before


@pytest.mark.parametrize(("asked", "given"), [(-999, None), (-1, None), (0, 0), (500, 500)])
def test_an_oom_score_below_zero_is_left_to_the_default(asked: int, given: int | None) -> None:
    assert oci_runtime.lower({"oomScoreAdj": asked}).get("oomScoreAdj") == given


REQUEST: dict[str, Any] = {
    "process": {"args": ["sleep"], "capabilities": {"bounding": ["CAP_SYS_RESOURCE", "CAP_CHOWN"]}},
    "linux": {"resources": {"memory": {"limit": 9223372036854771712}}},  # a double would round this
}
LOWERED = {**REQUEST, "process": {"args": ["sleep"], "capabilities": {"bounding": ["CAP_CHOWN"]}}}


def run(*arguments: str, cwd: Path) -> str:
    """What the runtime hands to runc, for which a script stands in that prints its arguments."""
    runtime, runc = cwd / "runtime", cwd / "runc"
    oci_runtime.install(runtime)
    runc.write_text('#!/bin/sh\necho "$@"\n')
    runc.chmod(0o755)
    done = subprocess.run(
        [runtime, *arguments],
        cwd=cwd,
        env={"PATH": f"{cwd}:/usr/bin:/bin"},
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("verb", ["create", "run"])
@pytest.mark.parametrize("bundle", [["--bundle", "b"], ["--bundle=b"], ["-b", "b"]])
def test_lowers_the_bundle_of_a_new_container_and_runs_runc(
    tmp_path: Path, verb: str, bundle: list[str]
) -> None:
    config = tmp_path / "b" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps(REQUEST))
    arguments = ["--root", "/r", "--log-format", "json", verb, *bundle, "--pid-file", "p", "id"]
    assert run(*arguments, cwd=tmp_path).split() == arguments
    assert json.loads(config.read_text()) == LOWERED


def test_the_bundle_is_the_current_folder_where_none_is_named(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(REQUEST))
    run("create", "id", cwd=tmp_path)
    assert json.loads(config.read_text()) == LOWERED


@pytest.mark.parametrize("process", [["--process", "p.json"], ["-p", "p.json"], ["--process=p.json"]])
def test_lowers_the_process_of_an_exec(tmp_path: Path, process: list[str]) -> None:
    file = tmp_path / "p.json"
    file.write_text(json.dumps(REQUEST["process"]))
    run("exec", *process, "--detach", "id", cwd=tmp_path)
    assert json.loads(file.read_text()) == LOWERED["process"]


def test_other_commands_pass_untouched(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(REQUEST))
    assert run("kill", "id", "KILL", cwd=tmp_path) == "kill id KILL\n"
    assert json.loads(config.read_text()) == REQUEST
