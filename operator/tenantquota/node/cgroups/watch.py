"""Directories in which something happens, told by the kernel (inotify).

Cgroup file systems tell what programs do to them, from whichever mount: directories made and removed, files
written. So nothing has to be listed or read again to find out that nothing has changed.

Bound with ctypes: inotify-simple starts a compiler or ldconfig to find libc, and takes 4 MB for it.
"""

import ctypes
import os
import struct
from collections.abc import Callable
from typing import Final

CHILDREN: Final = 0x100 | 0x200  # IN_CREATE | IN_DELETE
WRITES: Final = 0x2  # IN_MODIFY
_ONLY_DIRECTORIES: Final = 0x01000000
_OVERFLOW: Final = 0x4000
_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | os.O_CLOEXEC
_HEADER: Final = struct.Struct("iIII")  # watch, mask, cookie, length of the name that follows
_BUFFER_BYTES: Final = 65536

Callback = Callable[[str], None]
"""Called with the name of the directory's entry; with "" where anything may have happened."""


class Watch:
    """An inotify instance.

    Raises:
        OSError: there can't be one more (fs.inotify.max_user_instances, 128 by default for all of root's
            programs together).
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(_NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        self._callbacks: dict[int, Callback] = {}

    def add(self, path: str, events: int, callback: Callback) -> int:
        """Has ``callback`` called for what happens in a directory from now on; returns what ``remove`` takes.

        Raises:
            OSError: there is no such directory (any more), or no more may be watched
                (fs.inotify.max_user_watches).
        """
        watch = self._libc.inotify_add_watch(self._fd, os.fsencode(path), events | _ONLY_DIRECTORIES)
        if watch < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch", path)
        self._callbacks[watch] = callback
        return int(watch)

    def remove(self, watch: int) -> None:
        """Ends a watch; those of removed directories too, since a cgroup's doesn't end by itself."""
        if self._callbacks.pop(watch, None):
            self._libc.inotify_rm_watch(self._fd, watch)

    def poll(self) -> None:
        """Calls the callbacks for what happened since the last time."""
        while True:
            try:
                events = os.read(self._fd, _BUFFER_BYTES)
            except BlockingIOError:
                return
            self._tell(events)

    def close(self) -> None:
        os.close(self._fd)
        self._callbacks.clear()

    def _tell(self, events: bytes) -> None:
        offset = 0
        while offset < len(events):
            watch, mask, _, length = _HEADER.unpack_from(events, offset)
            offset += _HEADER.size + length
            if mask & _OVERFLOW:
                for callback in list(self._callbacks.values()):
                    callback("")
            elif watch in self._callbacks:
                self._callbacks[watch](os.fsdecode(events[offset - length : offset].rstrip(b"\0")))
