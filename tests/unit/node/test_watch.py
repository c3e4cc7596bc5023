"""What the kernel tells of directories."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantquota.node.cgroups.watch import CHILDREN, WRITES, Watch


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch()
    yield watch
    watch.close()


def test_tells_names_of_what_came_and_went(watch: Watch, tmp_path: Path) -> None:
    names: list[str] = []
    watch.add(str(tmp_path), CHILDREN, names.append)
    (tmp_path / "a").mkdir()
    (tmp_path / "longer name").mkdir()
    (tmp_path / "a").rmdir()
    watch.poll()
    assert names == ["a", "longer name", "a"]
    watch.poll()
    assert len(names) == 3


def test_tells_what_was_written(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    names: list[str] = []
    watch.add(str(tmp_path), WRITES, names.append)
    (tmp_path / "file").read_text()
    watch.poll()
    assert names == []
    (tmp_path / "file").write_text("1")
    watch.poll()
    assert set(names) == {"file"}


def test_a_removed_watch_is_silent(watch: Watch, tmp_path: Path) -> None:
    names: list[str] = []
    number = watch.add(str(tmp_path), CHILDREN, names.append)
    (tmp_path / "a").mkdir()
    watch.remove(number)
    watch.remove(number)
    (tmp_path / "b").mkdir()
    watch.poll()
    assert names == []


def test_what_is_not_there_cannot_be_watched(watch: Watch, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        watch.add(str(tmp_path / "missing"), CHILDREN, print)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        watch.add(str(tmp_path / "file"), CHILDREN, print)


def test_when_the_kernel_lost_count_anything_may_have_happened(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        watch.add(str(tmp_path / name), CHILDREN, lambda entry, name=name: told.append((name, entry)))
    overflow = [struct.pack("iIII", -1, 0x4000, 0, 0)]

    def read(*_: object) -> bytes:
        if overflow:
            return overflow.pop()
        raise BlockingIOError

    monkeypatch.setattr(os, "read", read)
    watch.poll()
    assert told == [("a", ""), ("b", "")]
