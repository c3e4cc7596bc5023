"""The status of a ``TenantQuota``: what is the case, what is held and why, and what was decided lately."""

from enum import StrEnum

from pydantic import Field

from tenantquota.api.enforcement import Enforcement
from tenantquota.api.leaks import Kind
from tenantquota.api.part import Part
from tenantquota.api.schema import Timestamp


class Phase(StrEnum):
    NORMAL = "Normal"
    THROTTLED = "Throttled"
    RECOVERING = "Recovering"


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Part):
    """Kubernetes' ``metav1.Condition``."""

    type: str = Field(max_length=316, description="What the condition is about, such as Ready.")
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        max_length=1024,
        description="One word for machines: why the condition has this status.",
    )
    message: str = Field(max_length=32768, description="For people: what is the case and what to do.")
    last_transition_time: Timestamp = Field(description="When the status last changed.")
    observed_generation: int | None = Field(
        None, ge=0, description="The metadata.generation that the condition is about."
    )


class Usage(Part):
    """What the tenant's agents use together."""

    cpu: str = Field(description="CPU used, in cores, such as 250m.")
    memory: str = Field(description="Memory used, in bytes, such as 300Mi.")


class HeldContainer(Part):
    """A container whose CPU limit a hold lowers."""

    pod: str = Field(max_length=253, description="The pod's name.")
    container: str = Field(max_length=63, description="The container's name.")
    old_limit: str = Field(description="Its CPU limit without the hold.")
    new_limit: str = Field(description="Its CPU limit while held.")


class Hold(Part):
    """A measure against the tenant while it uses more than its budget or harms others."""

    since: Timestamp = Field(description="When the hold began.")
    expires: Timestamp = Field(description="When the hold ends unless it is renewed.")
    reason: str = Field(description="Why the tenant is held, such as CpuOverBudget.")
    evidence: str = Field(description="What was measured, in words a person can check.")
    old_limit: str = Field(description="The highest CPU limit of a held container without the hold.")
    new_limit: str = Field(description="The lowest CPU limit of a held container while held.")
    give_back_after_seconds: int = Field(
        10,
        ge=0,
        description="For how long the tenant has to stay well within its budget before the next step is given"
        " back. Doubles each time that a step proves too early.",
    )
    containers: tuple[HeldContainer, ...] = Field(
        (), max_length=500, description="The held containers; none while all has been given back on trial."
    )


class ContainedLeak(Part):
    """A container whose memory limit is lowered because it leaks."""

    pod: str = Field(max_length=253, description="The pod's name.")
    uid: str = Field(max_length=36, description="The pod's uid.")
    container: str = Field(max_length=63, description="The container's name.")
    kind: Kind = Field(description="What it is that leaks.")
    since: Timestamp = Field(description="When the evidence begins.")
    rate_per_minute: int = Field(ge=0, description="What is taken a minute, in bytes.")
    evidence: str = Field(max_length=256, description="What was seen when the limit was last lowered.")
    old_limit: str = Field(description="Its memory limit otherwise.")
    new_limit: str = Field(description="Its memory limit while it leaks.")
    ended: bool = Field(False, description="The leak is over, and the limit is about to be given back.")


class LeakRestart(Part):
    """The last eviction of a pod because it leaks, or the last attempt."""

    time: Timestamp = Field(description="When it was tried.")
    pod: str = Field(max_length=253, description="The pod's name.")
    uid: str = Field(max_length=36, description="The pod's uid.")
    container: str = Field(max_length=63, description="The container that leaks.")
    kind: Kind = Field(description="What it is that leaks.")
    since: Timestamp = Field(description="When the evidence begins.")
    rate_per_minute: int = Field(ge=0, description="What is taken a minute: bytes, files or processes.")
    evidence: str = Field(max_length=256, description="What was seen.")
    outcome: str = Field(
        description="Asked: the API server is asked. Applied: it agrees. Refused, Failed: it is tried again."
        " Evicted: the pod runs no more. Observed: it would be evicted."
    )
    message: str = Field("", max_length=1024, description="Why it was refused.")
    wait_seconds: int = Field(ge=0, description="From one eviction to the next of any of the tenant's pods.")
    retry_seconds: int = Field(0, ge=0, description="From a refusal to the next attempt; 0: not refused.")


class LeakStatus(Part):
    """What is done about leaks."""

    restart: LeakRestart | None = Field(None, description="The last eviction of a pod that leaks.")
    contained: tuple[ContainedLeak, ...] = Field(
        (), max_length=500, description="The containers whose memory limits are lowered."
    )


class Decision(Part):
    """One decision about the tenant's pods, as in the audit log."""

    time: Timestamp = Field(description="When it was decided.")
    rule: str = Field(description="The rule that decided, such as LimitsFollowQuota.")
    target: str = Field(description="Whom it was about: a pod, or how many.")
    outcome: str = Field(description="What came of it, such as Applied or Refused.")
    message: str = Field(description="Old and new values, and why.")
    mode: Enforcement | None = Field(None, description="Whether it was carried out or only recorded.")
    correlation_id: str = Field(
        "",
        description="That of its record in the audit log; where it is about several pods, of the first. The"
        " records of the others have the same time and rule.",
    )


class TenantQuotaStatus(Part):
    """What is the case; written by the operator alone."""

    observed_generation: int | None = Field(
        None, ge=0, description="The metadata.generation of the spec that this status is about."
    )
    tenant: str | None = Field(None, description="The tenant whom the pods are counted to.")
    phase: Phase | None = Field(
        None, description="Normal; Throttled while a hold is in force; Recovering while it is given back."
    )
    pods: int | None = Field(None, ge=0, description="Running and pending pods that the quota selects.")
    usage: Usage | None = Field(None, description="What the tenant's agents use together.")
    hold: Hold | None = Field(None, description="The measure in force against the tenant, if any.")
    leaks: LeakStatus | None = Field(None, description="What is done about leaks, if anything.")
    decisions: tuple[Decision, ...] = Field(
        (), max_length=10, description="The last ten decisions, newest last."
    )
    conditions: tuple[Condition, ...] = Field(
        (),
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        description="Ready, Enforced (every container holds the decided limits), Isolated (no other tenant"
        " waits because of this one), WithinBudget and LeakFree.",
    )
