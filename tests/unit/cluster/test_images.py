"""Which image is used: the user's, what is here, what a registry has, what is built."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.cluster import images
from e2e.cluster.console import Console, StepError
from e2e.cluster.images import Candidates, choose

PUBLISHED = "kindest/node:v1.37.0@sha256:00"
BUILT = "tenantquota/kind-node:v1.37.2-abc"


@pytest.mark.parametrize(
    ("override", "published", "here", "on_registry", "chosen", "asked"),
    [
        # nothing is here: a registry is asked, and what it lacks is built
        (None, PUBLISHED, set(), {PUBLISHED}, PUBLISHED, [PUBLISHED]),
        (None, PUBLISHED, set(), set(), None, [PUBLISHED]),
        # what is here is taken, without asking
        (None, PUBLISHED, {PUBLISHED}, set(), PUBLISHED, []),
        (None, PUBLISHED, {"kindest/node:v1.37.0"}, set(), "kindest/node:v1.37.0", []),
        (None, PUBLISHED, {BUILT}, {PUBLISHED}, BUILT, []),
        (None, PUBLISHED, {BUILT, PUBLISHED}, set(), PUBLISHED, []),
        # the published one does not run on this host
        (None, None, {PUBLISHED}, {PUBLISHED}, None, []),
        (None, None, {BUILT}, set(), BUILT, []),
        # the user's choice goes before all
        ("mine:1", PUBLISHED, {"mine:1", BUILT}, set(), "mine:1", []),
        ("mine:1", PUBLISHED, {BUILT}, {"mine:1"}, "mine:1", ["mine:1"]),
    ],
)
def test_choose(
    override: str | None,
    published: str | None,
    here: set[str],
    on_registry: set[str],
    chosen: str | None,
    asked: list[str],
) -> None:
    questions: list[str] = []

    def pull(reference: str) -> bool:
        questions.append(reference)
        return reference in on_registry

    assert choose(Candidates(override, published, BUILT), here.__contains__, pull) == chosen
    assert questions == asked


def test_a_choice_of_the_users_that_cannot_be_had_is_not_replaced() -> None:
    with pytest.raises(StepError, match="mine:1 is not here and cannot be pulled") as caught:
        choose(Candidates("mine:1", PUBLISHED, BUILT), {BUILT}.__contains__, lambda _: False)
    assert "TENANTQUOTA_NODE_IMAGE" in caught.value.hint


@pytest.mark.parametrize(
    ("reference", "offered"),
    [("mine:1", True), (PUBLISHED, True), ("kindest/node:v1.37.0", True), (BUILT, True), ("other:1", False)],
)
def test_offer(reference: str, offered: bool) -> None:
    assert Candidates("mine:1", PUBLISHED, BUILT).offer(reference) is offered


Docker = Callable[[str], None]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Puts a script in place of the docker command."""

    def place(script: str) -> None:
        command = tmp_path / "docker"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return place


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return Console(tmp_path / "logs", out=io.StringIO())


def test_pull_waits_for_a_registry_that_has_answered(docker: Docker, console: Console) -> None:
    docker("echo 'v1: Pulling from kindest/node'; sleep 0.3; echo 'Status: Downloaded newer image'")
    assert images.pull("kindest/node:v1", console, patience=0.2)


def test_pull_gives_up_a_silent_registry_and_ends_the_attempt(
    docker: Docker, console: Console, tmp_path: Path
) -> None:
    docker(f"echo $$ > {tmp_path}/pid; exec sleep 600")
    assert not images.pull("kindest/node:v1", console, patience=0.5)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_pull_does_not_take_the_answer_to_an_earlier_pull_for_one(docker: Docker, console: Console) -> None:
    docker("echo 'v1: Pulling from kindest/node'")
    assert images.pull("kindest/node:v1", console)
    docker("exec sleep 600")
    assert not images.pull("python:3.11-slim", console, patience=0.3)


def test_pull_tells_a_refusal(docker: Docker, console: Console) -> None:
    docker("echo 'Error response from daemon: no such host' >&2; exit 1")
    assert not images.pull("kindest/node:v1", console)


@pytest.mark.parametrize(("files", "version"), [([], 1), (["cgroup.controllers"], 2)])
def test_host_cgroup_version(tmp_path: Path, files: list[str], version: int) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert images.host_cgroup_version(tmp_path) == version
