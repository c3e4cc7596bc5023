"""The API server, by the official client: the few operations that tests need, on plain manifests."""

import secrets
import subprocess
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from kubernetes import config
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException
from kubernetes.dynamic import DynamicClient, Resource
from kubernetes.dynamic.exceptions import ForbiddenError, NotFoundError
from urllib3.exceptions import HTTPError

from e2e.harness import many
from e2e.harness.target import LOCAL, Target, with_registry
from e2e.harness.wait import NotYet, wait_until

Manifest = dict[str, Any]
REQUEST_TIMEOUT_SECONDS = 30
QUOTA_IS_NEW: Final = "the quota is seconds old: try again"
"""The API server's mutating policies don't know a quota yet that its validating ones do."""
QUOTA_KNOWN_SECONDS: Final = 10


@dataclass(frozen=True)
class Kind:
    """A kind of resource, as in a manifest."""

    api_version: str
    name: str


POD: Final = Kind("v1", "Pod")
NODE: Final = Kind("v1", "Node")
NAMESPACE: Final = Kind("v1", "Namespace")
SERVICE_ACCOUNT: Final = Kind("v1", "ServiceAccount")
EVENT: Final = Kind("v1", "Event")
RESOURCE_QUOTA: Final = Kind("v1", "ResourceQuota")
DEPLOYMENT: Final = Kind("apps/v1", "Deployment")
DAEMON_SET: Final = Kind("apps/v1", "DaemonSet")
NODE_REPORT: Final = Kind("tenantquota.io/v1alpha1", "NodeReport")
TENANT_QUOTA: Final = Kind("tenantquota.io/v1alpha1", "TenantQuota")


@dataclass(frozen=True, order=True)
class Container:
    """A running container.

    Attributes:
        id: containerd's id, 64 hexadecimal digits; a restart gives another.
        restarts: the kubelet's count.
    """

    namespace: str
    pod: str
    name: str
    node: str
    id: str
    restarts: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.pod}/{self.name}"


class NoClusterError(Exception):
    """There is no cluster to test on."""


