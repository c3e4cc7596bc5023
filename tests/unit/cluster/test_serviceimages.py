"""How images made from Debian's packages for the tenants' services are named, and what is done to them."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.cluster.serviceimages import POSTGRES, REDIS, Service
from e2e.cluster.settings import VERSIONS_FILE, parse_versions

VERSIONS = parse_versions(VERSIONS_FILE.read_text())


def test_a_name_changes_with_what_the_image_is_made_from() -> None:
    changed = [
        REDIS,
        POSTGRES,
        replace(REDIS, packages=("redis-server",)),
        replace(REDIS, unwanted=("usr/share/x",)),
    ]
    assert len({service.image(VERSIONS) for service in changed}) == len(changed)
    assert REDIS.image(VERSIONS).startswith(f"tenantquota/redis-packages:{VERSIONS.debian_suite}-")


@pytest.mark.parametrize("service", [POSTGRES, REDIS], ids=lambda service: service.name)
def test_hooks_leave_a_user_and_folders_that_it_can_write_to(service: Service, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr/lib/locale").mkdir(parents=True)
    for hook in service.hooks:
        subprocess.run(["sh", "-euc", hook, "sh", str(tmp_path)], check=True)
    assert f"{service.name}:x:999:999:" in (tmp_path / "etc/passwd").read_text()
    for folder in service.folders:
        assert (tmp_path / folder.lstrip("/")).stat().st_mode & 0o777 == 0o777
    assert (tmp_path / "usr/lib/locale").exists() == (service is REDIS)
