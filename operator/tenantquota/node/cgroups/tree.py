"""Which containers there are: the kubelet's directories, listed again when the kernel says that one changed.

docs/decisions/0016-finding-containers.md compares this with listing and with looking at every directory.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from tenantquota.node.cgroups import layout
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.watch import CHILDREN, Watch


class Leaf(NamedTuple):
    """The cgroup of a container or of a pod's sandbox."""

    container_id: str
    pod_uid: str
    path: str
    """Relative to the hierarchy's root."""


class Changes(NamedTuple):
    """What a look found. A cgroup that was replaced by another of the same path is in both; it went first."""

    gone: list[Leaf]
    appeared: list[Leaf]


class _Directory:
    """A group of pods, a pod (it has a uid) or a leaf."""

    __slots__ = ("changed", "children", "inode", "leaf", "path", "pod_uid", "unsaid", "watch")

    def __init__(
        self, path: str, inode: int | None, *, pod_uid: str | None = None, leaf: Leaf | None = None
    ) -> None:
        self.path = path
        self.inode = inode
        """What tells it from another one that has its path later."""
        self.pod_uid = pod_uid
        self.leaf = leaf
        self.children: dict[str, _Directory] = {}
        self.changed = True
        self.unsaid = False
        """A change was found here of which the kernel has not told yet."""
        self.watch: int | None = None
        """None: not watched, so it is listed each time."""

    def mark(self, _name: str = "") -> None:
        self.changed = True
        self.unsaid = False

    def find(self, path: str) -> "_Directory | None":
        """The directory of that path, which may be this one or below it."""
        if path == self.path:
            return self
        if not path.startswith(f"{self.path}/"):
            return None
        child = self.children.get(path[len(self.path) + 1 :].partition("/")[0])
        return child.find(path) if child else None

    def family(self) -> Iterator["_Directory"]:
        yield self
        for child in self.children.values():
            yield from child.family()


class Tree:
    """The kubelet's part of one hierarchy.

    Args:
        root: the hierarchy's directory.
        watch: None where the kernel has none left for us: then every directory is listed each time.
    """

    def __init__(self, root: str, watch: Watch | None, errors: ReadErrors) -> None:
        self._root = root
        self._watch = watch
        self._errors = errors
        self._tops: dict[str, _Directory] = {}
        self._differing: set[_Directory] = set()
        """Where the last visit found other children than the one before."""

    def kubepods(self) -> list[str]:
        """The kubelet's directories of all pods."""
        return [f"{self._root}/{path}" for path in self._tops]

    def look(self, *, everywhere: bool = False) -> Changes:
        """What came and went since the last look, as far as the kernel told (``Watch.poll``).

        Args:
            everywhere: look where nothing is said to have changed, too. What only that finds, and of which
                nothing is said until the next such look either, counts as an error of the file ``inotify``:
                what happens while this looks is told a moment later.
        """
        if everywhere or not self._tops:  # a kubelet that changes its cgroup driver makes another one
            for path in layout.find_kubepods(self._root):
                self._tops.setdefault(path, _Directory(path, None))
        changes = self._visit_tops()
        if everywhere and self._watch:
            directories = [directory for top in self._tops.values() for directory in top.family()]
            for directory in directories:
                if directory.unsaid:
                    self._errors.count_reason("inotify", "missed")
                directory.mark()
            unsaid = self._visit_tops()
            for directory in directories:
                directory.unsaid = directory.watch is not None and directory in self._differing
            changes.gone.extend(unsaid.gone)
            changes.appeared.extend(unsaid.appeared)
        return changes

    def forget(self, leaf: Leaf) -> None:
        """Takes a leaf for unseen, so that the next look finds it if it is there: it has ended, or can't be
        opened yet."""
        path, _, name = leaf.path.rpartition("/")
        for top in self._tops.values():
            pod = top.find(path)
            if pod is not None:
                pod.children.pop(name, None)
                pod.mark()

    def _visit_tops(self) -> Changes:
        self._differing.clear()
        changes = Changes([], [])
        for path, top in list(self._tops.items()):
            if not self._visit(top, changes):
                self._lose(top, changes)
                del self._tops[path]
        return changes

    def _visit(self, directory: _Directory, changes: Changes) -> bool:
        """Brings what is known of a directory up to date; false when it is gone."""
        if directory.leaf is not None:
            return True
        if directory.watch is None and not self._start_watching(directory):
            return False
        if directory.changed or directory.watch is None:
            directory.changed = False
            if not self._list(directory, changes):
                return False
        for name, child in list(directory.children.items()):
            if not self._visit(child, changes):
                directory.mark()
                self._differing.add(directory)
                self._lose(directory.children.pop(name), changes)
        return True

    def _start_watching(self, directory: _Directory) -> bool:
        """Before it is listed for the first time, so that nothing happens unseen. False: it is gone."""
        if self._watch is None:
            return True
        try:
            directory.watch = self._watch.add(f"{self._root}/{directory.path}", CHILDREN, directory.mark)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._errors.count("inotify", error)
        return True

    def _list(self, directory: _Directory, changes: Changes) -> bool:
        try:
            with os.scandir(f"{self._root}/{directory.path}") as entries:
                found = {entry.name: entry.inode() for entry in entries if entry.is_dir()}
        except FileNotFoundError:
            return False
        except OSError as error:
            self._errors.count("directory", error)
            directory.mark()
            return True
        for name, child in list(directory.children.items()):
            if found.get(name) != child.inode:
                self._differing.add(directory)
                self._lose(directory.children.pop(name), changes)
        for name in found.keys() - directory.children.keys():
            if new := _child(directory, name, found[name]):
                self._differing.add(directory)
                directory.children[name] = new
                if new.leaf is not None:
                    changes.appeared.append(new.leaf)
        return True

    def _lose(self, directory: _Directory, changes: Changes) -> None:
        for lost in directory.family():
            if lost.watch is not None and self._watch:
                self._watch.remove(lost.watch)
            if lost.leaf is not None:
                changes.gone.append(lost.leaf)


def _child(directory: _Directory, name: str, inode: int) -> _Directory | None:
    """What a name in a directory of the kubelet's stands for, None if nothing of ours."""
    path = f"{directory.path}/{name}"
    if directory.pod_uid is not None:
        container_id = layout.container_id(name)
        if container_id is None:
            return None
        return _Directory(path, inode, leaf=Leaf(container_id, directory.pod_uid, path))
    if uid := layout.pod_uid(name):
        return _Directory(path, inode, pod_uid=uid)
    return _Directory(path, inode) if layout.is_qos(name) else None
