"""What an agent uses besides answering: CPU, memory, open files, processes, the disk."""

import mmap
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

STEP_BYTES: Final = 4 << 20
BURST_SECONDS: Final = 0.005
"""What a burner does before it may rest: short against the second in which it is measured."""
FIRST_DESCRIPTOR: Final = 3
"""The first that isn't standard input, output or error."""
BLOCK_BYTES: Final = 4096
WRITE_BYTES: Final = 1 << 20


class ResourceError(Exception):
    """What was asked for can't be had; the text says why."""


def work(cpu_seconds: float) -> float:
    """Uses so much CPU time of this thread, and returns how much it was."""
    start = time.thread_time()
    while (used := time.thread_time() - start) < cpu_seconds:
        for _ in range(200):
            pass
    return used


class Children:
    """Child processes that go on until they are ended.

    Args:
        start: starts one and returns its process id.
    """

    def __init__(self, start: Callable[[], int]) -> None:
        self._start = start
        self._pids: list[int] = []

    def __len__(self) -> int:
        return len(self._pids)

    def set_count(self, count: int) -> None:
        """As many as ``count`` from now on.

        Raises:
            ResourceError: when there can't be so many; those that were started stay.
        """
        while len(self._pids) < count:
            try:
                self._pids.append(self._start())
            except OSError as error:
                raise ResourceError(f"no further process: {error.strerror}") from error
        surplus = self._pids[count:]
        del self._pids[count:]
        for child in surplus:
            os.kill(child, signal.SIGKILL)
        for child in surplus:
            os.waitpid(child, 0)


class Idlers(Children):
    """Processes that do nothing.

    Another program, not forks: of each page that a fork or its parent writes to there are two, which is some
    MB for each fork, so that a leak of processes would be one of memory too.
    """

    def __init__(self) -> None:
        super().__init__(self._spawn)
        self._pipe: tuple[int, int] | None = None

    def _spawn(self) -> int:
        if self._pipe is None:
            self._pipe = os.pipe()
        # it reads what nobody writes, and so ends when its parent does
        actions = [(os.POSIX_SPAWN_DUP2, self._pipe[0], 0)]
        return os.posix_spawnp("cat", ["cat"], os.environ, file_actions=actions)


def fork(turn: Callable[[], object]) -> int:
    """A child process that does the same again and again, as long as its parent is there. Another interpreter
    would cost 8 MB and 20 ms of CPU."""
    parent = os.getpid()
    child = os.fork()
    if child != 0:
        return child
    try:
        signal.set_wakeup_fd(-1)  # the parent's event loop
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.closerange(FIRST_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))  # the parent's connections
        while os.getppid() == parent:
            turn()
    finally:
        os._exit(0)  # never back into the parent's program


class Burner:
    """Children that use CPU; processes, since threads share one interpreter."""

    def __init__(self) -> None:
        self._children = Children(lambda: fork(self._turn))
        self._start: float | None = None
        self.percent = 100

    @property
    def cores(self) -> int:
        return len(self._children)

    def set_cores(self, cores: int, percent: int = 100) -> None:
        """Burns ``cores`` cores from now on, each for ``percent`` % of the time.

        Raises:
            ResourceError: when there can't be so many processes.
        """
        if percent != self.percent:
            self._children.set_count(0)
            self.percent = percent
        self._children.set_count(cores)

    def _turn(self) -> None:
        """In a child: some work, and rest for as long as it is ahead of its share."""
        if self._start is None:
            self._start = time.monotonic() - time.process_time()
        work(BURST_SECONDS)
        rest = time.process_time() * 100 / self.percent - (time.monotonic() - self._start)
        if rest > 0:
            time.sleep(rest)


class Holder:
    """Memory of this very process, every page of it touched: when it is too much, the kernel ends the
    container and not a child of it."""

    def __init__(self) -> None:
        self._blocks: list[mmap.mmap] = []
        self.size_bytes = 0

    def set_bytes(self, size_bytes: int) -> None:
        """Holds ``size_bytes`` from now on; what is held already stays where it is, if it isn't too much."""
        if size_bytes < self.size_bytes:
            for block in self._blocks:
                block.close()
            self._blocks.clear()
            self.size_bytes = 0
        while self.size_bytes < size_bytes:
            step = min(STEP_BYTES, size_bytes - self.size_bytes)
            block = mmap.mmap(-1, step)
            for page in range(0, step, mmap.PAGESIZE):  # page by page: a copy to write from would stay
                block[page] = 1
            self._blocks.append(block)
            self.size_bytes += step


class Files:
    """Open files."""

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def __len__(self) -> int:
        return len(self._descriptors)

    def set_count(self, count: int) -> None:
        """As many as ``count`` from now on.

        Raises:
            ResourceError: when there can't be so many; those that were opened stay open.
        """
        while len(self._descriptors) < count:
            try:
                self._descriptors.append(os.open(os.devnull, os.O_RDONLY))
            except OSError as error:
                raise ResourceError(f"no further file: {error.strerror}") from error
        while len(self._descriptors) > count:
            os.close(self._descriptors.pop())


def write_to_disk(directory: str, size_bytes: int) -> None:
    """Writes past the page cache, so that the kernel counts every byte at once and to whom wrote it.

    Raises:
        ResourceError: when the bytes are no whole blocks, or the directory can't be written to.
    """
    if size_bytes % BLOCK_BYTES:
        raise ResourceError(f"give whole blocks of {BLOCK_BYTES} bytes")
    try:
        file, name = tempfile.mkstemp(dir=directory)
        os.close(file)
        file = os.open(name, os.O_WRONLY | os.O_DIRECT)
        Path(name).unlink()  # nothing is left, whatever ends this
    except OSError as error:
        raise ResourceError(f"{directory}: {error.strerror}; mount a volume there") from error
    try:
        with mmap.mmap(-1, WRITE_BYTES) as block:  # its address is aligned, as O_DIRECT wants it
            view = memoryview(block)
            try:
                while size_bytes > 0:
                    size_bytes -= os.write(file, view[: min(size_bytes, WRITE_BYTES)])
            finally:
                view.release()
    except OSError as error:
        raise ResourceError(f"{directory}: {error.strerror}") from error
    finally:
        os.close(file)
