"""The kubelet's account against the cgroup files, and how they are put right."""

from dataclasses import replace

import pytest

from tenantquota.domain.model import PendingResize, Pod, QosClass
from tenantquota.domain.reports import Reported
from tenantquota.domain.resizes import PodPlan, Rule, State, plan_pod
from tenantquota.domain.setbacks import Setback, SetbackKind
from tenantquota.domain.truth import Nudge, Witness, hair_off, hold_against
from tests.unit.domain.builders import container, held, pod, quota, report, reported, res

IN_FORCE = res(500, 128, 50, 32)
AGENT = held(IN_FORCE)
ASKED_AGAIN = res(499, 128, 50, 32)


def plan(
    of: Pod = AGENT,
    found: Reported | None = None,
    *,
    age_seconds: float = 1,
    acknowledged_seconds: float = 60,
    nudge: Nudge | None = None,
    confirmed: bool = False,
) -> PodPlan:
    account = report(*([(of, found)] if found else []), age_seconds=age_seconds)
    return hold_against(Witness(account, acknowledged_seconds, nudge, confirmed), plan_pod(of, quota(), None))


def test_without_an_agent_the_kubelets_account_stands() -> None:
    assert hold_against(Witness(), plan_pod(AGENT, quota(), None)).state is State.SETTLED


def test_what_the_cgroup_holds_is_settled_however_old_the_report() -> None:
    assert plan(found=reported(), acknowledged_seconds=0, age_seconds=44).state is State.SETTLED


def test_a_file_changed_by_hand_is_told_and_nudged() -> None:
    found = plan(found=reported(900, 64))
    assert (found.state, found.rule, found.nudge) == (State.CGROUP_DIFFERS, Rule.CGROUP_PUT_RIGHT, True)
    assert found.message == "agent: cpu limit is 900m, not 500m, memory limit is 64Mi, not 128Mi"
    assert found.change == {"agent": ASKED_AGAIN}


def test_only_the_container_that_differs_is_nudged() -> None:
    two = pod(
        container(IN_FORCE, IN_FORCE),
        container(IN_FORCE, IN_FORCE, "proxy", sidecar=True),
        declared={},
        tenant="acme",
    )
    account = report((two, reported()))
    others = {(two.uid, "agent"): reported(), (two.uid, "proxy"): reported(600)}
    account = replace(account, report=replace(account.report, containers=others))
    found = hold_against(Witness(account, 60), plan_pod(two, quota(), None))
    assert found.change == {"proxy": ASKED_AGAIN}
    assert found.message == "proxy: cpu limit is 600m, not 500m"


@pytest.mark.parametrize(
    ("age_seconds", "acknowledged_seconds"), [(3, 1), (1, 3.9), (0, 2.9), (14, 0)], ids=str
)
def test_a_report_that_may_be_from_before_a_resize_is_no_difference(
    age_seconds: float, acknowledged_seconds: float
) -> None:
    found = plan(found=reported(900), age_seconds=age_seconds, acknowledged_seconds=acknowledged_seconds)
    assert (found.state, found.change) == (State.AWAITING_REPORT, None)


def test_one_that_has_shown_the_resize_already_is_believed_at_once() -> None:
    assert plan(found=reported()).confirmed
    assert plan(found=reported(900), acknowledged_seconds=0.5, confirmed=True).nudge


def test_a_container_without_a_report_is_awaited() -> None:
    assert (plan().state, plan().change) == (State.AWAITING_REPORT, None)


def test_a_pod_that_does_not_run_yet_awaits_nothing() -> None:
    new = pod(container(IN_FORCE), declared={"agent": IN_FORCE}, tenant="acme")
    assert plan(new).state is State.SETTLED


def test_a_stale_report_says_nothing_of_the_cgroups() -> None:
    found = plan(found=reported(900), age_seconds=46)
    assert (found.state, found.change) == (State.REPORT_STALE, None)


def test_a_report_says_nothing_while_the_kubelet_is_at_work() -> None:
    busy = replace(AGENT, generation=2)
    assert plan(busy, reported(900)).state is State.RESIZING


