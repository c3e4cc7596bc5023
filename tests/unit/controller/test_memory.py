"""What the controller remembers of a pod between two looks at it."""

from dataclasses import replace

from tenantquota.controller.memory import Memory
from tenantquota.domain.resizes import PodPlan, State
from tenantquota.domain.truth import Nudge
from tests.unit.domain.builders import container, held, pod, report, res

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
    memory.usage_shown["uid-q"] = 10
    memory.forget_all_but(["uid-q"])
    assert (memory.acknowledged, memory.nudges, memory.usage_shown) == ({}, {}, {"uid-q": 10})
