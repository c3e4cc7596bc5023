"""Which of the user's own commands fit."""

from pathlib import Path

import pytest

from e2e.cluster.settings import VERSIONS_FILE, Settings, parse_versions
from e2e.cluster.tools import parse_version, same_or_newer, users_own, within_skew


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("kind v0.33.0 go1.26.8 linux/amd64", (0, 33)),
        ("Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0", (1, 32)),
        ('version.BuildInfo{Version:"v4.3.1", GitCommit:""}', (4, 3)),
        ("tenantquota/kind-node:v1.37.2-1fac296d", (1, 37)),
        ("my.registry:5000/node:latest", None),
    ],
)
def test_parse_version(text: str, version: tuple[int, int] | None) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("found", "fits"),
    [((4, 3), True), ((4, 9), True), ((4, 2), False), ((3, 9), False), ((5, 9), False), (None, False)],
)
def test_same_or_newer(found: tuple[int, int] | None, fits: bool) -> None:
    assert same_or_newer(found, (4, 3)) is fits


@pytest.mark.parametrize(
    ("found", "fits"),
    [
        ((1, 36), True),
        ((1, 37), True),
        ((1, 38), True),
        ((1, 35), False),
        ((1, 39), False),
        ((2, 37), False),
        (None, False),
    ],
)
def test_within_skew(found: tuple[int, int] | None, fits: bool) -> None:
    assert within_skew(found, (1, 37)) is fits


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with an empty cache, and a PATH of its tools folder and the folder `bin`."""
    (tmp_path / "bin").mkdir()
    settings = Settings(parse_versions(VERSIONS_FILE.read_text()), tmp_path / "cache")
    settings.tools.mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{settings.tools}:{tmp_path / 'bin'}:/usr/bin:/bin")
    return settings


def place(folder: Path, version: str) -> Path:
    command = folder / "kindest"
    command.write_text(f"#!/bin/sh\necho kindest {version}\n")
    command.chmod(0o755)
    return command


def test_the_users_own_command_is_taken_where_it_fits(settings: Settings, tmp_path: Path) -> None:
    own = place(tmp_path / "bin", "v0.34.0")
    assert users_own("kindest", settings, ["version"], lambda found: found == (0, 34)) == own
    assert users_own("kindest", settings, ["version"], lambda found: found == (0, 33)) is None


def test_links_of_ours_are_not_the_users_own(settings: Settings, tmp_path: Path) -> None:
    ours = place(settings.cache, "v0.33.0")
    (settings.tools / "kindest").symlink_to(ours)
    (tmp_path / "bin" / "kindest").symlink_to(settings.tools / "kindest")
    assert users_own("kindest", settings, ["version"], lambda _: True) is None


def test_a_command_that_fails_does_not_fit(settings: Settings, tmp_path: Path) -> None:
    place(tmp_path / "bin", "v0.33.0").write_text("#!/bin/sh\nexit 1\n")
    assert users_own("kindest", settings, ["version"], lambda _: True) is None
