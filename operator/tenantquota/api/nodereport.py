"""``NodeReport``, cluster-scoped, one per node and of its name: what the node's cgroup files hold.

Written by the node's agent alone (a ValidatingAdmissionPolicy refuses every other), read by the controller.
Field names are short, since a report of 250 containers is written as a whole. CPU in milli-CPU, memory in
bytes: a report is between programs, so its numbers are plain integers.
"""

from typing import Final

from pydantic import Field

from tenantquota.api.leaks import Kind, Stage
from tenantquota.api.part import Part
from tenantquota.api.schema import Timestamp
from tenantquota.api.stalls import Resource

MAX_CONTAINERS: Final = 500
"""The bound of a report's size: two containers in each of the 250 pods that a node may hold."""
MAX_FINDINGS: Final = 100


class ContainerReport(Part):
    """One container: the limits in force, and what it uses."""

    namespace: str = Field(max_length=63, description="The pod's namespace.")
    pod: str = Field(max_length=253, description="The pod's name.")
    uid: str = Field(max_length=36, description="The pod's uid: a pod of the same name may be another one.")
    name: str = Field(max_length=63, description="The container's name.")
    tenant: str = Field(max_length=63, description="The tenant whom it is counted to.")
    cpu_limit_milli: int | None = Field(
        None, ge=0, description="The CPU limit that the cgroup holds, in thousandths of a core; absent: none."
    )
    memory_limit_bytes: int | None = Field(
        None, ge=0, description="The memory limit that the cgroup holds; absent: none."
    )
    cpu_milli: int | None = Field(
        None, ge=0, description="CPU used over the last seconds, in thousandths of a core."
    )
    memory_bytes: int | None = Field(None, ge=0, description="Working set: memory that can't be taken back.")


class CapReport(Part):
    """A container of a tenant that yields while others go on waiting for it."""

    uid: str = Field(max_length=36, description="The pod's uid.")
    name: str = Field(max_length=63, description="The container's name.")
    cpu_limit_milli: int = Field(
        ge=10, description="The CPU limit that it is to have at most, in thousandths of a core."
    )


class HoldReport(Part):
    """A tenant that wants more than its share of the node's CPU, and gets what others leave."""

    tenant: str = Field(max_length=63, description="The tenant that yields.")
    since: Timestamp = Field(description="Since when it yields.")
    victims: tuple[str, ...] = Field(
        (), max_length=MAX_CONTAINERS, description="The tenants whom it was seen to make wait."
    )
    message: str = Field(max_length=1024, description="What was measured, in words that a person can check.")
    caps: tuple[CapReport, ...] = Field(
        (),
        max_length=MAX_CONTAINERS,
        description="Its containers that get a lower CPU limit besides.",
    )


class HarmReport(Part):
    """A tenant that makes others stall for I/O or memory. Nothing is done about it on the node."""

    tenant: str = Field(max_length=63, description="The tenant that has more than its due.")
    resource: Resource = Field(description="What the others stall for.")
    since: Timestamp = Field(description="Since when it was seen.")
    victims: tuple[str, ...] = Field(
        max_length=MAX_CONTAINERS, description="The tenants whom it was seen to make stall."
    )
    message: str = Field(max_length=1024, description="What was measured, in words that a person can check.")


class LeakReport(Part):
    """A leak or a runaway that is confirmed and goes on."""

    namespace: str = Field(max_length=63, description="The pod's namespace.")
    pod: str = Field(max_length=253, description="The pod's name.")
    uid: str = Field(max_length=36, description="The pod's uid.")
    name: str = Field(max_length=63, description="The container's name.")
    tenant: str = Field(max_length=63, description="The tenant whom it is counted to.")
    kind: Kind = Field(description="What leaks or runs away.")
    stage: Stage = Field(description="How sure it is; only what is confirmed is told.")
    since: Timestamp = Field(description="When the evidence begins.")
    rate_per_minute: int = Field(
        ge=0, description="What is taken a minute: bytes, files or processes; of CPU, core-seconds."
    )
    limit_in_seconds: int | None = Field(
        None, ge=0, description="How long after the heartbeat the memory limit is hit if it goes on so."
    )
    evidence: str = Field(max_length=256, description="What was seen, in words that a person can check.")


class NodeReport(Part):
    """What the agent of one node last saw. Written when something changes, and otherwise as a heartbeat."""

    heartbeat: Timestamp = Field(description="When the agent last looked; an old one means that it is gone.")
    period_seconds: int = Field(
        ge=1, le=3600, description="The longest time between two heartbeats while the agent is well."
    )
    containers: tuple[ContainerReport, ...] = Field(
        (), max_length=MAX_CONTAINERS, description="The tenants' containers that run on the node."
    )
    holds: tuple[HoldReport, ...] = Field(
        (), max_length=MAX_CONTAINERS, description="The tenants that yield to others on the node."
    )
    pressure: bool = Field(
        False,
        description="Whether the node's kernel tells who stalls for I/O and memory; without, nothing is known"
        " of it.",
    )
    harms: tuple[HarmReport, ...] = Field(
        (), max_length=MAX_CONTAINERS, description="The tenants that make others stall for I/O or memory."
    )
    findings: tuple[LeakReport, ...] = Field(
        (), max_length=MAX_FINDINGS, description="Leaks and runaways in these containers."
    )
