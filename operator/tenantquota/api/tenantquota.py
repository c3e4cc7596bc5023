"""``TenantQuota``, namespaced, short name ``tq``: what one tenant's agents may use.

Field descriptions are what ``kubectl explain`` prints. What a type can't state is a CEL rule beside the field
that it is about.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field

from tenantquota.api.enforcement import Enforcement
from tenantquota.api.leaks import Action
from tenantquota.api.names import GROUP
from tenantquota.api.part import Part
from tenantquota.api.schema import (
    CpuLimit,
    CpuRequest,
    MemoryGrowth,
    MemoryLimit,
    MemoryRequest,
    at_most,
    rule,
    rules,
    text,
)
from tenantquota.api.status import TenantQuotaStatus

LABEL_VALUE = r"^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$"
LABEL_KEY = r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$"
DNS_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"

LabelKey = Annotated[str, text(LABEL_KEY, 317, "is no label name: write one such as app or example.com/role")]
LabelValue = Annotated[
    str,
    text(
        LABEL_VALUE,
        63,
        "is no label value: letters, digits, '-', '_' or '.', with a letter or digit first and last",
    ),
]
TenantName = Annotated[
    str,
    text(
        DNS_LABEL,
        63,
        "is no tenant name: lower-case letters, digits or '-', with a letter or digit first and last",
    ),
]


class Operator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelSelectorRequirement(Part):
    """One condition on a pod's labels."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.operator in ['In', 'NotIn'] == (has(self.values) && size(self.values) > 0)",
                "In and NotIn need at least one value; Exists and DoesNotExist take none",
            )
        )
    )

    key: LabelKey = Field(description="The label that the condition is about.")
    operator: Operator = Field(description="In, NotIn, Exists or DoesNotExist.")
    values: tuple[LabelValue, ...] = Field(
        (), max_length=16, description="Values for In and NotIn; left out for Exists and DoesNotExist."
    )


class LabelSelector(Part):
    """Kubernetes' label selector: all conditions must hold."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.matchLabels) && size(self.matchLabels) > 0)"
                " || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",
                "an empty selector is ambiguous: leave spec.selector out to select every pod of the"
                " namespace, or add matchLabels or matchExpressions",
            ),
            rule(
                f"!has(self.matchLabels) || self.matchLabels.all(k, k.matches('{LABEL_KEY}'))",
                "matchLabels has a key that is no label name, such as app or example.com/role",
            ),
            rule(
                f"!(has(self.matchLabels) && self.matchLabels.exists(k, k.startsWith('{GROUP}/')))"
                " && !(has(self.matchExpressions)"
                f" && self.matchExpressions.exists(e, e.key.startsWith('{GROUP}/')))",
                f"labels under {GROUP}/ are set by the quota itself: select by labels of the pods' own",
            ),
        )
    )

    match_labels: dict[str, LabelValue] = Field(
        default_factory=dict,
        json_schema_extra={"maxProperties": 16},
        description="Labels that the pod must carry with exactly these values.",
    )
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(
        (), max_length=16, description="Conditions on the pod's labels beyond equality."
    )


class Limits(Part):
    """The most that a container may use. A lower limit that a pod declares itself stays."""

    cpu: CpuLimit = Field(description="CPU limit in cores (2, 500m). Becomes cpu.max of the cgroup.")
    memory: MemoryLimit = Field(
        description="Memory limit in bytes (256Mi). Becomes memory.max of the cgroup."
    )


class Requests(Part):
    """What the scheduler sets aside for a container. Lower requests that a pod declares itself stay. They are
    always kept below the limits, so that the limits of a running pod can be changed."""

    cpu: CpuRequest | None = Field(
        None, description="CPU request in cores. Default: what the pod declares, or a tenth of its limit."
    )
    memory: MemoryRequest | None = Field(
        None, description="Memory request in bytes. Default: what the pod declares, or a tenth of its limit."
    )


class ContainerResources(Part):
    """Limits and requests of every single container."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                rule(
                    at_most(f"self.requests.{resource}", f"self.limits.{resource}"),
                    f"requests.{resource} is above limits.{resource}: lower the request or raise the limit",
                )
                for resource in ("cpu", "memory")
            )
        )
    )

    limits: Limits = Field(description="The most that a container may use.")
    requests: Requests | None = Field(None, description="What is set aside for a container.")


class Budget(Part):
    """What all agents of the tenant may use together."""

    cpu: CpuLimit | None = Field(
        None,
        description="CPU in cores that all agents may use together, as a mean over about 10 s. While they use"
        " more, the CPU limits of the largest users are lowered, and given back in steps once all fit again.",
    )
    memory: MemoryLimit | None = Field(
        None,
        description="The most that the memory limits of all agents may add up to. Held by a ResourceQuota at"
        " admission when the quota selects every pod of the namespace.",
    )
    pods: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="The most agent pods at once. Held by a ResourceQuota at admission when the quota selects"
        " every pod of the namespace.",
    )


