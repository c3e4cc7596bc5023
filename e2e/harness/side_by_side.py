"""What the node agent says of containers, between two readings of their cgroup files.

The agent's tick lies between the readings, so a counter must too, to the last digit: no tolerance is needed
to compare them, whatever the containers do meanwhile. They do something: of one that uses next to no CPU the
agent reads most files only now and then.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from e2e.harness.cgroups import NodeCgroups
from e2e.harness.cluster import Container
from e2e.harness.node_agent import NodeAgent, Scrape
from e2e.harness.readings import Reading

ROUNDING: Final = 1e-6
"""Of seconds, where either prints fewer digits than the kernel has."""
COUNTERS: Final[dict[str, Callable[[Reading], float]]] = {
    "cpu_usage_seconds_total": lambda reading: reading.cpu_used_seconds,
    "cpu_periods_total": lambda reading: reading.periods,
    "cpu_throttled_periods_total": lambda reading: reading.throttled_periods,
    "io_read_bytes_total": lambda reading: reading.io_read_bytes,
    "io_written_bytes_total": lambda reading: reading.io_written_bytes,
}
"""``tenantquota_container_...`` and what it is made from."""


@dataclass(frozen=True)
class SideBySide:
    """One tick of the agent and the files just before and after it."""

    before: dict[Container, Reading]
    scrape: Scrape
    after: dict[Container, Reading]

    def outside(self) -> list[str]:
        """The counters of the agent's that are not between the files', in words."""
        found = []
        for container, before in self.before.items():
            for name, of in COUNTERS.items():
                low, high = of(before), of(self.after[container])
                said = self.scrape.container(name, container)
                if not low - ROUNDING <= said <= high + ROUNDING:
                    found.append(
                        f"{container}: {name} is {said}, the cgroup had {low} before and {high} after"
                    )
        return found


def side_by_side(
    agent: NodeAgent, containers: Collection[Container], stir: Callable[[], object]
) -> SideBySide:
    """
    Args:
        stir: has each container use some ms of CPU: enough for the agent to read everything in its next tick.

    Raises:
        CgroupError: when the cgroup of one of them is not there.
        DeadlineExceededError: when the agent doesn't sample.
    """
    cgroups = NodeCgroups(agent.node)
    before = cgroups.read(containers)
    stir()
    scrape = agent.next_tick(time.time())
    return SideBySide(before, scrape, cgroups.read(containers))
