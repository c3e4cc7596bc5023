"""Redis and PostgreSQL as pods, in a namespace of their own that is no tenant's."""

import base64
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from e2e.cluster.deploy import POSTGRES, REDIS
from e2e.cluster.serviceimages import USER
from e2e.harness.cluster import Cluster, Manifest
from e2e.harness.forwarding import forwarded

POSTGRES_PORT: Final = 5432
REDIS_PORT: Final = 6379
PASSWORDS: Final = "passwords"
"""The Secret with the administrators' passwords."""
POSTGRES_PASSWORD: Final = "POSTGRES_PASSWORD"  # noqa: S105 - the name of the variable
REDIS_PASSWORD: Final = "REDIS_PASSWORD"  # noqa: S105
START_SECONDS: Final = 60
"""PostgreSQL makes its database first, in 2 s of CPU."""


@dataclass(frozen=True)
class Services:
    """The two, running.

    Attributes:
        passwords: the administrators', by the name of their environment variable.
        postgres_port, redis_port: on this machine.
    """

    namespace: str
    passwords: Mapping[str, str]
    postgres_port: int
    redis_port: int

    @property
    def postgres_host(self) -> str:
        """Its name in the cluster."""
        return f"postgres.{self.namespace}"

    @property
    def redis_host(self) -> str:
        """Its name in the cluster."""
        return f"redis.{self.namespace}"


@contextmanager
def running(cluster: Cluster) -> Iterator[Services]:
    """Both, empty at the start and gone at the end.

    Raises:
        DeadlineExceededError: when one doesn't get ready, with the state of its pod.
    """
    passwords = {name: secrets.token_hex(16) for name in (POSTGRES_PASSWORD, REDIS_PASSWORD)}
    with cluster.temporary_namespaces("services", "e2e") as (namespace,):
        cluster.apply(secret(namespace, PASSWORDS, passwords), *manifests(namespace))
        cluster.wait_ready(namespace, 2, deadline_seconds=START_SECONDS)
        with (
            forwarded(cluster, namespace, "postgres", POSTGRES_PORT) as postgres_port,
            forwarded(cluster, namespace, "redis", REDIS_PORT) as redis_port,
        ):
            yield Services(namespace, passwords, postgres_port, redis_port)


def secret(namespace: str, name: str, content: Mapping[str, str]) -> Manifest:
    """A Secret with that content."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in content.items()},
    }


def manifests(namespace: str) -> list[Manifest]:
    """The pods, and the Services that lead to them."""
    run = {"name": "run", "mountPath": "/run/postgresql"}
    postgres = _container(
        "postgres",
        POSTGRES.current,
        POSTGRES_PASSWORD,
        mounts=[{"name": "data", "mountPath": "/data"}, run],
        resources={"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
        # over TCP: while the database is being made, nothing listens there
        probe={"exec": {"command": ["pg_isready", "--quiet", "--host=127.0.0.1"]}},
    )
    janitor = {
        "name": "janitor",
        "image": POSTGRES.current,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "/service/janitor.sh"],
        "volumeMounts": [run, {"name": "tmp", "mountPath": "/tmp"}],
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
        "securityContext": _CONTAINER_SECURITY,
    }
    redis = _container(
        "redis",
        REDIS.current,
        REDIS_PASSWORD,
        resources={"requests": {"cpu": "25m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        probe={"tcpSocket": {"port": REDIS_PORT}},
    )
    # its log in memory too: a database that waits for the disk would spoil what is measured
    volumes = [_memory("data", "1Gi"), _memory("run", "16Mi"), _memory("tmp", "16Mi")]
    return [
        _pod(namespace, "postgres", [postgres, janitor], volumes),
        _service(namespace, "postgres", POSTGRES_PORT),
        _pod(namespace, "redis", [redis], [_memory("tmp", "16Mi")]),
        _service(namespace, "redis", REDIS_PORT),
    ]


_CONTAINER_SECURITY: Final = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def _memory(name: str, limit: str) -> Manifest:
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": limit}}


def _container(
    name: str,
    image: str,
    password: str,
    *,
    resources: Manifest,
    probe: Manifest,
    mounts: list[dict[str, Any]] | None = None,
) -> Manifest:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": password, "valueFrom": {"secretKeyRef": {"name": PASSWORDS, "key": password}}}],
        "volumeMounts": [*(mounts or []), {"name": "tmp", "mountPath": "/tmp"}],
        "resources": resources,
        "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": START_SECONDS},
        "readinessProbe": {**probe, "periodSeconds": 10, "timeoutSeconds": 5},
        "securityContext": _CONTAINER_SECURITY,
    }


def _pod(namespace: str, name: str, containers: list[Manifest], volumes: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": containers,
            "volumes": volumes,
        },
    }


def _service(namespace: str, name: str, port: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    }
