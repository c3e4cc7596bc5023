"""A sampler of the test's own, ticking when the test says so."""

import time
from pathlib import Path
from typing import Final, Self

from e2e.harness.handmade import CGROUP_ROOT
from e2e.harness.handmade import Container as Cgroup
from tenantquota.domain.usage import Rates, rates
from tenantquota.node.cgroups.files import ReadErrors
from tenantquota.node.cgroups.node import NodeCgroups
from tenantquota.node.containers import Container, Owner
from tenantquota.node.pressure import open_gates
from tenantquota.node.processes import Proc
from tenantquota.node.sampler import Sampler, Tick

PROC_ROOT: Final = Path("/proc")


class Owners:
    """Owns the pods that the test names; all others on this machine are nobody's."""

    def __init__(self) -> None:
        self.pods: dict[str, Owner] = {}

    @property
    def revision(self) -> int:
        return len(self.pods)

    def owner_of(self, pod_uid: str, container_id: str) -> Owner | None:
        return self.pods.get(pod_uid)


class Followed:
    """What the node agent knows of the containers that the test owns."""

    def __init__(self) -> None:
        self.errors = ReadErrors()
        self.owners = Owners()
        self.cgroups = NodeCgroups(CGROUP_ROOT, self.errors)
        self._proc = Proc(PROC_ROOT, self.errors)
        self.gates = open_gates(
            self.cgroups.layout.version, PROC_ROOT, CGROUP_ROOT, self.cgroups.tree.kubepods, self.errors
        )
        self.sampler = Sampler(self.cgroups, self._proc, self.owners, self.errors, gates=self.gates)
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sampler.close()
        self.cgroups.close()
        self._proc.close()
        if self.gates:
            self.gates.close()

    def own(self, cgroup: Cgroup) -> None:
        self.owners.pods[cgroup.pod_uid] = Owner("blue", "blue", f"pod-{cgroup.pod_uid}", "agent")

    def tick(self, *, everything: bool = False) -> Tick:
        """
        Args:
            everything: the rare reads too, as if a minute had passed.
        """
        self._number += 60 if everything else 1
        return self.sampler.tick(self._number)

    def __getitem__(self, cgroup: Cgroup) -> Container:
        return next(found for found in self.sampler.containers if found.id == cgroup.id)

    def __contains__(self, cgroup: Cgroup) -> bool:
        return any(found.id == cgroup.id for found in self.sampler.containers)

    def over(self, cgroup: Cgroup, seconds: float) -> Rates:
        """What the container did in so many seconds from now on, sampled every one of them."""
        self.tick()
        before = self[cgroup].samples.latest
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(1.0, left))
            self.tick()
        after = self[cgroup].samples.latest
        assert before is not None
        assert after is not None
        found = rates(before, after)
        assert found is not None
        return found
