"""Which images nodes lack. A node lists only some of those that it has, so the others are tried by a pod."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Final

from e2e.harness.cluster import POD, Cluster, Manifest
from e2e.harness.wait import DeadlineExceededError, NotYet, wait_until

PULL_SECONDS: Final = 180.0
THERE: Final = "there"
NOT_PULLED: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"})
NOT_KNOWN: Final = frozenset({"ContainerCreating", "PodInitializing", ""})


def missing(cluster: Cluster, nodes: Sequence[Manifest], images: Collection[str]) -> dict[str, str]:
    """``NODE: IMAGE`` → why, of those that a node has not and can't get from the target's registry."""
    prefix = f"{cluster.target.image_registry}/" if cluster.target.image_registry else ""
    lacking = {
        node["metadata"]["name"]: [image for image in images if not listed(node, f"{prefix}{image}")]
        for node in nodes
    }
    lacking = {node: unlisted for node, unlisted in lacking.items() if unlisted}
    if not lacking:
        return {}
    found: dict[str, str] = {}
    with cluster.temporary_namespaces("e2e", "images") as (namespace,):
        for number, (node, unlisted) in enumerate(lacking.items()):
            cluster.apply(user(namespace, f"images-{number}", node, unlisted))
        for number, node in enumerate(lacking):
            tried = _tried(cluster, namespace, f"images-{number}")
            found |= {f"{node}: {image}": why for image, why in tried}
    return found


def _tried(cluster: Cluster, namespace: str, name: str) -> list[tuple[str, str]]:
    """Of a pod's images those that the node has not and can't get, and why."""
    pod: Manifest = {}

    def known() -> bool:
        pod.update(cluster.get(POD, name, namespace))
        containers = pod["spec"]["containers"]
        states = {item["name"]: item for item in pod["status"].get("containerStatuses", [])}
        if waiting := [item["image"] for item in containers if verdict(states.get(item["name"])) is None]:
            raise NotYet(", ".join(waiting))
        return True

    with suppress(DeadlineExceededError):
        wait_until(known, what="images", deadline_seconds=PULL_SECONDS, poll_seconds=0.5)
    states = {item["name"]: item for item in pod["status"].get("containerStatuses", [])}
    tried = [
        (item["image"], verdict(states.get(item["name"])) or f"not pulled within {PULL_SECONDS:.0f} s")
        for item in pod["spec"]["containers"]
    ]
    return [(image, why) for image, why in tried if why != THERE]


def verdict(status: Manifest | None) -> str | None:
    """`THERE` once a container's status shows that its image is, why not where it can't be had, else None."""
    state: dict[str, Any] = (status or {}).get("state", {})
    if waiting := state.get("waiting"):
        reason = waiting.get("reason", "")
        if reason in NOT_PULLED:
            return str(waiting.get("message") or reason)
        return None if reason in NOT_KNOWN else THERE
    return THERE if state else None


def user(namespace: str, name: str, node: str, images: Sequence[str]) -> Manifest:
    """A pod that has these images and does nothing with them."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": f"image-{number}",
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["true"],
                }
                for number, image in enumerate(images)
            ],
        },
    }


def listed(node: Manifest, image: str) -> bool:
    """Whether the node says that it has an image; it names only some."""
    host, _, rest = image.partition("/")
    registry = rest and ("." in host or ":" in host or host == "localhost")
    full = image if registry else f"docker.io/{image}"
    return any(full in each.get("names", []) for each in node["status"].get("images", []))
