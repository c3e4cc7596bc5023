"""Has containers run idle, and no longer; see ``domain.idling``."""

from collections.abc import Callable, Collection
from typing import Protocol

from tenantquota.domain.idling import IDLE
from tenantquota.node.containers import Container
from tenantquota.node.weight_orders import Order


class Files(Protocol):
    """Reads what containers have, by directory."""

    def read(self, path: str) -> int | None:
        """Its weight; None: it is gone."""

    def runs_idle(self, path: str) -> bool | None:
        """None: it is gone, or the kernel has no such thing."""


class Idling:
    """Remembers which containers run idle, and the weights that they had."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._weights: dict[str, int] = {}
        """By directory, of those that run idle as far as is known."""
        self._known: set[str] = set()
        """Those that were looked at once: a predecessor may have left some idle."""

    @property
    def any(self) -> bool:
        """Whether there is something to be looked at in the next second."""
        return bool(self._weights)

    @property
    def pods(self) -> set[str]:
        """Directories of the pods of which containers run idle, as far as is known."""
        return {path.rpartition("/")[0] for path in self._weights}

    def count(self, pod_paths: Collection[str]) -> int:
        """How many containers of these pods run idle."""
        return sum(
            path.rpartition("/")[0] in pod_paths and bool(self._files.runs_idle(path))
            for path in self._weights
        )

    def orders(
        self,
        containers: Collection[Container],
        idle: Collection[str],
        kubelet_weight: Callable[[Container], int],
    ) -> list[Order]:
        """What must be changed.

        Args:
            idle: by id, those that are to run idle.
            kubelet_weight: what a container is to have that a predecessor left idle, and whose weight is
                forgotten with it.
        """
        followed = {container.path: container for container in containers}
        given = [
            Order(path, weight, weight)
            for path, weight in self._weights.items()
            if path not in followed and self._files.runs_idle(path)  # no tenant's any more
        ]
        self._known &= followed.keys()
        self._weights = {path: weight for path, weight in self._weights.items() if path in followed}
        for path, container in followed.items():
            wanted = container.id in idle
            if not wanted and path in self._known and path not in self._weights:
                continue
            self._known.add(path)
            runs_idle = self._files.runs_idle(path)
            if runs_idle:
                weight = self._weights.setdefault(path, kubelet_weight(container))
                if not wanted:
                    given.append(Order(path, weight, weight))
            elif wanted and runs_idle is not None and (had := self._files.read(path)) is not None:
                self._weights[path] = had
                given.append(Order(path, IDLE, had))
            else:
                self._weights.pop(path, None)
        return given

    def give_back(self) -> list[Order]:
        """What ends it for all."""
        found = [Order(path, weight, weight) for path, weight in self._weights.items()]
        self._weights.clear()
        return found
