"""Objects of one kind as the API server has them, followed for as long as the program runs.

What client-go calls an informer, as far as the node agent needs one.

While the API server doesn't answer, what was known last stays true.
"""

import json
import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Generic, TypeVar

from tenantquota.kube.plain import ApiError, ApiServer

LOG: Final = logging.getLogger(__name__)

PAGE: Final = 50
"""Objects in one answer: a pod takes some 10 KB as JSON, and ten times that as objects, which the agent's
memory holds for a moment."""
FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 10.0
_GONE: Final = 410

Item = TypeVar("Item")


class Index(Generic[Item]):
    """What there is, by uid. Written by one thread, read by any."""

    def __init__(self) -> None:
        self._items: dict[str, Item] = {}
        self.revision = 0
        """Grows with every change."""
        self.complete = False
        """Whether all of them were ever known."""

    def get(self, uid: str) -> Item | None:
        return self._items.get(uid)

    def values(self) -> Iterable[Item]:
        """Of one moment."""
        return self._items.copy().values()

    def replace(self, items: Mapping[str, Item]) -> None:
        """These are all."""
        if self._items != items:
            self._items = dict(items)
            self.revision += 1
        self.complete = True

    def put(self, uid: str, item: Item) -> None:
        if self._items.get(uid) != item:
            self._items[uid] = item
            self.revision += 1

    def drop(self, uid: str) -> None:
        if self._items.pop(uid, None) is not None:
            self.revision += 1


class Informer(Generic[Item]):
    """Keeps an index true: lists everything once, then follows the changes.

    Args:
        path: of the resource, in all namespaces.
        selection: further parameters of every request, such as ``fieldSelector``.
        read: the uid of an object and what of it matters; ValueError for what is no such object.
        stop: ends ``run`` at the next event or delay.
    """

    def __init__(
        self,
        api: ApiServer,
        path: str,
        selection: Mapping[str, str],
        read: Callable[[Any], tuple[str, Item]],
        index: Index[Item],
        stop: threading.Event,
    ) -> None:
        self._api = api
        self._path = path
        self._selection = selection
        self._read = read
        self._index = index
        self._stop = stop
        self._version: str | None = None
        """How far the changes are known; None: everything must be listed anew."""
        self._fruitless = 0
        """Attempts in a row that brought nothing."""
        self.errors = 0

    def run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._version is None:
                    self._list()
                self._follow()
            except ApiError as error:
                if error.status == _GONE:
                    self._version = None
                self._failed(error)
            except ValueError as error:
                self._version = None  # whatever it was to tell, a list will
                self._failed(error)
            self._stop.wait(self._delay_seconds())

    def _list(self) -> None:
        items: dict[str, Item] = {}
        page: dict[str, str] = {}
        while True:
            answer = self._api.get(self._path, {**self._selection, "limit": PAGE, **page})
            try:
                items.update(self._read(item) for item in answer.get("items") or ())
                metadata = answer["metadata"]
                version = str(metadata["resourceVersion"])
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{self._path}: not a list: {error!r}") from error
            if not metadata.get("continue"):
                break
            page = {"continue": metadata["continue"]}
        self._index.replace(items)
        self._version = version
        LOG.info("%s: %d", self._path, len(items))

    def _follow(self) -> None:
        """Until the API server ends the stream, as it does every few minutes."""
        query: dict[str, str | int] = {
            **self._selection,
            "watch": 1,
            "allowWatchBookmarks": "true",
            "resourceVersion": str(self._version),
            # not every agent at the same moment
            "timeoutSeconds": random.randint(300, 600),  # noqa: S311 - no secret
        }
        known = self._version
        with self._api.lines(self._path, query) as lines:
            self._take(lines)
        if self._version == known:
            self._fruitless += 1  # no failure, but nothing to hurry for

    def _take(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            try:
                event = json.loads(line)
                kind, manifest = event["type"], event["object"]
                if kind == "ERROR":
                    raise ApiError(f"watch of {self._path}: {manifest.get('message')}", manifest.get("code"))
                version = manifest["metadata"]["resourceVersion"]
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"{self._path}: not a watch event: {error!r}") from error
            if kind == "DELETED":
                self._index.drop(manifest["metadata"].get("uid", ""))
            elif kind != "BOOKMARK":
                self._index.put(*self._read(manifest))
            self._version = version
            self._fruitless = 0
            if self._stop.is_set():
                return

    def _failed(self, error: Exception) -> None:
        self.errors += 1
        # the first of a row is news, the rest are counted
        LOG.log(logging.DEBUG if self._fruitless else logging.WARNING, "%s", error)
        self._fruitless += 1

    def _delay_seconds(self) -> float:
        """Grows while nothing comes through; random, so that agents don't come in step."""
        longest = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(self._fruitless, 16))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
