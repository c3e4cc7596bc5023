"""Files that are there, aren't, change, or hold garbage."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tenantquota.node.cgroups import parsing
from tenantquota.node.cgroups.files import Directory, File, ReadErrors, VanishedError

Open = Callable[[Directory], File[int]]
KINDS = [
    pytest.param(lambda directory: directory.kept("value", parsing.number), id="kept"),
    pytest.param(lambda directory: directory.seldom("value", parsing.number), id="seldom"),
]


@pytest.fixture
def errors() -> ReadErrors:
    return ReadErrors()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    group = tmp_path / "group"
    group.mkdir()
    (group / "cgroup.procs").write_text("")
    (group / "value").write_text("1\n")
    return group


@pytest.fixture
def directory(path: Path, errors: ReadErrors) -> Directory:
    return Directory(str(path), errors)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def remove(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


@pytest.mark.parametrize("open_file", KINDS)
def test_reads_what_is_there_now(open_file: Open, directory: Directory, path: Path) -> None:
    file = open_file(directory)
    assert file.read() == 1
    (path / "value").write_text("23\n")
    assert file.read() == 23


@pytest.mark.parametrize("open_file", KINDS)
@pytest.mark.parametrize("content", ["", "2", "garbage\n", "-1\n"])
def test_what_is_not_understood_is_counted_and_the_next_read_is_fine(
    open_file: Open, directory: Directory, path: Path, errors: ReadErrors, content: str
) -> None:
    file = open_file(directory)
    (path / "value").write_text(content)
    assert file.read() is None
    assert errors.counts == {("value", "malformed"): 1}
    (path / "value").write_text("4\n")
    assert file.read() == 4
    assert errors.total == 1


@pytest.mark.parametrize("open_file", KINDS)
def test_a_file_that_this_kernel_lacks_is_no_error(
    open_file: Open, directory: Directory, path: Path, errors: ReadErrors
) -> None:
    (path / "value").unlink()
    file = open_file(directory)
    assert [file.read(), file.read()] == [None, None]
    assert errors.total == 0


@pytest.mark.parametrize("open_file", KINDS)
def test_says_that_the_cgroup_is_gone(open_file: Open, directory: Directory, path: Path) -> None:
    remove(path)
    with pytest.raises(VanishedError):
        open_file(directory).read()


@pytest.mark.parametrize("open_file", KINDS)
def test_never_reads_another_cgroup_of_the_same_path(
    open_file: Open, directory: Directory, path: Path
) -> None:
    remove(path)
    path.mkdir()
    (path / "cgroup.procs").write_text("")
    (path / "value").write_text("666\n")
    with pytest.raises(VanishedError):
        open_file(directory).read()


@pytest.mark.parametrize("open_file", KINDS)
@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_a_file_that_cannot_be_opened_is_counted_and_tried_again(
    open_file: Open, directory: Directory, errors: ReadErrors, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    file = open_file(directory)

    def fail(*_: object, **__: object) -> int:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fail)
        assert file.read() is None
    assert errors.counts == {("value", errno.errorcode[code]): 1}
    assert file.read() == 1


def test_a_kept_file_that_fails_is_opened_again(
    directory: Directory, errors: ReadErrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = directory.kept("value", parsing.number)
    assert file.read() == 1

    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        assert file.read() is None
    assert errors.counts == {("value", "EIO"): 1}
    assert file.read() == 1


def test_a_kept_file_says_that_its_device_is_gone(
    directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel answers for an open file of a removed cgroup."""
    file = directory.kept("value", parsing.number)
    file.read()

    def fail(*_: object) -> bytes:
        raise OSError(errno.ENODEV, "gone")

    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(VanishedError):
        file.read()


@pytest.mark.parametrize("open_file", KINDS)
def test_a_file_that_the_kernel_does_not_fill_counts_as_absent(
    open_file: Open, directory: Directory, errors: ReadErrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pressure with ``psi=0``."""

    def fail(*_: object) -> bytes:
        raise OSError(errno.EOPNOTSUPP, "no")

    monkeypatch.setattr(os, "pread", fail)
    monkeypatch.setattr(os, "read", fail)
    assert open_file(directory).read() is None
    assert errors.total == 0


@pytest.mark.parametrize("kind", ["kept", "seldom"])
@pytest.mark.parametrize("count", [10, 1000, 5000])
def test_reads_files_of_any_length(directory: Directory, path: Path, kind: str, count: int) -> None:
    numbers = list(range(100, 100 + count))
    (path / "value").write_text("".join(f"{number}\n" for number in numbers))
    open_file = directory.kept if kind == "kept" else directory.seldom
    file = open_file("value", parsing.ids)
    assert [file.read(), file.read()] == [numbers, numbers]


def test_leaves_no_descriptor_open(path: Path, errors: ReadErrors) -> None:
    before = descriptors()
    directory = Directory(str(path), errors)
    for name in ("value", "cgroup.procs", "missing"):
        directory.kept(name, parsing.ids).read()
        directory.seldom(name, parsing.ids).read()
    assert descriptors() == before + 3
    directory.close()
    assert descriptors() == before


def test_a_directory_that_is_not_there(tmp_path: Path, errors: ReadErrors) -> None:
    with pytest.raises(VanishedError):
        Directory(str(tmp_path / "missing"), errors)
