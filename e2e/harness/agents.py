"""Telling a running workload (``e2e.workload``) what to use."""

from typing import Any

from kubernetes.client import ApiException

from e2e.harness.cluster import Cluster
from e2e.harness.tenants import PORT
from e2e.harness.wait import NotYet, wait_until


class Agent:
    """One agent's pod, told through the API server's proxy, so that this machine need not reach pods."""

    def __init__(self, cluster: Cluster, tenant: str, pod: str) -> None:
        self._cluster = cluster
        self._proxy = f"/api/v1/namespaces/{tenant}/pods/{pod}:{PORT}/proxy"
        self.tenant = tenant
        self.pod = pod

    def burn(self, cores: int, *, percent: int = 100) -> None:
        """From now on it keeps so many cores busy, each for part of the time, as far as its limit lets it."""
        self._cluster.request("POST", f"{self._proxy}/burn", {"cores": str(cores), "percent": str(percent)})

    def hold(self, size_bytes: int) -> None:
        """From now on it holds so many bytes of touched memory."""
        self._cluster.request("POST", f"{self._proxy}/hold", {"bytes": str(size_bytes)})

    def open_files(self, count: int) -> None:
        """From now on it keeps so many files open beyond those that it needs."""
        self._cluster.request("POST", f"{self._proxy}/files", {"count": str(count)})

    def start_processes(self, count: int) -> None:
        """From now on it has so many idle processes beside its own."""
        self._cluster.request("POST", f"{self._proxy}/processes", {"count": str(count)})

    def write(self, size_bytes: int) -> None:
        """It writes so many bytes, and they are on the disk when this returns. Needs a scratch volume."""
        self._cluster.request("POST", f"{self._proxy}/write", {"bytes": str(size_bytes)})

    def state(self) -> dict[str, Any]:
        """What it burns, holds and so on."""
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
