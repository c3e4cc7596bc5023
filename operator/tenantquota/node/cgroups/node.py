"""The cgroups of one node: the way in for those who don't care about versions."""

import time
from collections.abc import Callable
from pathlib import Path

from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.layout import find_layout
from tenantquota.node.cgroups.reader import Reader
from tenantquota.node.cgroups.tree import Leaf, Tree
from tenantquota.node.cgroups.v1 import IoAccounting, V1Reader
from tenantquota.node.cgroups.v2 import V2Reader
from tenantquota.node.cgroups.watch import Watch


class NodeCgroups:
    """Finds and opens containers.

    Args:
        root: what the node has at /sys/fs/cgroup.
        errors: where bad reads are counted.

    Raises:
        LayoutError: nothing is mounted at ``root``, or not what a node has.
    """

    def __init__(
        self, root: Path, errors: ReadErrors, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.layout = find_layout(root)
        self._errors = errors
        self._clock_ns = clock_ns
        self._watch = self._open_watch()
        self.tree = Tree(self.layout.look_in, self._watch, errors)
        if self.layout.version == 1:
            self._io_accounting = IoAccounting(self.layout.roots["blkio"], clock_ns)

    def open(self, leaf: Leaf) -> Reader:
        """
        Raises:
            VanishedError: it has ended, or isn't whole yet.
            OSError: it can't be opened.
        """
        if self.layout.version == 1:
            return V1Reader(
                self.layout.roots,
                leaf.path,
                self._errors,
                self._io_accounting.counts,
                self._watch,
                self._clock_ns,
            )
        return V2Reader(f"{self.layout.look_in}/{leaf.path}", self._errors, self._watch, self._clock_ns)

    def poll(self) -> None:
        """Takes note of what the kernel says has changed: directories come and gone, limits written."""
        if self._watch:
            self._watch.poll()

    def close(self) -> None:
        if self._watch:
            self._watch.close()

    def _open_watch(self) -> Watch | None:
        """None where there is none to be had: then all is looked at each time, at three times the cost."""
        try:
            return Watch()
        except OSError as error:
            self._errors.count("inotify", error)
            return None
