"""One namespace: gather what is known, decide, act, and say so."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from tenantquota.api.status import Decision, TenantQuotaStatus
from tenantquota.controller.acting import Actor
from tenantquota.controller.events import audit, condition_event, decision_event, event
from tenantquota.controller.heartbeats import Heartbeats
from tenantquota.controller.memory import Memory
from tenantquota.controller.moments import later, seconds_between, utc_now
from tenantquota.controller.views import Views
from tenantquota.domain import cleanup
from tenantquota.domain.audit import decided, evicted, read_back, removed
from tenantquota.domain.budgets import resource_quota_name
from tenantquota.domain.conditions import leak_status_of, status_of, status_of_invalid, transitions
from tenantquota.domain.cpu_budget import HOLD_SECONDS, Clock
from tenantquota.domain.decisions import Outcome, Result, belongs, farewell, news, summarise
from tenantquota.domain.holds import phase_of, standing_of
from tenantquota.domain.leak_restarts import ASKED, skipped, told
from tenantquota.domain.model import InvalidQuota, Quota
from tenantquota.domain.plan import NamespacePlan, Observation, QuotaPlan, plan_namespace
from tenantquota.domain.reports import NodeAccount
from tenantquota.domain.resizes import refusal
from tenantquota.kube.client import Client, GoneError, KubeError, RefusedError
from tenantquota.kube.reading import read_quota
from tenantquota.kube.writing import list_quota_uids, write_event, write_status
from tenantquota.metrics import ControllerMetrics

REMOVED_AGAIN_SECONDS: Final = 60.0
"""From one attempt to remove a finished pod to the next: it may have been refused, and the index shows for a
moment what is gone."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Brings one namespace at a time to what its quotas say; level-triggered, so that it never matters what
    happened, only what is."""

    client: Client
    actor: Actor
    views: Views
    memory: Memory
    heartbeats: Heartbeats
    metrics: ControllerMetrics
    system_namespaces: frozenset[str]
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], str] = utc_now

    async def reconcile(self, namespace: str) -> float | None:
        """In how many seconds to look again though nothing is heard; None: no sooner than usual. Raises
        KubeError where even the status could not be written; the caller tries again."""
        with self.metrics.reconcile_seconds.time():
            seen = self.gather(namespace)
            plan = plan_namespace(seen)
            problems = await self.actor.budgets(namespace, plan.budgets)
            for quota_plan in plan.quotas:
                await self._hold(quota_plan, problems.get(resource_quota_name(quota_plan.quota)))
            for invalid in seen.invalid:
                await self._publish(invalid, status_of_invalid(invalid, self.now()), [])
            await self._release(plan)
            due = [seconds for each in plan.quotas for seconds in each.again_seconds]
            return min(due, default=None)

    def gather(self, namespace: str) -> Observation:
        """All that is known of the namespace, without a request."""
        now, gone = self.monotonic(), self.memory.gone
        quotas = [quota for quota in self.views.quotas.get(namespace, ()) if quota.uid not in gone]
        pods = tuple(pod for pod in self.views.pods.get(namespace, ()) if pod.uid not in gone)
        setbacks = {pod.uid: setback for pod in pods if (setback := self.memory.setback(pod, now))}
        return Observation(
            namespace,
            tuple(self.memory.with_latest_status(quota) for quota in quotas if isinstance(quota, Quota)),
            tuple(quota for quota in quotas if isinstance(quota, InvalidQuota)),
            pods,
            tuple(self.views.resource_quotas.get(namespace, ())),
            setbacks,
            stale=frozenset(pod.uid for pod in pods if self.memory.stale(pod)),
            witnesses={pod.uid: self.memory.witness(pod, self._account(pod.node), now) for pod in pods},
            usage_seconds={
                quota.uid: now - self.memory.usage_shown[quota.uid]
                for quota in quotas
                if quota.uid in self.memory.usage_shown
            },
            clocks={quota.uid: self._clock(quota, now) for quota in quotas if isinstance(quota, Quota)},
            restart_seconds={
                quota.uid: seconds for quota in quotas if (seconds := self._since_restart(quota)) is not None
            },
            asked_seconds={
                pod.uid: now - self.memory.asked[pod.uid] for pod in pods if pod.uid in self.memory.asked
            },
            finished=tuple(self.views.finished.get(namespace, ())),
            finished_seconds=self._finished_seconds(namespace, now),
            system=namespace in self.system_namespaces,
        )

    def _finished_seconds(self, namespace: str, now: float) -> dict[str, float]:
        """By uid, how long the namespace's finished pods are; without those whose removal was just tried.
        By the wall clock, since their nodes' clocks say when that was."""
        wall, tried = self.now(), self.memory.removed
        return {
            pod.uid: seconds_between(pod.finished, wall)
            for pod in self.views.finished.get(namespace, ())
            if now - tried.get(pod.uid, -inf) >= REMOVED_AGAIN_SECONDS
        }

    def _since_restart(self, quota: Quota | InvalidQuota) -> float | None:
        """Since the last attempt to evict one of the quota's pods. By the wall clock, since a new controller
        has to know it too."""
        status = self.memory.with_latest_status(quota).status if isinstance(quota, Quota) else quota.status
        if status.leaks is None or status.leaks.restart is None:
            return None
        return max(0.0, seconds_between(status.leaks.restart.time, self.now()))

    def _clock(self, quota: Quota, now: float) -> Clock:
        """How long ago things happened to the hold for the quota's CPU budget."""
        status = self.memory.with_latest_status(quota).status
        standing, hold = standing_of(status), status.hold
        return self.memory.clock(
            quota.uid,
            self.views.pods.get(quota.namespace, ()),
            now,
            held=standing.caps if standing else None,
            left_seconds=seconds_between(self.now(), hold.expires) if hold else HOLD_SECONDS,
        )

    def _account(self, node: str | None) -> NodeAccount | None:
        report = next(iter(self.views.reports.get(node or "", ())), None)
        return None if report is None else self.heartbeats.account(report)

    async def sweep(self) -> None:
        """Finds quotas whose deletion a broken watch has lost, and forgets what no longer exists."""
        shown = {quota.uid for quotas in self.views.quotas.values() for quota in quotas}
        self.memory.gone |= shown - await list_quota_uids(self.client)
        self.memory.forget_all_but(self.views.uids())

    async def _hold(self, plan: QuotaPlan, budget_problem: str | None) -> None:
        self._read_back(plan)
        expires = later(self.now(), HOLD_SECONDS)
        plan = await self._note_hold(plan, expires)
        results = await self.actor.hold(plan.acts, plan.quota)
        self._remember(results)
        await self._ask_again(plan)
        now = self.now()
        plan, restarted = await self._restart(plan)
        cleaned = await self._clean(plan, now)
        decisions = news((*summarise(results, now), *restarted, *cleaned), plan.quota.status.decisions)
        for result in results:
            if belongs(result, decisions):
                account = plan.accounts.get(result.plan.pod.uid)
                audit(decided(result, plan.quota, account, plan.cpu, now, plan.containment.held))
        problems = [budget_problem] if budget_problem else []
        problems += [f"{r.plan.pod.name}: {r.message}" for r in results if r.outcome is Outcome.FAILED]
        await self._publish(plan.quota, status_of(plan, problems, decisions, now, expires), decisions)

    async def _ask_again(self, plan: QuotaPlan) -> None:
        """Of what is no decision, and only makes one come true sooner, nothing is told but that it fails."""
        for pod in plan.asks:
            self.memory.asked[pod.uid] = self.monotonic()
        for problem in await self.actor.ask_again(plan.asks, self.now()):
            self.metrics.api_errors.labels("ask_again").inc()
            _log.warning("the kubelet can't be asked again: %s", problem)

    async def _restart(self, plan: QuotaPlan) -> tuple[QuotaPlan, list[Decision]]:
        """Evicts the pod whose turn it is; the plan with what the status is to say of that, and what is
        told."""
        quota, restarts, now = plan.quota, plan.restarts, self.now()
        found = [(pod, skipped(pod, leak, now)) for pod, leak in restarts.bare]
        found = [each for each in found if news([told(quota, each[1])], quota.status.decisions)]
        if restarts.evict is not None and restarts.last is not None and quota.uid not in self.memory.gone:
            pod = restarts.evict.pod
            outcome, message = await self.actor.evict(restarts.evict, quota)
            tried = restarts.evict.tried(outcome, message, restarts.last.time)
            found.append((pod, tried))
            plan = replace(plan, restarts=replace(restarts, last=tried))
            self.metrics.evictions.labels(outcome.value).inc()
            if outcome is Outcome.GONE:
                self.memory.gone.add(pod.uid)
        audit(evicted(quota, what, pod, self._account(pod.node), now) for pod, what in found)
        return plan, [told(quota, what) for _, what in found]

    async def _clean(self, plan: QuotaPlan, now: str) -> tuple[Decision, ...]:
        """Removes finished pods; what is told of that."""
        quota = plan.quota
        removals = await self.actor.remove(plan.cleanup.remove, quota)
        for removal in removals:
            self.memory.removed[removal.pod.uid] = self.monotonic()
            self.metrics.removals.labels(removal.outcome.value).inc()
            if removal.outcome in {Outcome.REFUSED, Outcome.FAILED}:
                self.metrics.api_errors.labels("remove").inc()
        decisions = news(cleanup.told(quota, removals, now), quota.status.decisions)
        if decisions:
            audit(removed(quota, removal, now) for removal in removals)
        return decisions

    def _read_back(self, plan: QuotaPlan) -> None:
        """Closes the records of resizes that the nodes' agents have just confirmed, and of an eviction once
        the pod runs no more."""
        now = self.now()
        if plan.restarts.ended and plan.restarts.last is not None:
            audit([evicted(plan.quota, plan.restarts.last, None, None, now)])
        read = self.memory.confirm(plan.pods)
        for pod_plan, rule in read if plan.quota.enforces else ():
            audit(read_back(pod_plan, plan.quota, plan.accounts[pod_plan.pod.uid], rule, now))

    async def _note_hold(self, plan: QuotaPlan, expires: str) -> QuotaPlan:
        """Writes a hold that begins, changes or ends, what is contained and who is evicted into the status
        before any of it is done: whoever takes over finds there what the pods are on their way to."""
        quota = plan.quota
        if (eviction := plan.restarts.evict) is not None:
            asked = eviction.tried(ASKED if quota.enforces else Outcome.OBSERVED, "", self.now())
            plan = replace(plan, restarts=replace(plan.restarts, last=asked))
        hold = plan.hold(self.now(), expires)
        status, leaks = quota.status, leak_status_of(plan)
        if (hold, leaks) != (status.hold, status.leaks):
            phase = phase_of(plan.cpu, yields=bool(plan.yielding))
            status = status.model_copy(update={"hold": hold, "phase": phase, "leaks": leaks})
            await self._write(quota, status)
        self.memory.note_budget(plan, self.monotonic())
        return replace(plan, quota=replace(quota, status=status))

    async def _release(self, plan: NamespacePlan) -> None:
        results = await self.actor.release(plan.releases)
        self._remember(results)
        now = self.now()
        for result in results:
            audit(decided(result, None, self._account(result.plan.pod.node), None, now))
            if result.outcome is Outcome.APPLIED:
                await self._tell([event(result.plan.pod, "QuotaGone", farewell(result.plan), now)])

    def _remember(self, results: Iterable[Result]) -> None:
        now = self.monotonic()
        for result in results:
            uid = result.plan.pod.uid
            if result.plan.change and result.outcome is not Outcome.OBSERVED:
                self.metrics.resizes.labels(result.plan.rule.value, result.outcome.value).inc()
            if result.generation:
                self.memory.written_generation[uid] = result.generation
                self.memory.resized[uid] = self.memory.asked[uid] = now
                self.memory.unread[uid] = result.generation, result.plan.rule
                if result.plan.nudge:
                    self.memory.nudges[uid] = result.generation, now
            if result.outcome is Outcome.GONE:
                self.memory.gone.add(uid)
            if result.outcome is Outcome.REFUSED:
                self.memory.setbacks[uid] = (refusal(result.plan, result.message), now)
            if result.outcome in {Outcome.REFUSED, Outcome.FAILED}:
                self.metrics.api_errors.labels("resize").inc()

    async def _publish(
        self, quota: Quota | InvalidQuota, status: TenantQuotaStatus, decisions: Sequence[Decision]
    ) -> None:
        """Writes the status where it says something new, and tells people what changed."""
        if status == quota.status or not await self._write(quota, status):
            return
        now = self.now()
        await self._tell(decision_event(quota, decision, now) for decision in decisions)
        await self._tell(condition_event(quota, each, now) for each in transitions(quota.status, status))

    async def _write(self, quota: Quota | InvalidQuota, status: TenantQuotaStatus) -> bool:
        """Whether there is somebody to have the status."""
        try:
            written = read_quota(await write_status(self.client, quota, status))
        except GoneError:
            self.memory.gone.add(quota.uid)
            return False
        if status.usage != quota.status.usage:
            self.memory.usage_shown[quota.uid] = self.monotonic()
        if isinstance(written, Quota):
            self.memory.written_status[quota.uid] = (written.resource_version, written.status)
        return True

    async def _tell(self, events: Iterable[dict[str, Any]]) -> None:
        """Events are for people: one that can't be written is no ground to hold up a limit. A namespace that
        is being deleted takes none, and needs none."""
        for body in events:
            try:
                await write_event(self.client, body)
            except RefusedError as error:
                _log.info("no Event is written: %s", error)
            except KubeError as error:
                self.metrics.api_errors.labels("event").inc()
                _log.warning("an Event could not be written: %s", error)