class Leaks(Part):
    """When growth counts as a leak, and what is done about it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                at_most("self.memorySlowPerMinute", "self.memoryFastPerMinute"),
                "memorySlowPerMinute is above memoryFastPerMinute, so no leak would be a slow one: lower it"
                " or raise memoryFastPerMinute",
            )
        )
    )

    action: Action = Field(
        Action.REPORT,
        description="What is done about a leak. Report tells of it. Contain also lowers the memory limit of a"
        " container that leaks memory to what it uses plus a quarter, and gives it back once that is over."
        " Restart also evicts the pod of a leak of memory, open files or processes if something makes it"
        " anew, heeding PodDisruptionBudgets, one pod in 2 minutes at most and ever more rarely.",
    )
    memory_fast_per_minute: MemoryGrowth = Field(
        "50Mi",
        description="Memory that grows by so much a minute is a leak within a minute (50Mi). Raise it where"
        " agents load much data evenly over minutes.",
    )
    memory_slow_per_minute: MemoryGrowth = Field(
        "2Mi",
        description="Memory that grows by so much a minute is a leak after 11 to 15 minutes (2Mi). Raise it"
        " for agents that fill a cache for so long.",
    )
    open_files_per_minute: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="Open files that grow by so many a minute are a leak within a minute, and by a tenth of"
        " it after a quarter of an hour.",
    )
    processes_per_minute: int = Field(
        20,
        ge=1,
        le=100_000,
        description="Processes that grow by so many a minute are a leak within a minute, and by a tenth of"
        " it after a quarter of an hour.",
    )
    cpu_percent: int = Field(
        80,
        ge=1,
        le=100,
        description="CPU above this for cpuSeconds is a runaway: in percent of one core, or of the"
        " container's CPU limit where that is less than a core.",
    )
    cpu_seconds: int = Field(
        300,
        ge=30,
        le=86_400,
        description="For how many seconds CPU must stay above cpuPercent. Raise it for agents that compute"
        " for long.",
    )


class Cleanup(Part):
    """What is removed of the tenant's own accord."""

    ttl_seconds_after_finished: int = Field(
        ge=0,
        le=2_592_000,
        description="A pod that has Succeeded or Failed is removed so many seconds later (60). A Job's pods"
        " are left to the Job's own ttlSecondsAfterFinished.",
    )


class TenantQuotaSpec(Part):
    """What the tenant's agents may use, and which pods they are."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *(
                rule(
                    at_most(f"self.container.limits.{resource}", f"self.budget.{resource}"),
                    f"budget.{resource} is below container.limits.{resource}, so not even one container fits:"
                    f" raise budget.{resource} or lower container.limits.{resource}",
                )
                for resource in ("cpu", "memory")
            )
        )
    )

    tenant: TenantName | None = Field(
        None,
        description="The tenant whom these pods are counted to. Default: the name of the namespace.",
    )
    selector: LabelSelector | None = Field(
        None,
        description="The pods that are the tenant's agents. Default: every pod of the namespace. Selectors of"
        " quotas in one namespace must not overlap.",
    )
    container: ContainerResources = Field(
        description="Limits and requests of every container of an agent pod."
    )
    budget: Budget | None = Field(None, description="What all agents of the tenant may use together.")
    weight: int = Field(
        100,
        ge=1,
        le=10_000,
        description="The tenant's entitlement to CPU against other tenants while CPU is short, as in the"
        " kernel's cpu.weight. It belongs to the tenant: ten pods don't buy ten shares.",
    )
    latency_sensitive: bool = Field(
        False,
        description="While this tenant is at work on a full node, those who take more than their share of it"
        " there get CPU limits of no more than their pods request, so that a CPU is free whenever its agents"
        " wake. That costs those others what nobody else would use.",
    )
    leaks: Leaks | None = Field(
        None,
        description="When growth counts as a leak, and what is done about it. Default: the defaults of its"
        " fields. Try values with kubectl tenantquota replay.",
    )
    cleanup: Cleanup | None = Field(
        None,
        description="When what the tenant's agents leave is removed. Default: finished pods stay until"
        " somebody deletes them, or until there are too many in the whole cluster.",
    )
    enforcement: Enforcement = Field(
        Enforcement.ENFORCE,
        description="Enforce sets limits. Observe decides and records what it would set but changes nothing.",
    )


class TenantQuota(Part):
    """A TenantQuota holds the pods of one tenant within CPU and memory limits, and sees to it that none of
    its bursts, leaks and runaways is felt by other tenants on the same node."""

    spec: TenantQuotaSpec = Field(description="What the tenant's agents may use, and which pods they are.")
    status: TenantQuotaStatus | None = Field(None, description="What is the case; written by the operator.")
