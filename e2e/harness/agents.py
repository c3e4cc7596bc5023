"""Telling a running agent what to do, and sending it requests."""

import json
from dataclasses import dataclass
from typing import Any

from kubernetes.client import ApiException

from e2e.harness.cluster import Cluster
from e2e.harness.tenants import PORT
from e2e.harness.wait import NotYet, wait_until


@dataclass(frozen=True)
class Answers:
    """What came of a load of requests.

    Attributes:
        in_time: how many were answered before the time of the load was over; per second, the throughput.
        latencies_ms: of those answered, each from the moment when the request was due.
    """

    sent: int
    failed: int
    in_time: int
    errors: tuple[str, ...]
    latencies_ms: tuple[float, ...]


class Agent:
    """One agent's pod, told through the API server's proxy, so that this machine need not reach pods."""

    def __init__(self, cluster: Cluster, tenant: str, pod: str) -> None:
        self._cluster = cluster
        self._proxy = f"/api/v1/namespaces/{tenant}/pods/{pod}:{PORT}/proxy"
        self.tenant = tenant
        self.pod = pod

    def burn(self, cores: int) -> None:
        """From now on it keeps so many cores busy, as far as its limit lets it."""
        self._cluster.request("POST", f"{self._proxy}/burn", {"cores": str(cores)})

    def hold(self, size_bytes: int) -> None:
        """From now on it holds so many bytes of touched memory."""
        self._cluster.request("POST", f"{self._proxy}/hold", {"bytes": str(size_bytes)})

    def work(self, units: int) -> None:
        """One request, answered when the work is done."""
        self._cluster.request("GET", f"{self._proxy}/work", {"units": str(units)})

    def state(self) -> dict[str, Any]:
        """The cores that it burns and the bytes that it holds."""
        answer = self._cluster.request("GET", f"{self._proxy}/")
        return dict(answer)

    def wait_answering(self, *, deadline_seconds: float = 30) -> None:
        """
        Raises:
            DeadlineExceededError: with the last error.
        """

        def answers() -> bool:
            try:
                self.state()
            except ApiException as error:
                raise NotYet(f"{error.status} {error.reason}") from error
            return True

        wait_until(
            answers,
            what=f"an answer of agent {self.tenant}/{self.pod}",
            deadline_seconds=deadline_seconds,
        )


def send(
    cluster: Cluster, sender: tuple[str, str], url: str, *, rate_per_second: float, seconds: float
) -> Answers:
    """Requests at a fixed rate from the pod ``sender`` (namespace, name), an agent too.

    Keep the sender's namespace out of the tenants: a load generator inside the tenant that is measured is
    measured along with it.
    """
    namespace, pod = sender
    output = cluster.kubectl(
        *("exec", "--namespace", namespace, pod, "--", "python3", "-I", "-S", "/agent.py", "load", url),
        *("--rate", str(rate_per_second), "--seconds", str(seconds)),
        timeout_seconds=seconds + 90,
    )
    report = json.loads(output)
    return Answers(
        sent=report["sent"],
        failed=report["failed"],
        in_time=report["in_time"],
        errors=tuple(report["errors"]),
        latencies_ms=tuple(report["latencies_ms"]),
    )
