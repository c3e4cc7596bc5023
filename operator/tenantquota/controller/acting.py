"""Carries out plans: each pod's step as one short chain of requests, many pods at once."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from tenantquota.domain.budgets import BudgetChange
from tenantquota.domain.cleanup import Removal
from tenantquota.domain.decisions import Outcome, Result
from tenantquota.domain.leak_restarts import Eviction
from tenantquota.domain.limits import kept_limits
from tenantquota.domain.model import FinishedPod, Pod, Quota
from tenantquota.domain.resizes import PodPlan
from tenantquota.kube.client import Client, GoneError, KubeError, RefusedError
from tenantquota.kube.writing import adopt_pod, evict_pod, release_pod, resize_pod, touch_pod, write_budget


@dataclass(frozen=True, slots=True)
class Actor:
    """Acts on the API server with at most as many requests at once as the semaphore lets through."""

    client: Client
    slots: asyncio.Semaphore

    async def hold(self, plans: Iterable[PodPlan], quota: Quota) -> list[Result]:
        """Adopts and resizes the pods of a quota; one that observes only says what it would do."""
        if not quota.enforces:
            return [Result(plan, Outcome.OBSERVED) for plan in plans]
        return list(await asyncio.gather(*(self._step(plan, quota.tenant) for plan in plans)))

    async def release(self, plans: Iterable[PodPlan]) -> list[Result]:
        """Gives pods back what they declare, then lets them go."""
        return list(await asyncio.gather(*(self._step(plan, None) for plan in plans)))

    async def ask_again(self, pods: Iterable[Pod], now: str) -> list[str]:
        """Has the kubelet try pods' resizes again; what went wrong, for people."""

        async def one(pod: Pod) -> str | None:
            async with self.slots:
                try:
                    await touch_pod(self.client, pod, now)
                except GoneError:
                    return None
                except KubeError as error:
                    return f"pod {pod.namespace}/{pod.name}: {error}"
                return None

        return [problem for problem in await asyncio.gather(*map(one, pods)) if problem]

    async def budgets(self, namespace: str, changes: Iterable[BudgetChange]) -> dict[str, str]:
        """Writes and deletes ResourceQuotas; what went wrong, by the ResourceQuota's name, for people."""
        problems = {}
        for change in changes:
            try:
                await write_budget(self.client, namespace, change)
            except KubeError as error:
                problems[change.name] = f"ResourceQuota {change.name}: {error}"
        return problems

    async def evict(self, eviction: Eviction, quota: Quota) -> tuple[Outcome, str]:
        """Evicts a pod that leaks; what came of it, and why."""
        return await self._evict(eviction.pod, quota)

    async def remove(self, pods: Iterable[FinishedPod], quota: Quota) -> list[Removal]:
        """Removes finished pods; what came of each."""

        async def one(pod: FinishedPod) -> Removal:
            return Removal(pod, *await self._evict(pod, quota))

        return list(await asyncio.gather(*map(one, pods)))

    async def _evict(self, pod: Pod | FinishedPod, quota: Quota) -> tuple[Outcome, str]:
        if not quota.enforces:
            return Outcome.OBSERVED, ""
        async with self.slots:
            try:
                await evict_pod(self.client, pod)
            except GoneError:
                return Outcome.GONE, ""
            except RefusedError as error:
                return Outcome.REFUSED, str(error)
            except KubeError as error:
                return Outcome.FAILED, str(error)
            return Outcome.APPLIED, ""

    async def _step(self, plan: PodPlan, tenant: str | None) -> Result:
        async with self.slots:
            try:
                return Result(plan, Outcome.APPLIED, generation=await self._requests(plan, tenant))
            except GoneError:
                return Result(plan, Outcome.GONE)
            except RefusedError as error:
                return Result(plan, Outcome.REFUSED, str(error))
            except KubeError as error:
                return Result(plan, Outcome.FAILED, str(error))

    async def _requests(self, plan: PodPlan, tenant: str | None) -> int:
        """What a pod declares is written down before it is changed, and forgotten after it has all of it
        back: a crash between two requests loses nothing, and a limit that had to stay isn't taken for the
        author's by the next quota."""
        if tenant is not None and plan.adopt:
            await adopt_pod(self.client, plan.pod, tenant)
        generation = await resize_pod(self.client, plan.pod, plan.change) if plan.change else 0
        if tenant is None:
            await release_pod(self.client, plan.pod, forget=not kept_limits(plan.pod))
        return generation