def test_limits_are_checked_where_requests_wait_for_room() -> None:
    waiting = held(IN_FORCE, declared={})
    setback = Setback(SetbackKind.CAPACITY, "no room", 1, {"agent": res(500, 128, 400, 32)})
    settled = plan_pod(waiting, quota(cpu_request=400), setback)
    assert settled.state is State.NO_CAPACITY
    witness = Witness(report((waiting, reported(900))), 60)
    assert hold_against(witness, settled).state is State.CGROUP_DIFFERS


class TestNudge:
    """Two resizes, the second once the kubelet has carried out the first."""

    under_way = pod(
        container(ASKED_AGAIN, IN_FORCE), declared={"agent": IN_FORCE}, tenant="acme", generation=7
    )
    carried_out = pod(
        container(ASKED_AGAIN, ASKED_AGAIN),
        declared={"agent": IN_FORCE},
        tenant="acme",
        generation=7,
        observed_generation=7,
    )

    def test_the_second_half_waits_for_the_kubelet(self) -> None:
        seen = replace(self.under_way, observed_generation=7, pending=PendingResize(""))
        for busy in (self.under_way, seen):
            found = plan(busy, reported(900), nudge=Nudge(7, 1))
            assert (found.state, found.change) == (State.CGROUP_DIFFERS, None)
            assert found.message == "agent: cpu limit is 900m, not 500m"

    def test_then_the_decided_limit_is_asked_for(self) -> None:
        found = plan(self.carried_out, reported(), nudge=Nudge(7, 1))
        assert found.change == {"agent": IN_FORCE}
        assert (found.rule, found.nudge) == (Rule.CGROUP_PUT_RIGHT, False)

    def test_a_kubelet_that_does_not_answer_is_not_waited_for_forever(self) -> None:
        assert plan(self.under_way, reported(900), nudge=Nudge(7, 10)).change == {"agent": IN_FORCE}

    def test_until_the_kubelet_has_carried_that_out_too_it_is_under_way(self) -> None:
        asked = replace(AGENT, generation=8)
        found = plan(asked, reported(900), nudge=Nudge(7, 2))
        assert (found.state, found.change) == (State.CGROUP_DIFFERS, None)
        assert found.message == "agent: cpu limit is 900m, not 500m"
        assert plan(asked, reported(), nudge=Nudge(7, 2)).message == "being put right"
        assert plan(asked, reported(900), nudge=Nudge(7, 11)).state is State.RESIZING

    def test_another_change_meanwhile_is_not_its_second_half(self) -> None:
        found = plan(replace(self.carried_out, generation=8), nudge=Nudge(7, 1))
        assert found.rule is Rule.LIMITS_FOLLOW_QUOTA

    def test_one_that_is_forgotten_is_ended_all_the_same(self) -> None:
        assert plan(self.carried_out, reported(900)).change == {"agent": IN_FORCE}

    def test_the_next_one_has_to_wait(self) -> None:
        again = plan(found=reported(900), nudge=Nudge(1, 9.9))
        assert (again.state, again.change) == (State.CGROUP_DIFFERS, None)
        assert plan(found=reported(900), nudge=Nudge(1, 10)).nudge

    def test_it_has_helped(self) -> None:
        assert plan(found=reported(), nudge=Nudge(1, 2)).state is State.SETTLED


class TestHairOff:
    def test_a_request_stays_below_the_limit(self) -> None:
        tight = res(500, 128, 499, 32)
        assert hair_off(container(tight, tight), QosClass.BURSTABLE, reported(900)) == res(499, 128, 498, 32)

    def test_a_guaranteed_pod_stays_guaranteed(self) -> None:
        full = res(500, 128, 500, 128)
        assert hair_off(container(full, full), QosClass.GUARANTEED, reported(900)) == res(499, 128, 499, 128)

    def test_no_limit_comes_to_nothing(self) -> None:
        least = res(1, 128, 0, 32)
        assert hair_off(container(least, least), QosClass.BURSTABLE, reported(900)) == res(2, 128, 0, 32)

    def test_memory_goes_no_lower_than_what_is_in_use(self) -> None:
        grown = reported(500, 512, memory=300)
        assert hair_off(container(IN_FORCE, IN_FORCE), QosClass.BURSTABLE, grown) == res(499, 319, 50, 32)
