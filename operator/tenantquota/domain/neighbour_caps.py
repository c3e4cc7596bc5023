"""The CPU limits of a tenant that makes others wait though it yields, as the nodes' reports ask for them.

The node agent decides them (``capping``), since it alone sees every second; the report is where they stand,
and they last as long as it is fresh. So a controller that is started anew goes on from the reports.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from tenantquota.api.status import Hold
from tenantquota.domain.cpu_budget import LOOK_SECONDS, RENEW_SECONDS, Key
from tenantquota.domain.holds import caps_of, held_containers
from tenantquota.domain.limits import decide_container
from tenantquota.domain.model import Pod, QosClass, Quota
from tenantquota.domain.quantities import format_cpu
from tenantquota.domain.reports import NodeAccount
from tenantquota.domain.resizes import PodPlan, Rule

HARMS_NEIGHBOURS: Final = "HarmsNeighbours"
"""The ``reason`` of a hold."""


@dataclass(frozen=True, slots=True)
class NeighbourCaps:
    """What the nodes ask for of one tenant's containers."""

    caps: Mapping[Key, int] = field(default_factory=dict)
    """CPU limits in milli-CPU, all below the quota's."""
    normal: Mapping[Key, int] = field(default_factory=dict)
    """The same containers' limits otherwise."""
    evidence: str = ""
    since: str = ""
    """RFC 3339."""
    renew: bool = False
    """The hold stands and is about to expire."""

    @property
    def again_seconds(self) -> float | None:
        """When to look again though nothing is heard: its node's agent may be gone."""
        return LOOK_SECONDS if self.caps else None

    def attribute(self, plan: PodPlan, before: Hold | None) -> PodPlan:
        """The plan with the neighbours as its rule, where these are why the pod is resized.

        Args:
            before: the hold that the status tells of.
        """
        if plan.rule is not Rule.LIMITS_FOLLOW_QUOTA or not plan.change:
            return plan
        asked = {c.name: c.spec.cpu_limit_milli or 0 for c in plan.pod.containers}
        wanted = {name: resources.cpu_limit_milli or 0 for name, resources in plan.change.items()}
        now = caps_of(plan.pod, self.caps)
        if any(wanted[name] == now.get(name) and wanted[name] < asked[name] for name in wanted):
            return replace(plan, rule=Rule.CPU_CAPPED, message=self.evidence)
        held = before.containers if before is not None and before.reason == HARMS_NEIGHBOURS else ()
        was = {each.container for each in held if each.pod == plan.pod.name}
        if any((name in now or name in was) and wanted[name] > asked[name] for name in wanted):
            return replace(plan, rule=Rule.CPU_UNCAPPED, message="nobody waits because of it any more")
        return plan

    def hold(self, before: Hold | None, expires: str) -> Hold | None:
        """What the status is to say; None where nothing is held.

        Args:
            before: what it says.
            expires: RFC 3339, of a hold that begins, changes or is renewed now.
        """
        if not self.caps:
            return None
        now = Hold(
            since=self.since,
            expires=expires,
            reason=HARMS_NEIGHBOURS,
            evidence=self.evidence,
            old_limit=format_cpu(max(self.normal.values())),
            new_limit=format_cpu(min(self.caps.values())),
            containers=held_containers(self.caps, self.normal),
        )
        same = before is not None and before == now.model_copy(update={"expires": before.expires})
        return before if same and not self.renew else now


NOBODY_WAITS: Final = NeighbourCaps()


def neighbour_caps(
    quota: Quota, pods: Iterable[tuple[Pod, NodeAccount | None]], left_seconds: float
) -> NeighbourCaps:
    """What the fresh reports of the pods' nodes ask for.

    Args:
        left_seconds: until the hold expires of which the status tells.
    """
    caps: dict[Key, int] = {}
    normal: dict[Key, int] = {}
    told: list[tuple[str, str]] = []
    for pod, account in pods:
        if account is None or account.stale or not _resizable(pod):
            continue
        of = account.report.yielding.get(quota.tenant)
        if of is None:
            continue
        for container in pod.containers:
            cap = of.caps.get((pod.uid, container.name))
            decided = decide_container(pod.declared_of(container), quota.container, pod.qos)
            limit = decided.cpu_limit_milli or 0
            if cap is not None and cap < limit:
                caps[pod.name, container.name], normal[pod.name, container.name] = cap, limit
                told.append((of.since, of.message))
    if not caps:
        return NOBODY_WAITS
    since, message = min(told)
    return NeighbourCaps(caps, normal, message, since, left_seconds < RENEW_SECONDS)


def both(one: Mapping[Key, int], other: Mapping[Key, int]) -> dict[Key, int]:
    """The lower cap where there are two."""
    return {key: min(of[key] for of in (one, other) if key in of) for key in one.keys() | other.keys()}


def _resizable(pod: Pod) -> bool:
    return not (pod.static or pod.pod_level_resources or pod.qos is QosClass.BEST_EFFORT)
