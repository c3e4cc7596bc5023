"""The two ways to change the limits of running pods."""

import asyncio
import json
from collections.abc import Collection
from types import TracebackType
from typing import Final, Protocol, Self

from kubernetes.aio import client as aio_client
from kubernetes.aio import config as aio_config

from e2e.harness import tenants
from e2e.harness.cluster import TENANT_QUOTA, Cluster, Container, Manifest, condition
from e2e.harness.wait import NotYet, wait_until

PATCHES_AT_A_TIME: Final = 10
SETTLE_DEADLINE_SECONDS: Final = 60
START_CPU_MILLICORES: Final = 1000
"""What every pod has, and declares, when a change begins. Changes go below: an operator may not go above what
a pod declares."""


class Arm(Protocol):
    """One way to change limits."""

    name: str

    def prepare(self) -> None:
        """Makes this arm the one that holds the pods, whose limits stay as they are."""

    def change(self, cpu_millicores: int) -> None:
        """Asks for a limit; what is timed starts here."""


class OperatorArm:
    """One edit of the quota."""

    name = "operator"

    def __init__(self, cluster: Cluster, tenant: str, memory: str) -> None:
        self._cluster = cluster
        self._tenant = tenant
        self._memory = memory

    def prepare(self) -> None:
        start = tenants.quota(self._tenant, cpu=f"{START_CPU_MILLICORES}m", memory=self._memory)
        self._cluster.apply(start)
        wait_until(
            self._enforced,
            what=f"the quota of {self._tenant} to be Enforced",
            deadline_seconds=SETTLE_DEADLINE_SECONDS,
            poll_seconds=0.25,
        )

    def change(self, cpu_millicores: int) -> None:
        patch = tenants.limits(cpu=f"{cpu_millicores}m")
        self._cluster.patch(TENANT_QUOTA, tenants.QUOTA, self._tenant, patch)

    def _enforced(self) -> bool:
        quota = self._cluster.get(TENANT_QUOTA, tenants.QUOTA, self._tenant)
        found = condition(quota, "Enforced") or {}
        if quota.get("status", {}).get("observedGeneration") != quota["metadata"]["generation"]:
            raise NotYet("the controller hasn't seen the quota's last edit")
        if found.get("status") != "True":
            raise NotYet(found.get("message", "no condition Enforced yet"))
        return True


class BareLoopArm:
    """A patch of every pod, by the official asynchronous client, without a look at what the answers hold."""

    name = "bare loop"

    def __init__(self, cluster: Cluster, containers: Collection[Container]) -> None:
        self._cluster = cluster
        self._containers = list(containers)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._api = self._runner.run(self._connect())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._api.api_client.close())
        self._runner.close()

    def prepare(self) -> None:
        """Nothing: no quota holds the pods where none was made."""

    def change(self, cpu_millicores: int) -> None:
        resources = {"limits": {"cpu": f"{cpu_millicores}m"}}
        patch = {"spec": {"containers": [{"name": tenants.CONTAINER, "resources": resources}]}}
        self._runner.run(self._patch_all(patch))

    async def _connect(self) -> aio_client.CoreV1Api:
        client = await aio_config.new_client_from_config(context=self._cluster.context)
        return aio_client.CoreV1Api(client)

    async def _patch_all(self, patch: Manifest) -> None:
        turns = asyncio.Semaphore(PATCHES_AT_A_TIME)

        async def patch_one(container: Container) -> None:
            async with turns:
                answer = await self._api.patch_namespaced_pod_resize_without_preload_content(
                    container.pod,
                    container.namespace,
                    patch,
                    _content_type="application/strategic-merge-patch+json",
                )
                body = await answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"resize of {container}: {json.loads(body).get('message', body)}")

        async with asyncio.TaskGroup() as tasks:
            for container in self._containers:
                tasks.create_task(patch_one(container))
