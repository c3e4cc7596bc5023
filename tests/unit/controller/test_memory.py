"""What the controller remembers of a pod between two looks at it."""

from collections.abc import Iterable
from dataclasses import replace
from math import inf

from tenantquota.api.status import TenantQuotaStatus
from tenantquota.controller.memory import Memory
from tenantquota.domain.cpu_budget import HOLD_SECONDS, Clock, Key
from tenantquota.domain.model import Budget
from tenantquota.domain.plan import Observation, QuotaPlan, plan_namespace
from tenantquota.domain.resizes import PodPlan, Rule, State
from tenantquota.domain.truth import Nudge, Witness
from tests.unit.domain.builders import container, held, pod, quota, report, reported, res

IN_FORCE = res(500, 128, 50, 32)
AGENT = held(IN_FORCE)


def test_since_when_the_kubelet_is_at_rest() -> None:
    memory = Memory()
    assert memory.witness(AGENT, None, 10).acknowledged_seconds == 0
    assert memory.witness(replace(AGENT, labels={"a": "b"}), None, 15).acknowledged_seconds == 5


def test_another_generation_begins_anew() -> None:
    memory = Memory()
    memory.witness(AGENT, None, 10)
    resized = replace(AGENT, generation=2, observed_generation=2)
    assert memory.witness(resized, None, 15).acknowledged_seconds == 0


def test_a_kubelet_at_work_begins_anew() -> None:
    memory = Memory()
    memory.witness(AGENT, None, 10)
    busy = pod(container(IN_FORCE, res(300, 128, 50, 32)))
    assert memory.witness(busy, None, 12).acknowledged_seconds == 0
    assert memory.witness(AGENT, None, 14).acknowledged_seconds == 0


def test_a_nudge_is_known_by_the_generation_that_it_wrote() -> None:
    memory = Memory()
    assert memory.witness(AGENT, None, 10).nudge is None
    memory.nudges[AGENT.uid] = 7, 10
    assert memory.witness(AGENT, None, 14).nudge == Nudge(7, 4)


def test_what_a_report_confirmed_is_confirmed_for_that_generation() -> None:
    memory = Memory()
    plan = PodPlan(AGENT, State.SETTLED, {})
    memory.confirm([plan])
    assert not memory.witness(AGENT, None, 10).confirmed
    memory.confirm([replace(plan, confirmed=True)])
    assert memory.witness(AGENT, None, 10).confirmed
    assert not memory.witness(replace(AGENT, generation=2), None, 10).confirmed


def test_the_account_of_the_node_goes_along() -> None:
    account = report()
    assert Memory().witness(AGENT, account, 10).account is account


def test_what_is_no_more_is_forgotten() -> None:
    memory = Memory()
    memory.witness(AGENT, None, 10)
    memory.nudges[AGENT.uid] = 7, 10
    memory.asked[AGENT.uid] = 10
    memory.usage_shown["uid-q"] = 10
    memory.forget_all_but(["uid-q"])
    assert (memory.acknowledged, memory.nudges, memory.asked) == ({}, {}, {})
    assert memory.usage_shown == {"uid-q": 10}


class TestBudget:
    """How long ago things happened to a hold."""

    agent = held(res(500, 128, 50, 32), declared={"agent": IN_FORCE})
    other = held(res(500, 128, 50, 32), declared={"agent": IN_FORCE}, name="other")

    def plan(self, used: int, status: TenantQuotaStatus | None = None) -> QuotaPlan:
        of = quota(budget=Budget(cpu_milli=500), **({"status": status} if status else {}))
        account = report((self.agent, reported(cpu=used)), (self.other, reported(cpu=0)))
        witnesses = {each.uid: Witness(account) for each in (self.agent, self.other)}
        seen = Observation("acme", (of,), pods=(self.agent, self.other), witnesses=witnesses)
        return plan_namespace(seen).quotas[0]

    def clock(self, memory: Memory, now: float, held: Iterable[Key] | None = None) -> Clock:
        return memory.clock("uid-q", (self.agent, self.other), now, held, HOLD_SECONDS)

    def test_since_when_the_sum_fits(self) -> None:
        memory = Memory()
        memory.note_budget(self.plan(100), 10)
        memory.note_budget(self.plan(100), 15)
        assert self.clock(memory, 20).fits_seconds == 10
        memory.note_budget(self.plan(490), 30)
        assert self.clock(memory, 40).fits_seconds == 0

    def test_when_a_pod_was_resized(self) -> None:
        memory = Memory(resized={self.agent.uid: 10})
        clock = self.clock(memory, 13)
        assert clock.since_change(("p", "agent")) == 3
        assert clock.since_change(("other", "agent")) == inf

    def test_when_a_cap_changed(self) -> None:
        memory, over = Memory(), quota(budget=Budget(cpu_milli=100))
        account = report((self.agent, reported(cpu=500)))
        seen = Observation("acme", (over,), pods=(self.agent,), witnesses={self.agent.uid: Witness(account)})
        plan = plan_namespace(seen).quotas[0]
        memory.note_budget(plan, 10)
        clock = self.clock(memory, 14, held=[("p", "agent")])
        assert (clock.changed_seconds, clock.since_change(("p", "agent"))) == (4, 4)

    def test_a_hold_from_before_the_restart_changed_just_now(self) -> None:
        clock = self.clock(Memory(), 100, held=[("p", "agent")])
        assert (clock.changed_seconds, clock.since_change(("p", "agent"))) == (0, 0)
        assert clock.since_change(("other", "agent")) == inf


class TestReadBack:
    """Each resize is told once as read back from the cgroup."""

    def plan(self, generation: int, *, confirmed: bool) -> PodPlan:
        resized = replace(AGENT, generation=generation, observed_generation=generation)
        return PodPlan(resized, State.SETTLED, {"agent": IN_FORCE}, confirmed=confirmed)

    def test_one_that_this_controller_sent(self) -> None:
        memory = Memory(unread={AGENT.uid: (2, Rule.CPU_SIZED_DOWN)})
        assert memory.confirm([self.plan(1, confirmed=True)]) == []
        assert memory.confirm([self.plan(2, confirmed=False)]) == []
        read = self.plan(2, confirmed=True)
        assert memory.confirm([read]) == [(read, Rule.CPU_SIZED_DOWN)]
        assert memory.confirm([read]) == []

    def test_one_that_a_predecessor_sent(self) -> None:
        memory, read = Memory(), self.plan(2, confirmed=True)
        memory.confirm([self.plan(2, confirmed=False)])
        assert memory.confirm([read]) == [(read, None)]

    def test_what_was_read_back_before_the_restart_is_not_told_again(self) -> None:
        assert Memory().confirm([self.plan(2, confirmed=True)]) == []

    def test_a_pod_that_nobody_resized_is_no_read_back(self) -> None:
        memory = Memory()
        memory.confirm([self.plan(1, confirmed=False)])
        assert memory.confirm([self.plan(1, confirmed=True)]) == []

    def test_one_that_another_followed_is_not_waited_for(self) -> None:
        memory, read = Memory(unread={AGENT.uid: (2, Rule.CPU_SIZED_DOWN)}), self.plan(3, confirmed=True)
        memory.confirm([self.plan(3, confirmed=False)])
        assert memory.confirm([read]) == [(read, None)]