class Cluster:
    """One cluster, as its administrator."""

    def __init__(self, target: Target = LOCAL) -> None:
        """
        Raises:
            NoClusterError: when the kubeconfig has no such context or the API server doesn't answer.
        """
        self.target = target
        self.context = target.context
        try:
            client = config.new_client_from_config(target.kubeconfig or None, context=target.context)
            # an API server that was made anew on the same port would be misread from a kept cache
            self._client = DynamicClient(client)
            self._client.resources.invalidate_cache()
        except (ConfigException, OSError, HTTPError, ApiException) as error:
            where = f" of {target.kubeconfig}" if target.kubeconfig else ""
            hint = "run 'make up'" if target == LOCAL else "see what kubectl says there"
            raise NoClusterError(
                f"no cluster answers in context {target.context}{where}: {hint} ({error})"
            ) from error

    @property
    def version(self) -> str:
        """The API server's version, such as ``v1.37.2``."""
        return str(self._client.version["kubernetes"]["gitVersion"])

    @property
    def configuration(self) -> Any:
        """How to get at the API server: a ``kubernetes.client.Configuration``."""
        return self._client.configuration

    @property
    def kubectl_command(self) -> tuple[str, ...]:
        """What kubectl's arguments are put behind."""
        return self.target.kubectl

    def kubectl(self, *arguments: str, timeout_seconds: float = 60) -> str:
        """What kubectl prints.

        Raises:
            subprocess.CalledProcessError: when it fails; ``stderr`` says why.
        """
        command = [*self.kubectl_command, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout_seconds)
        return done.stdout

    def apply(
        self, *manifests: Manifest, manager: str = "e2e", headers: Mapping[str, str] | None = None
    ) -> None:
        """Server-side apply, one manifest after the other. Whom the API server tells to try again does so.

        Args:
            headers: further ones, such as whom to impersonate.
        """
        for manifest in manifests:
            resource = self._resource(Kind(manifest["apiVersion"], manifest["kind"]))

            def applied(manifest: Manifest = manifest, resource: Resource = resource) -> bool:
                try:
                    resource.server_side_apply(
                        with_registry(manifest, self.target.image_registry),
                        namespace=manifest["metadata"].get("namespace"),
                        field_manager=manager,
                        force_conflicts=True,
                        header_params=dict(headers or {}),
                        _request_timeout=REQUEST_TIMEOUT_SECONDS,
                    )
                except ForbiddenError as error:
                    if QUOTA_IS_NEW in str(error.body):
                        raise NotYet(str(error)) from error
                    raise
                return True

            wait_until(applied, what="the quota to be known", deadline_seconds=QUOTA_KNOWN_SECONDS)

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest:
        """
        Raises:
            kubernetes.dynamic.exceptions.NotFoundError: when there is no such object.
        """
        found = self._resource(kind).get(name, namespace, _request_timeout=REQUEST_TIMEOUT_SECONDS)
        return _manifest(found)

    def objects(self, kind: Kind, namespace: str | None = None, *, selector: str = "") -> list[Manifest]:
        """Objects of a kind, by label selector, in every namespace where none is given."""
        found = self._resource(kind).get(
            namespace=namespace,
            label_selector=selector,
            serializer=_as_it_is,
            _request_timeout=REQUEST_TIMEOUT_SECONDS,
        )
        return [{"apiVersion": kind.api_version, "kind": kind.name, **item} for item in found["items"]]

    def patch(
        self, kind: Kind, name: str, namespace: str | None, patch: Manifest, *, subresource: str = ""
    ) -> Manifest:
        """A merge patch of an object or of one of its subresources, such as ``status``."""
        resource = self._resource(kind)
        return _manifest(
            (resource.subresources[subresource] if subresource else resource).patch(
                patch,
                name,
                namespace,
                content_type="application/merge-patch+json",
                _request_timeout=REQUEST_TIMEOUT_SECONDS,
            )
        )

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> None:
        """Asks for deletion and doesn't wait; an object that is gone already is fine."""
        with suppress(NotFoundError):
            self._resource(kind).delete(name, namespace, _request_timeout=REQUEST_TIMEOUT_SECONDS)

    def gone(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        """Whether there is no such object."""
        try:
            self.get(kind, name, namespace)
        except NotFoundError:
            return True
        return False

    def request(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The answer of any path of the API server, such as a pod's proxy: parsed where it is JSON."""
        return self._client.request(
            method,
            path,
            query_params=list((query or {}).items()),
            serializer=lambda _, parsed: parsed,
            _request_timeout=REQUEST_TIMEOUT_SECONDS,
        )

    def pods(self, namespace: str, *, selector: str = "") -> list[Manifest]:
        """Pods that are not being deleted."""
        found = self.objects(POD, namespace, selector=selector)
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def running(self, namespace: str, *, selector: str = "") -> list[Container]:
        """Every running container of a namespace, init containers that stay (sidecars) included."""
        return [
            container
            for pod in self.pods(namespace, selector=selector)
            for container in running_containers(pod)
        ]

    def wait_ready(
        self, namespace: str, count: int, *, selector: str = "", deadline_seconds: float = 120
    ) -> list[Container]:
        """The containers of ``count`` pods, as soon as exactly that many are there and all are Ready.

        Raises:
            DeadlineExceededError: with the state of the pods that are not.
        """

        def ready() -> list[Container]:
            pods = self.pods(namespace, selector=selector)
            waiting = [pod for pod in pods if not is_ready(pod)]
            if waiting or len(pods) != count:
                raise NotYet(
                    f"{len(pods) - len(waiting)} of {count} are; {'; '.join(map(state, waiting[:3]))}"
                )
            return [container for pod in pods for container in running_containers(pod)]

        return wait_until(
            ready,
            what=f"{count} Ready pods in namespace {namespace}",
            deadline_seconds=deadline_seconds,
            poll_seconds=0.25,
        )

    @contextmanager
    def temporary_namespaces(self, prefix: str, *suffixes: str, patient: bool = True) -> Iterator[list[str]]:
        """Namespaces ``PREFIX-RANDOM-SUFFIX``, gone with all that is in them at the end.

        Args:
            patient: else their deletion is only asked for. It takes ten seconds, in which next to nothing
                happens on the nodes where the pods are gone before.
        """
        run = f"{prefix}-{secrets.token_hex(2)}"
        names = [f"{run}-{suffix}" for suffix in suffixes]
        manifests: list[Manifest] = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names
        ]
        try:
            many.each(self.apply, manifests)
            self.wait_for_accounts(names)
            yield names
        finally:
            if patient:
                self.delete_namespaces(names)
            else:
                many.each(lambda name: self.delete(NAMESPACE, name), names)

    def wait_for_accounts(self, namespaces: Collection[str]) -> None:
        """Until pods are accepted there: a controller makes the account that they run as."""

        def all_there() -> bool:
            accounts = [each["metadata"] for each in self.objects(SERVICE_ACCOUNT)]
            having = {each["namespace"] for each in accounts if each["name"] == "default"}
            if lacking := set(namespaces) - having:
                raise NotYet(f"{len(lacking)} have none, such as {min(lacking)}")
            return True

        wait_until(all_there, what="the default ServiceAccount of new namespaces", deadline_seconds=60)

    def end_pods(self, namespaces: Collection[str], *, deadline_seconds: float = 120) -> None:
        """Deletes the pods with a label ``app`` and waits until they are gone. A namespace that is deleted
        with pods in it looks again after half of their grace, however soon they end."""
        pods = self._resource(POD)
        many.each(
            lambda name: pods.delete(
                namespace=name, label_selector="app", _request_timeout=REQUEST_TIMEOUT_SECONDS
            ),
            namespaces,
        )

        def ended() -> bool:
            left = [each["metadata"] for each in self.objects(POD, selector="app")]
            if here := [each["name"] for each in left if each["namespace"] in namespaces]:
                raise NotYet(f"{len(here)} are left, such as {here[0]}")
            return True

        wait_until(ended, what="deleted pods to be gone", deadline_seconds=deadline_seconds, poll_seconds=0.5)

    def delete_namespaces(self, names: Iterable[str], *, deadline_seconds: float = 180) -> None:
        """Deletes namespaces with all that is in them and waits until they are gone."""
        remaining = set(names)
        many.each(lambda name: self.delete(NAMESPACE, name), remaining)

        def all_gone() -> bool:
            remaining.intersection_update(item["metadata"]["name"] for item in self.objects(NAMESPACE))
            if remaining:
                raise NotYet(f"{len(remaining)} are left, such as {min(remaining)}")
            return True

        wait_until(
            all_gone,
            what="deleted namespaces to be gone",
            deadline_seconds=deadline_seconds,
            poll_seconds=0.5,
        )

    def _resource(self, kind: Kind) -> Resource:
        found: Resource = self._client.resources.get(api_version=kind.api_version, kind=kind.name)
        return found


def condition(manifest: Manifest, name: str) -> Manifest | None:
    """The condition of that type in an object's status."""
    conditions = manifest.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == name), None)


