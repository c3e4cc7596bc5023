"""Settings and versions: what is read, and what a wrong one is told."""

from pathlib import Path

import pytest

from e2e.cluster.settings import VERSIONS_FILE, SettingError, parse_versions, parse_workers, read_settings

GOOD = VERSIONS_FILE.read_text()


def test_reads_the_versions_of_this_repository() -> None:
    assert parse_versions(GOOD).kind_version.startswith("v0.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "\nKWOK_VERSION=v1\n", "missing or unknown: KWOK_VERSION"),
        (GOOD.replace("HELM_VERSION", "HELMET_VERSION"), "HELMET_VERSION, HELM_VERSION"),
        (GOOD + "\nHELM_VERSION\n", "'HELM_VERSION' is not KEY=VALUE"),
        (GOOD + "\nHELM_VERSION=\n", "is not KEY=VALUE"),
    ],
)
def test_a_wrong_versions_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parse_versions(text)


@pytest.mark.parametrize(("text", "workers"), [("", None), ("0", 0), ("3", 3)])
def test_workers(text: str, workers: int | None) -> None:
    assert parse_workers(text) == workers


@pytest.mark.parametrize("text", ["-1", "two", "1.5", "10", "²"])
def test_wrong_workers_are_told_what_is_right(text: str) -> None:
    with pytest.raises(SettingError, match=f"WORKERS={text}: give a whole number from 0 to 9"):
        parse_workers(text)


@pytest.mark.parametrize(
    ("environ", "cache"),
    [
        ({"TENANTQUOTA_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/tenantquota")),
        ({"XDG_CACHE_HOME": ""}, Path.home() / ".cache/tenantquota"),
        ({}, Path.home() / ".cache/tenantquota"),
    ],
)
def test_cache(environ: dict[str, str], cache: Path) -> None:
    assert read_settings(environ).cache == cache


def test_a_relative_cache_is_refused() -> None:
    with pytest.raises(SettingError, match="absolute"):
        read_settings({"TENANTQUOTA_CACHE": "cache"})
