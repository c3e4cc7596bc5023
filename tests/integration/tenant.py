"""One tenant of a test: a namespace with agents, its quota, and what the cgroup files say."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from e2e.harness import tenants
from e2e.harness.agents import Agent
from e2e.harness.cgroups import read_all
from e2e.harness.cluster import POD, TENANT_QUOTA, Cluster, Kind, Manifest, condition
from e2e.harness.readings import CgroupError, Reading
from e2e.harness.rollout import roll_out
from e2e.harness.wait import NotYet, wait_until

MI = 2**20
LIMIT_DEADLINE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Tenant:
    cluster: Cluster
    namespace: str

    def quota(self, cpu: str, memory: str, **fields: Any) -> None:
        """Creates or changes the tenant's quota."""
        own_name = {"tenant": fields.pop("tenant")} if "tenant" in fields else {}
        manifest = tenants.quota(self.namespace, cpu=cpu, memory=memory, **fields)
        manifest["spec"] |= own_name
        self.cluster.apply(manifest)

    def start(self, *names: str, **fields: Any) -> None:
        """Agents, running when this returns, none of them begun anew."""
        roll_out(self.cluster, [tenants.agent(name, self.namespace, **fields) for name in names])

    def apply(self, *pods: Manifest) -> None:
        self.cluster.apply(*pods)
        self.cluster.wait_ready(self.namespace, len(self.cluster.pods(self.namespace)))

    def agent(self, name: str) -> Agent:
        return Agent(self.cluster, self.namespace, name)

    def pod(self, name: str) -> Manifest:
        return self.cluster.get(POD, name, self.namespace)

    def resources(self, name: str) -> Manifest:
        """The ``resources`` of the pod's first container as its spec has them."""
        found: Manifest = self.pod(name)["spec"]["containers"][0]["resources"]
        return found

    def cgroups(self) -> dict[str, Reading]:
        """``POD/CONTAINER`` → its cgroup."""
        containers = self.cluster.running(self.namespace)
        try:
            readings = read_all(containers)
        except CgroupError as error:
            raise NotYet(str(error)) from error
        return {f"{container.pod}/{container.name}": reading for container, reading in readings.items()}

    def wait_limits(
        self, cpu_milli: int, memory_mi: int, *containers: str, deadline_seconds: float = 30
    ) -> None:
        """Until the cgroup files hold these, for the containers (``POD/CONTAINER``) or all of them."""
        self.wait_cgroups(
            lambda reading: (
                reading.cpu_limit_millicores == cpu_milli and reading.memory_limit_bytes == memory_mi * MI
            ),
            f"limits of {cpu_milli}m and {memory_mi}Mi in the cgroup files",
            *containers,
            deadline_seconds=deadline_seconds,
        )

    def wait_cgroups(
        self,
        wanted: Callable[[Reading], bool],
        what: str,
        *containers: str,
        deadline_seconds: float = LIMIT_DEADLINE_SECONDS,
    ) -> dict[str, Reading]:
        def there() -> dict[str, Reading]:
            found = self.cgroups()
            lacking = {
                name: (reading.cpu_limit_millicores, reading.memory_limit_bytes)
                for name, reading in found.items()
                if (not containers or name in containers) and not wanted(reading)
            }
            if lacking or not found.keys() >= set(containers):
                raise NotYet(f"not so: {lacking or containers}; Enforced is {self.condition('Enforced')}")
            return found

        return wait_until(there, what=what, deadline_seconds=deadline_seconds)

    def wait_gone(self, kind: Kind, name: str) -> None:
        wait_until(
            lambda: self.cluster.gone(kind, name, self.namespace),
            what=f"{kind.name} {name} to be gone",
            deadline_seconds=60,
        )

    def status(self, name: str = tenants.QUOTA) -> Manifest:
        """Empty where there is no such quota, or nobody has looked at it yet."""
        quotas = self.cluster.objects(TENANT_QUOTA, self.namespace)
        found = (quota.get("status", {}) for quota in quotas if quota["metadata"]["name"] == name)
        return next(found, {})

    def condition(self, kind: str, name: str = tenants.QUOTA) -> Manifest:
        return condition({"status": self.status(name)}, kind) or {}

    def wait_condition(
        self,
        kind: str,
        status: str,
        reason: str,
        *,
        name: str = tenants.QUOTA,
        says: str = "",
        deadline_seconds: float = LIMIT_DEADLINE_SECONDS,
    ) -> str:
        """The message of the condition once it is so for the quota's present generation."""

        def so() -> str:
            generation = self.cluster.get(TENANT_QUOTA, name, self.namespace)["metadata"]["generation"]
            found = self.condition(kind, name)
            current = found.get("observedGeneration") == generation
            if (
                not current
                or (found["status"], found["reason"]) != (status, reason)
                or says not in found["message"]
            ):
                raise NotYet(f"it is {found} at generation {generation}")
            return str(found["message"])

        return wait_until(so, what=f"{kind}={status} ({reason})", deadline_seconds=deadline_seconds)

    def events(self, about: str) -> list[tuple[str, str]]:
        """(reason, note) of the Events about an object of that name."""
        found = self.cluster.request("GET", f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")
        return [
            (event["reason"], event["note"])
            for event in found["items"]
            if event["regarding"]["name"] == about
            and event["reportingController"] == "tenantquota.io/controller"
        ]

    def wait_event(self, about: str, reason: str, says: str = "") -> str:
        def told() -> str:
            notes = [note for found, note in self.events(about) if found == reason and says in note]
            if not notes:
                raise NotYet(f"there are {self.events(about)}")
            return notes[0]

        return wait_until(
            told, what=f"an Event {reason} about {about}", deadline_seconds=LIMIT_DEADLINE_SECONDS
        )


def quiet(check: Callable[[], bool], seconds: float) -> None:
    """Fails as soon as ``check`` no longer holds, over some seconds: for what must not happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert check()
        time.sleep(0.2)
