"""Which cluster is tested, and whether it may be."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from e2e.cluster.settings import CONTEXT

WORKLOADS: Final = ("containers", "initContainers")


class TargetRefusedError(Exception):
    """The suite doesn't touch this cluster; the text says what to change."""


@dataclass(frozen=True)
class Target:
    """A cluster that may be tested.

    Attributes:
        kubeconfig: a path; where it is empty, what kubectl would read.
        image_registry: where the nodes get the suite's images from; where it is empty, they have them.
    """

    context: str = CONTEXT
    kubeconfig: str = ""
    image_registry: str = ""

    @property
    def kubectl(self) -> tuple[str, ...]:
        """What kubectl's arguments are put behind."""
        return ("kubectl", *self.options("--context"))

    def options(self, context: str) -> tuple[str, ...]:
        """Of kubectl or another client that leads there; ``context`` is what that one calls the context's."""
        where = (f"--kubeconfig={self.kubeconfig}",) if self.kubeconfig else ()
        return (*where, f"{context}={self.context}")


LOCAL: Final = Target()
"""The cluster of ``make up``."""


def target_of(context: str, kubeconfig: str, allowed: Collection[str], image_registry: str = "") -> Target:
    """The target that the options name, if they allow it.

    The context of ``make up`` is allowed, but not out of a kubeconfig that the user names: that one may call
    anything so. The current context is never taken.

    Args:
        context: as all options, empty where the user gave none.
        allowed: the contexts that the user allows beside it.

    Raises:
        TargetRefusedError: says what to add.
    """
    if kubeconfig and not context:
        raise TargetRefusedError(
            f"--kubeconfig {kubeconfig} names no cluster: add --context NAME (with make: CONTEXT=NAME)"
        )
    context = context or CONTEXT
    if context not in {*allowed, *(() if kubeconfig else (CONTEXT,))}:
        raise TargetRefusedError(
            f"context {context} isn't allowed: the suite fills nodes with load, and makes and deletes"
            f" namespaces there. If that cluster may be used so, add --allow-context {context}"
            f" (with make: ALLOW_CONTEXT={context})"
        )
    return Target(context, kubeconfig, image_registry.rstrip("/"))


def with_registry(manifest: dict[str, Any], registry: str) -> dict[str, Any]:
    """A manifest whose containers have their images from a registry, wherever in it the containers are."""
    if not registry:
        return manifest

    def moved(value: Any, key: str = "") -> Any:
        if isinstance(value, list):
            return [moved(item, key) for item in value]
        if isinstance(value, dict):
            image = {"image": f"{registry}/{value['image']}"} if key in WORKLOADS and "image" in value else {}
            return {name: moved(item, name) for name, item in value.items()} | image
        return value

    result: dict[str, Any] = moved(manifest)
    return result
