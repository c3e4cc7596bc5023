"""The caps of one node's tenants second by second, as ``domain.capping`` decides them."""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from tenantquota.domain import capping
from tenantquota.domain.capping import Cap, Consumer, Press, allowance_milli
from tenantquota.domain.contention import Activity, Harm, Over, Second, kept_free, told
from tenantquota.domain.yielding import Yield
from tenantquota.node.containers import Container

LOG: Final = logging.getLogger(__name__)

RATE_SECONDS: Final = 3.0
"""A container is sized by what it used in this time."""


class CappedContainer(NamedTuple):
    """A container and the CPU limit that it is to have."""

    pod_uid: str
    container: str
    cpu_limit_milli: int


class Caps:
    """Keeps the caps of one node."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._caps: dict[str, Cap] = {}
        self._names: dict[str, tuple[str, str]] = {}
        """Pod's uid and container's name of those that are capped, by container id."""

    def of(self, tenant: str) -> tuple[CappedContainer, ...]:
        """Of the tenant's containers, those that are capped."""
        cap = self._caps.get(tenant)
        limits = cap.limits if cap is not None else {}
        return tuple(
            CappedContainer(*self._names[key], milli)
            for key, milli in sorted(limits.items())
            if key in self._names
        )

    def on_their_way(self, containers: Iterable[Container]) -> set[str]:
        """The tenants of whose containers a cgroup doesn't hold its cap yet: a resize is to come."""
        return {
            tenant
            for container in containers
            if (cap := self._caps.get(tenant := container.owner.tenant)) is not None
            and (milli := cap.limits.get(container.id)) is not None
            and (container.limits is None or container.limits.cpu_milli != milli)
        }

    def message(self, tenant: str) -> str:
        """Why the tenant is capped; empty where it isn't."""
        cap = self._caps.get(tenant)
        return cap.message if cap is not None and cap.active else ""

    def wanting(
        self, activities: Iterable[Activity], containers: Iterable[Container], at_ns: int
    ) -> dict[str, Over]:
        """The tenants that would use more if they weren't capped, which may be why the node isn't full."""
        active = {tenant: cap for tenant, cap in self._caps.items() if cap.active}
        if not active:
            return {}
        pressing = {
            container.owner.tenant
            for container in containers
            if container.owner.tenant in active
            and container.id in active[container.owner.tenant].limits
            and _throttled(container, at_ns)
        }
        return {
            each.tenant: Over(each.tenant, each.used_ms, float(cap.wanted_milli), float(cap.allowance_milli))
            for each in activities
            if each.tenant in pressing and (cap := active[each.tenant])
        }

    def after_second(
        self,
        second: Second | None,
        harms: Iterable[Harm],
        yields: Mapping[str, Yield],
        sensitive: str | None,
        containers: Collection[Container],
        now: float,
        at_ns: int,
    ) -> None:
        """
        Args:
            second: None: one without contention.
            harms: those of this second by which the victim loses too much.
            yields: of tenants whose weights are lowered.
            sensitive: a latency-sensitive tenant that is at work, if there is one.
        """
        if not (yields or self._caps):
            return
        pressed: dict[str, Press] = {}
        if second is not None and not second.systems:
            for harm in harms:
                for of in harm.culprits:
                    allowance = allowance_milli(second, of.tenant, of.share_ms)
                    pressed[of.tenant] = Press(told(harm, of.tenant, self._node), allowance)
        if sensitive is not None:
            pressed |= {
                tenant: Press(kept_free(of.evidence, sensitive, self._node), None)
                for tenant, of in yields.items()
            }
        before = self._caps
        consumers = _consumers(containers, yields, at_ns)
        self._caps = capping.step(before, yields, pressed, consumers, now)
        names = {
            container.id: (container.pod_uid, container.owner.container)
            for container in containers
            if container.owner.tenant in self._caps and container.owner.container
        }
        for tenant in before.keys() | self._caps.keys():
            self._tell(tenant, before.get(tenant), self._caps.get(tenant), self._names | names)
        self._names = names

    def _tell(
        self, tenant: str, before: Cap | None, now: Cap | None, names: Mapping[str, tuple[str, str]]
    ) -> None:
        def by_name(limits: Mapping[str, int]) -> dict[str, int]:
            return {"/".join(names.get(key, (key,))): milli for key, milli in sorted(limits.items())}

        was, limits = before.limits if before else {}, now.limits if now else {}
        of = now or before
        if limits == was or of is None:
            return
        audit = {
            "rule": "TenantCapped" if limits else "TenantNoLongerCapped",
            "tenant": tenant,
            "node": self._node,
            "since": round(of.since, 3),
            "window": {"allowanceMilli": of.allowance_milli, "wantedMilli": of.wanted_milli},
            "oldMilli": by_name(was),
            "newMilli": by_name(limits),
        }
        LOG.info("%s: %s", audit["rule"], of.message, extra={"audit": audit})


def _consumers(
    containers: Iterable[Container], tenants: Collection[str], at_ns: int
) -> dict[str, list[Consumer]]:
    found: dict[str, list[Consumer]] = {}
    for container in containers:
        owner = container.owner
        if owner.tenant not in tenants:
            continue
        rates = container.rates(RATE_SECONDS)
        used = rates.cpu_milli if rates is not None and rates.cpu_milli is not None else 0.0
        # of the whole pod, which is no less than the container's
        floor = (owner.cpu_request_milli // capping.GRAIN_MILLI + 1) * capping.GRAIN_MILLI
        consumer = Consumer(container.id, used, floor, _throttled(container, at_ns))
        found.setdefault(owner.tenant, []).append(consumer)
    return found


def _throttled(container: Container, at_ns: int) -> bool:
    """By its own limit, in the second before."""
    sample = container.samples.latest
    return sample is not None and sample.at_ns >= at_ns and container.throttled
