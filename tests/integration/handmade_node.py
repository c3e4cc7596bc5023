"""A node without a machine: a test is its kubelet, its cgroup files and its agent.

What the controller makes of reports can so be shown moment by moment, while the real nodes' agents write
theirs. Pods are bound to it by name; what they declare is "in force" as soon as its kubelet has seen it. It
says of no operating system that it has it, so no DaemonSet runs there.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Self

from e2e.cluster.settings import NAMESPACE as OPERATOR_NAMESPACE
from e2e.harness import tenants
from e2e.harness.cluster import NODE, NODE_REPORT, POD, Cluster, Manifest
from tenantquota.domain.quantities import parse_cpu_milli, parse_memory_bytes

AGENT_USER: Final = f"system:serviceaccount:{OPERATOR_NAMESPACE}:tenantquota-node"
POLL_SECONDS: Final = 0.1


@dataclass
class Cgroup:
    """The limits that the files of one container hold, and what it uses."""

    cpu_limit_milli: int
    memory_limit_bytes: int
    cpu_milli: int = 0
    memory_bytes: int = 0
    stuck: bool = False
    """Nobody can change it: what the kubelet writes is lost."""


@dataclass(frozen=True)
class Leak:
    """A leak that the agent is sure of."""

    pod: str
    kind: str = "memory_fast"
    rate_per_minute: int = 60 * 2**20
    since: str = field(default_factory=lambda: _written(datetime.now(UTC)))
    evidence: str = "memory at its lowest went from 20 to 80 MiB"


@dataclass
class HandmadeNode:
    cluster: Cluster
    name: str
    namespace: str
    """Of the pods that may run on it."""
    period_seconds: int = 600
    """Of its agent; by default, one missing heartbeat is none."""
    cgroups: dict[str, Cgroup] = field(default_factory=dict)
    """By pod, each of one container."""
    leaks: list[Leak] = field(default_factory=list)
    asked: dict[str, list[str]] = field(default_factory=dict)
    """The CPU limits that the kubelet was asked for, by pod."""
    memory_asked: dict[str, list[int]] = field(default_factory=dict)
    """The memory limits that it was asked for, in bytes, by pod."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _failures: list[Exception] = field(default_factory=list)

    def __enter__(self) -> Self:
        taints = [{"key": "tenantquota.io/handmade", "effect": "NoSchedule"}]
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}},
                "spec": {"taints": taints},
            }
        )
        room = {"cpu": "16", "memory": "16Gi", "pods": "110"}  # a resize has to fit
        self.cluster.patch(NODE, self.name, None, {"status": {"allocatable": room}}, subresource="status")
        self._kubelet = threading.Thread(target=self._run, name=f"kubelet of {self.name}")
        self._kubelet.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._kubelet.join()
        for pod in self._pods():
            self.cluster.kubectl(
                *("delete", "pod", pod["metadata"]["name"], f"--namespace={self.namespace}"),
                *("--grace-period=0", "--force", "--ignore-not-found"),
            )
        self.cluster.delete(NODE_REPORT, self.name)
        self.cluster.delete(NODE, self.name)
        if self._failures and error is None:
            raise self._failures[0]

    def start(self, *pods: str) -> None:
        """Agents' pods; they "run" as soon as the kubelet has looked."""
        for name in pods:
            pod = tenants.agent(name, self.namespace)
            pod["spec"]["nodeName"] = self.name
            self.cluster.apply(pod)

    def report(self, *, age_seconds: float = 0) -> None:
        """The agent looks at the cgroups and writes what it sees; or as its clock, so much behind, has it."""
        heartbeat = datetime.fromtimestamp(datetime.now(UTC).timestamp() - age_seconds, UTC)
        uids = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self._pods()}
        body = {
            "apiVersion": NODE_REPORT.api_version,
            "kind": NODE_REPORT.name,
            "metadata": {"name": self.name},
            "heartbeat": _written(heartbeat),
            "periodSeconds": self.period_seconds,
            "containers": [
                {
                    "namespace": self.namespace,
                    "pod": pod,
                    "uid": uids[pod],
                    "name": tenants.CONTAINER,
                    "tenant": self.namespace,
                    "cpuLimitMilli": cgroup.cpu_limit_milli,
                    "memoryLimitBytes": cgroup.memory_limit_bytes,
                    "cpuMilli": cgroup.cpu_milli,
                    "memoryBytes": cgroup.memory_bytes,
                }
                for pod, cgroup in self.cgroups.items()
                if pod in uids
            ],
            "findings": [
                {
                    "namespace": self.namespace,
                    "pod": leak.pod,
                    "uid": uids[leak.pod],
                    "name": tenants.CONTAINER,
                    "tenant": self.namespace,
                    "kind": leak.kind,
                    "stage": "confirmed",
                    "since": leak.since,
                    "ratePerMinute": leak.rate_per_minute,
                    "evidence": leak.evidence,
                }
                for leak in self.leaks
                if leak.pod in uids
            ],
        }
        self.cluster.apply(
            body,
            headers={
                "Impersonate-User": AGENT_USER,
                "Impersonate-Extra-authentication.kubernetes.io%2fnode-name": self.name,
            },
        )

    def _pods(self) -> list[Manifest]:
        pods = self.cluster.pods(self.namespace)
        return [pod for pod in pods if pod["spec"].get("nodeName") == self.name]

    def _run(self) -> None:
        try:
            while not self._stop.wait(POLL_SECONDS):
                for pod in self._pods():
                    if pod["status"].get("observedGeneration") != pod["metadata"]["generation"]:
                        self._obey(pod)
        except Exception as error:
            self._failures.append(error)

    def _obey(self, pod: Manifest) -> None:
        """What the pod's spec asks for goes into its cgroup, and the status says so."""
        name, generation = pod["metadata"]["name"], pod["metadata"]["generation"]
        (container,) = pod["spec"]["containers"]
        limits: Mapping[str, str] = container["resources"].get("limits", {})
        if limits:
            self.asked.setdefault(name, []).append(limits["cpu"])
            self.memory_asked.setdefault(name, []).append(parse_memory_bytes(limits["memory"]))
            cgroup = self.cgroups.setdefault(name, Cgroup(0, 0))
            if not cgroup.stuck:
                cgroup.cpu_limit_milli = parse_cpu_milli(limits["cpu"])
                cgroup.memory_limit_bytes = parse_memory_bytes(limits["memory"])
        status: dict[str, Any] = {
            "phase": "Running",
            "observedGeneration": generation,
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}},
                    "resources": container["resources"],
                }
            ],
        }
        self.cluster.patch(POD, name, self.namespace, {"status": status}, subresource="status")


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
