"""Whose a container is: the pods of this node that belong to a tenant, followed at the API server.

While the API server doesn't answer, what was known last stays true: a tenant's pods don't change hands.
"""

import json
import logging
import random
import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from tenantquota.api.names import TENANT_LABEL
from tenantquota.kube.plain import ApiError, ApiServer
from tenantquota.node.containers import Owner

LOG: Final = logging.getLogger(__name__)

PODS: Final = "/api/v1/pods"
PAGE: Final = 50
"""Pods in one answer: some 10 KB each as JSON, and ten times that as objects, which the agent's memory holds
for a moment."""
FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 10.0
_GONE: Final = 410
_STATUSES: Final = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")


class Pod(NamedTuple):
    """What of a pod matters here."""

    tenant: str
    namespace: str
    name: str
    containers: Mapping[str, str]
    """Container id → name, of those that the kubelet has told of."""
    settled: bool
    """The kubelet has told of every container that is to run now."""


def read_pod(manifest: Any) -> tuple[str, Pod]:
    """The pod's uid, and what matters of it.

    Raises:
        ValueError: it is no pod of a tenant.
    """
    try:
        metadata, spec, status = manifest["metadata"], manifest["spec"], manifest.get("status", {})
        containers = {
            of["containerID"].rpartition("//")[2]: of["name"]
            for statuses in _STATUSES
            for of in status.get(statuses) or ()
            if of.get("containerID")
        }
        pod = Pod(
            tenant=metadata["labels"][TENANT_LABEL],
            namespace=metadata["namespace"],
            name=metadata["name"],
            containers=containers,
            settled=_is_settled(spec, status),
        )
        return metadata["uid"], pod
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a pod of a tenant: {error!r}") from error


def _is_settled(spec: Any, status: Any) -> bool:
    states = {of["name"]: of.get("state") or {} for of in status.get("containerStatuses") or ()}
    restarts = spec.get("restartPolicy", "Always")
    return all(_is_final(states.get(of["name"], {}), restarts) for of in spec["containers"])


def _is_final(state: Any, restart_policy: str) -> bool:
    """The container runs, or has ended for good."""
    if "running" in state:
        return True
    ended = state.get("terminated")
    if ended is None or restart_policy == "Always":
        return False
    return restart_policy == "Never" or ended.get("exitCode") == 0


class PodIndex:
    """The pods by uid. Written by one thread, read by any."""

    def __init__(self) -> None:
        self._pods: dict[str, Pod] = {}
        self._revision = 0
        self.complete = False
        """Whether all pods were ever known."""

    @property
    def revision(self) -> int:
        return self._revision

    def __len__(self) -> int:
        return len(self._pods)

    def owner_of(self, pod_uid: str, container_id: str) -> Owner | None:
        """See ``containers.Owners``.

        A container that the kubelet has not told of yet is its pod's as long as another one is awaited there;
        afterwards what is left without a name is the pause container.
        """
        pod = self._pods.get(pod_uid)
        if pod is None:
            return None
        name = pod.containers.get(container_id)
        if name is None and pod.settled:
            return None
        return Owner(pod.tenant, pod.namespace, pod.name, name or "")

    def replace(self, pods: Mapping[str, Pod]) -> None:
        """These are all."""
        if self._pods != pods:
            self._pods = dict(pods)
            self._revision += 1
        self.complete = True

    def put(self, uid: str, pod: Pod) -> None:
        if self._pods.get(uid) != pod:
            self._pods[uid] = pod
            self._revision += 1

    def drop(self, uid: str) -> None:
        if self._pods.pop(uid, None) is not None:
            self._revision += 1


class PodWatch:
    """Keeps an index true: lists the pods once, then follows the changes, for as long as the program runs.

    Args:
        stop: ends ``run`` at the next event or delay.
    """

    def __init__(self, api: ApiServer, node: str, index: PodIndex, stop: threading.Event) -> None:
        self._api = api
        self._index = index
        self._stop = stop
        self._selection = {
            "fieldSelector": f"spec.nodeName={node}",
            "labelSelector": TENANT_LABEL,
        }
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
        pods: dict[str, Pod] = {}
        page: dict[str, str] = {}
        while True:
            answer = self._api.get(PODS, {**self._selection, "limit": PAGE, **page})
            try:
                pods.update(read_pod(item) for item in answer.get("items") or ())
                metadata = answer["metadata"]
                version = str(metadata["resourceVersion"])
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"not a list of pods: {error!r}") from error
            if not metadata.get("continue"):
                break
            page = {"continue": metadata["continue"]}
        self._index.replace(pods)
        self._version = version
        LOG.info("%d pods of tenants on this node", len(pods))

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
        with self._api.lines(PODS, query) as lines:
            self._take(lines)
        if self._version == known:
            self._fruitless += 1  # no failure, but nothing to hurry for

    def _take(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            try:
                event = json.loads(line)
                kind, manifest = event["type"], event["object"]
                if kind == "ERROR":
                    raise ApiError(f"watch of pods: {manifest.get('message')}", manifest.get("code"))
                version = manifest["metadata"]["resourceVersion"]
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"not a watch event: {error!r}") from error
            if kind == "DELETED":
                self._index.drop(manifest["metadata"].get("uid", ""))
            elif kind != "BOOKMARK":
                self._index.put(*read_pod(manifest))
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
