from dataclasses import replace

import pytest

from tenantquota.domain.model import PendingResize, Pod, QosClass, Resources
from tenantquota.domain.plan import Observation, plan_namespace
from tenantquota.domain.resizes import State, plan_pod
from tenantquota.domain.unread_usage import ASK_AGAIN_SECONDS, is_unread
from tests.unit.domain.builders import container, held, pod, quota, res

UNREAD = 'cannot decrease memory limits: missing container "agent" memory usage'
OLDER = res(cpu_request=100, memory_request=16)
DECIDED = res(500, 128, 50, 16)


def older(spec: Resources = OLDER, actual: Resources = OLDER, **fields: object) -> Pod:
    """Than its quota; its container was begun anew."""
    return pod(container(spec, actual, begun_anew=True), declared={"agent": OLDER}, tenant="acme", **fields)


def changes(of: Pod) -> dict[str, Resources] | None:
    change = plan_pod(of, quota(), None).change
    return None if change is None else dict(change)


@pytest.mark.parametrize(
    ("message", "unread"),
    [
        (UNREAD, True),
        ("cannot decrease memory limits: missing pod memory usage", True),
        ('attempting to set container "agent" memory limit (1) below current usage (2)', False),
        ("", False),
    ],
)
def test_the_kubelets_words(message: str, unread: bool) -> None:
    assert is_unread(held(DECIDED, pending=PendingResize("Error", message))) is unread


class TestCpuFirst:
    def test_cpu_does_not_wait_for_a_first_memory_limit(self) -> None:
        assert changes(older()) == {"agent": res(500, None, 50, 16)}

    def test_memory_waits_while_cpu_is_on_its_way(self) -> None:
        plan = plan_pod(older(res(500, None, 50, 16), pending=PendingResize("")), quota(), None)
        assert (plan.change, plan.state) == (None, State.RESIZING)

    def test_memory_follows(self) -> None:
        cpu_in_force = res(500, None, 50, 16)
        assert changes(older(cpu_in_force, cpu_in_force)) == {"agent": DECIDED}

    def test_so_does_a_lower_one(self) -> None:
        before = res(800, 256, 50, 16)
        assert changes(older(before, before)) == {"agent": res(500, 256, 50, 16)}

    def test_a_higher_one_needs_no_reading(self) -> None:
        before = res(300, 64, 50, 16)
        roomy = pod(container(before, before, begun_anew=True), declared={"agent": OLDER}, tenant="acme")
        assert changes(roomy) == {"agent": DECIDED}

    def test_where_nothing_ended_both_go_at_once(self) -> None:
        assert changes(pod(container(OLDER, OLDER), declared={"agent": OLDER}, tenant="acme")) == {
            "agent": DECIDED
        }

    def test_one_container_holds_up_the_memory_of_all(self) -> None:
        two = pod(
            container(OLDER, OLDER),
            container(OLDER, OLDER, "proxy", begun_anew=True),
            declared={"agent": OLDER, "proxy": OLDER},
            tenant="acme",
        )
        assert changes(two) == dict.fromkeys(("agent", "proxy"), res(500, None, 50, 16))

    def test_memory_waits_for_the_cpu_limits_of_all(self) -> None:
        half = res(500, None, 50, 16)
        two = pod(
            container(half, half, begun_anew=True),
            container(half, OLDER, "proxy"),
            declared={"agent": OLDER, "proxy": OLDER},
            tenant="acme",
        )
        assert changes(two) is None

    def test_a_guaranteed_pod_stays_one(self) -> None:
        before = res(800, 256, 800, 256)
        change = changes(older(before, before, qos=QosClass.GUARANTEED))
        assert change == {"agent": res(500, 256, 500, 256)}

    def test_a_limit_below_the_kernels_least_is_in_force_as_that(self) -> None:
        spec, actual = res(5, None, 4, 16), res(10, None, 4, 16)
        change = plan_pod(older(spec, actual), quota(5), None).change
        assert change == {"agent": res(5, 128, 4, 16)}


class TestAskingAgain:
    pending = older(DECIDED, res(500, None, 50, 16), generation=2, pending=PendingResize("Error", UNREAD))

    def test_who_was_not_asked_lately_is_asked(self) -> None:
        (plan,) = plan_namespace(Observation("acme", (quota(),), pods=(self.pending,))).quotas
        assert [each.name for each in plan.asks] == ["p"]
        assert ASK_AGAIN_SECONDS in plan.again_seconds
        assert plan.acts == ()

    @pytest.mark.parametrize(("ago", "asks"), [(ASK_AGAIN_SECONDS - 0.1, 0), (ASK_AGAIN_SECONDS, 1)])
    def test_no_more_often_than_that(self, ago: float, asks: int) -> None:
        seen = Observation("acme", (quota(),), pods=(self.pending,), asked_seconds={self.pending.uid: ago})
        (plan,) = plan_namespace(seen).quotas
        assert len(plan.asks) == asks
        assert ASK_AGAIN_SECONDS in plan.again_seconds

    def test_nobody_is_asked_about_another_trouble(self) -> None:
        under_way = replace(self.pending, pending=PendingResize("Error", "unable to freeze"))
        (plan,) = plan_namespace(Observation("acme", (quota(),), pods=(under_way,))).quotas
        assert plan.asks == ()
        assert ASK_AGAIN_SECONDS not in plan.again_seconds

    def test_who_waits_for_a_lower_limit_needs_no_word(self) -> None:
        """The kubelet's condition comes after its second attempt."""
        silent = replace(self.pending, pending=None)
        assert is_unread(silent)
        assert not is_unread(replace(silent, containers=(container(DECIDED, res(500, None, 50, 16)),)))
        assert not is_unread(
            replace(silent, containers=(container(DECIDED, res(400, 128, 50, 16), begun_anew=True),))
        )

    def test_nobody_whose_limits_are_in_force(self) -> None:
        (plan,) = plan_namespace(Observation("acme", (quota(),), pods=(held(DECIDED),))).quotas
        assert plan.asks == ()