def is_ready(pod: Manifest) -> bool:
    """Whether the pod's Ready condition is True."""
    return (condition(pod, "Ready") or {}).get("status") == "True"


def running_containers(pod: Manifest) -> list[Container]:
    """Those of a pod, init containers that stay (sidecars) included."""
    status = pod.get("status", {})
    return [
        Container(
            namespace=pod["metadata"]["namespace"],
            pod=pod["metadata"]["name"],
            name=item["name"],
            node=pod["spec"]["nodeName"],
            id=item["containerID"].rpartition("/")[2],
            restarts=item["restartCount"],
        )
        for item in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
        if "running" in item.get("state", {})
    ]


def state(pod: Manifest) -> str:
    """Why a pod isn't Ready, in a few words."""
    status = pod.get("status", {})
    reasons = [
        text
        for item in status.get("containerStatuses", [])
        for state in item.get("state", {}).values()
        if (text := f"{state.get('reason', '')} {state.get('message', '')}".strip())
    ]
    scheduled = condition(pod, "PodScheduled") or {}
    if scheduled.get("status") == "False":
        reasons.append(scheduled.get("message", ""))
    return f"{pod['metadata']['name']} is {status.get('phase', 'new')} {', '.join(reasons)}".strip()


def _as_it_is(_client: DynamicClient, found: Manifest) -> Manifest:
    """In place of an object of the client's own: of a hundred pods that takes 70 ms to make and to undo."""
    return found


def _manifest(found: Any) -> Manifest:
    result: Manifest = found.to_dict()
    return result
