"""Cgroup files, held by descriptor, and what happens when they can't be read.

A file is either *kept* open (a read costs 3.5 µs, the descriptor 5.4 KB of kernel memory, charged to the
agent) or opened each time (10 µs, nothing kept); docs/decisions/0010-node-agent-reads.md has the figures.
"""

import errno
import os
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

Value = TypeVar("Value")
Value_co = TypeVar("Value_co", covariant=True)

_PAGE: Final = 4096
_UNOPENED: Final = -1
_NO_SUCH_FILE: Final = -2


class VanishedError(Exception):
    """The cgroup is gone, and with it all that was open of it."""


class ReadErrors:
    """How many reads gave nothing, by file and reason (``malformed`` or the name of the errno)."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], int] = {}

    def count(self, file: str, error: OSError | ValueError) -> None:
        """One read that failed, or content that was not understood."""
        reason = errno.errorcode.get(error.errno or 0, "EIO") if isinstance(error, OSError) else "malformed"
        self.count_reason(file, reason)

    def count_reason(self, file: str, reason: str) -> None:
        self.counts[file, reason] = self.counts.get((file, reason), 0) + 1

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class File(Protocol[Value_co]):
    """One file of one cgroup."""

    def read(self) -> Value_co | None:
        """None: this kernel has no such file, or it couldn't be read or understood, which is counted.

        Raises:
            VanishedError: the cgroup is gone.
        """


class Directory:
    """A cgroup's directory. Its path may come to name another cgroup, its descriptor never does.

    Raises:
        VanishedError: there is none of that path.
    """

    __slots__ = ("_descriptors", "errors", "fd")

    def __init__(self, path: str, errors: ReadErrors) -> None:
        try:
            self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise VanishedError(path) from error
        self.errors = errors
        self._descriptors: list[int] = []

    def kept(self, name: str, parse: Callable[[bytes], Value]) -> "KeptFile[Value]":
        """A file that is read each second."""
        return KeptFile(self, name, parse)

    def seldom(self, name: str, parse: Callable[[bytes], Value]) -> "SeldomFile[Value]":
        """A file that is read every few seconds."""
        return SeldomFile(self, name, parse)

    def open(self, name: str) -> int | None:
        """A descriptor of a file in it, the caller's to close; None where the kernel has no such file.

        Raises:
            VanishedError: the cgroup is gone.
            OSError: it can't be opened for another reason.
        """
        try:
            return os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        except OSError as error:
            if _is_absent(error) and self.alive():
                return None
            raise self.failure(error) from error

    def alive(self) -> bool:
        """A removed cgroup's directory is empty, and a living one has this file."""
        return os.access("cgroup.procs", os.F_OK, dir_fd=self.fd)

    @staticmethod
    def failure(error: OSError) -> OSError | VanishedError:
        """What an error of a file in it means."""
        return VanishedError() if error.errno in (errno.ENODEV, errno.ENOENT) else error

    def hold(self, descriptor: int) -> None:
        """Closes the descriptor together with the directory."""
        self._descriptors.append(descriptor)

    def release(self, descriptor: int) -> None:
        """Closes the descriptor now."""
        self._descriptors.remove(descriptor)
        os.close(descriptor)

    def close(self) -> None:
        for descriptor in (*self._descriptors, self.fd):
            os.close(descriptor)
        self._descriptors.clear()


class _AbsentFile:
    """A file that this kernel doesn't have."""

    def read(self) -> None:
        return None


ABSENT: Final = _AbsentFile()


class KeptFile(Generic[Value]):
    """A file that stays open once it was read; one read is one ``pread``."""

    __slots__ = ("_directory", "_fd", "_name", "_parse", "_size")

    def __init__(self, directory: Directory, name: str, parse: Callable[[bytes], Value]) -> None:
        self._directory = directory
        self._name = name
        self._parse = parse
        self._fd = _UNOPENED
        self._size = _PAGE

    def read(self) -> Value | None:
        if self._fd < 0 and not self._open():
            return None
        try:
            content = os.pread(self._fd, self._size, 0)
            while len(content) == self._size:
                self._size *= 2
                content = os.pread(self._fd, self._size, 0)
            return self._parse(content)
        except OSError as error:
            self._failed(error)
        except ValueError as error:
            self._directory.errors.count(self._name, error)
        return None

    def _open(self) -> bool:
        if self._fd == _NO_SUCH_FILE:
            return False
        try:
            descriptor = self._directory.open(self._name)
        except OSError as error:
            self._directory.errors.count(self._name, error)
            return False
        if descriptor is None:
            self._fd = _NO_SUCH_FILE
            return False
        self._directory.hold(descriptor)
        self._fd = descriptor
        return True

    def _failed(self, error: OSError) -> None:
        self._directory.release(self._fd)
        self._fd = _UNOPENED
        if _is_absent(error):
            self._fd = _NO_SUCH_FILE
            return
        failure = self._directory.failure(error)
        if isinstance(failure, VanishedError):
            raise failure from error
        self._directory.errors.count(self._name, error)


class SeldomFile(Generic[Value]):
    """A file that is opened for each read, and read to its end however long it is."""

    __slots__ = ("_directory", "_name", "_parse")

    def __init__(self, directory: Directory, name: str, parse: Callable[[bytes], Value]) -> None:
        self._directory = directory
        self._name = name
        self._parse = parse

    def read(self) -> Value | None:
        try:
            content = self._content()
            return None if content is None else self._parse(content)
        except OSError as error:
            failure = self._directory.failure(error)
            if isinstance(failure, VanishedError):
                raise failure from error
            if not _is_absent(error):
                self._directory.errors.count(self._name, error)
            return None
        except ValueError as error:
            self._directory.errors.count(self._name, error)
            return None

    def _content(self) -> bytes | None:
        descriptor = self._directory.open(self._name)
        if descriptor is None:
            return None
        try:
            pieces = []
            while piece := os.read(descriptor, _PAGE):
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            os.close(descriptor)


def _is_absent(error: OSError) -> bool:
    """The kernel has no such file, or it has it and doesn't fill it (pressure with ``psi=0``)."""
    return error.errno in (errno.ENOENT, errno.EOPNOTSUPP)
