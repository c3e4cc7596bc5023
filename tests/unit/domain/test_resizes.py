from dataclasses import replace

import pytest

from tenantquota.domain.model import PendingResize, Pod, QosClass
from tenantquota.domain.resizes import Rule, State, plan_pod, plan_release, refusal
from tenantquota.domain.setbacks import Setback, SetbackKind, setback_of, step_above_usage, usage_in_refusal
from tests.unit.domain.builders import MI, container, held, pod, quota, refused, res

IN_FORCE = res(500, 128, 50, 32)


def setback(of: Pod, age_seconds: float = 0.0) -> Setback:
    found = setback_of(of, age_seconds)
    assert found is not None
    return found


def test_a_pod_that_holds_its_limits_is_left_alone() -> None:
    plan = plan_pod(held(IN_FORCE), quota(), None)
    assert (plan.state, plan.change, plan.adopt) == (State.SETTLED, None, False)


def test_an_older_pod_is_adopted_and_limited() -> None:
    plan = plan_pod(pod(container(res(cpu_request=100), res(cpu_request=100))), quota(), None)
    assert plan.adopt
    assert plan.change == {"agent": IN_FORCE}
    assert (plan.state, plan.rule) == (State.CHANGE, Rule.LIMITS_FOLLOW_QUOTA)


def test_a_raised_quota_goes_no_higher_than_what_the_pod_declares() -> None:
    plan = plan_pod(held(IN_FORCE, declared={"agent": res(800, 1024)}), quota(2000, 256), None)
    assert plan.change == {"agent": res(800, 256, 50, 32)}


def test_a_manual_resize_is_put_back() -> None:
    plan = plan_pod(held(res(4000, 128, 50, 32), declared={"agent": res()}), quota(), None)
    assert plan.change == {"agent": IN_FORCE}


def test_only_the_container_that_differs_is_changed() -> None:
    two = pod(
        container(IN_FORCE, IN_FORCE),
        container(res(600, 128, 50, 32), IN_FORCE, "proxy", sidecar=True),
        declared={},
        tenant="acme",
    )
    assert plan_pod(two, quota(), None).change == {"proxy": IN_FORCE}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        pytest.param({"generation": 2}, "not seen by the kubelet", id="generation"),
        pytest.param({"pending": PendingResize("")}, "under way", id="condition"),
    ],
)
def test_a_resize_is_not_through_before_the_kubelet_says_so(fields: dict[str, object], why: str) -> None:
    assert plan_pod(held(IN_FORCE, **fields), quota(), None).state is State.RESIZING, why


def test_a_resize_is_not_through_while_the_status_shows_the_old_limit() -> None:
    old = pod(container(IN_FORCE, res(800, 128, 50, 32)), declared={}, tenant="acme")
    assert plan_pod(old, quota(), None).state is State.RESIZING


def test_a_limit_below_the_kernels_least_quota_counts_as_held() -> None:
    tiny = pod(
        container(res(5, 128, 4, 32), res(10, 128, 4, 32)), declared={"agent": res(5, 128, 4)}, tenant="acme"
    )
    assert plan_pod(tiny, quota(), None).state is State.SETTLED


@pytest.mark.parametrize(
    ("fields", "state", "advice"),
    [
        ({"qos": QosClass.BEST_EFFORT}, State.BEST_EFFORT, "delete it"),
        ({"static": True}, State.STATIC, "manifest file"),
        ({"pod_level_resources": True}, State.POD_LEVEL, "per container"),
    ],
)
def test_pods_that_cant_be_limited_say_what_to_do(
    fields: dict[str, object], state: State, advice: str
) -> None:
    plan = plan_pod(pod(container(res()), **fields), quota(), None)
    assert (plan.state, plan.change, plan.adopt) == (state, None, False)
    assert advice in plan.message


class TestMemoryBelowUsage:
    """The kubelet refuses a limit below usage: it steps to usage plus headroom, then follows usage down."""

    stuck = refused(
        pod(container(IN_FORCE, res(500, 512, 50, 32)), declared={}, tenant="acme"), usage_mib=200
    )

    def test_steps_to_usage_plus_headroom(self) -> None:
        plan = plan_pod(self.stuck, quota(), setback(self.stuck))
        assert plan.change == {"agent": res(500, 216, 50, 32)}
        assert (plan.state, plan.rule) == (State.STEPPING_DOWN, Rule.MEMORY_STEPS_DOWN)

    def test_waits_there_for_usage_to_fall(self) -> None:
        stepped = held(res(500, 216, 50, 32), declared={})
        plan = plan_pod(stepped, quota(), setback(self.stuck, age_seconds=9))
        assert (plan.change, plan.state) == (None, State.STEPPING_DOWN)

    def test_tries_the_whole_again_after_a_while(self) -> None:
        stepped = held(res(500, 216, 50, 32), declared={})
        plan = plan_pod(stepped, quota(), setback(self.stuck, age_seconds=10))
        assert plan.change == {"agent": IN_FORCE}

    def test_never_steps_above_what_is_in_force(self) -> None:
        grown = refused(
            pod(container(IN_FORCE, res(500, 216, 50, 32)), declared={}, tenant="acme"), usage_mib=210
        )
        assert plan_pod(grown, quota(), setback(grown)).change == {"agent": res(500, 216, 50, 32)}

    def test_a_container_without_a_limit_gets_one_above_usage(self) -> None:
        bare = refused(
            pod(container(IN_FORCE, res(cpu_request=50)), declared={}, tenant="acme"), usage_mib=200
        )
        assert plan_pod(bare, quota(), setback(bare)).change == {"agent": res(500, 216, 50, 32)}

    def test_cpu_does_not_wait_for_memory(self) -> None:
        plan = plan_pod(self.stuck, quota(cpu=300), setback(self.stuck))
        assert plan.change == {"agent": res(300, 216, 50, 32)}

    def test_a_quota_raised_above_usage_forgets_it(self) -> None:
        plan = plan_pod(self.stuck, quota(memory=256), setback(self.stuck))
        assert plan.change == {"agent": res(500, 256, 50, 32)}

    def test_a_guaranteed_pod_keeps_request_and_limit_equal(self) -> None:
        full = res(500, 512, 500, 512)
        big = pod(container(res(500, 128, 500, 128), full), qos=QosClass.GUARANTEED, declared={"agent": full})
        big = refused(replace(big, tenant="acme"), usage_mib=200)
        assert plan_pod(big, quota(), setback(big)).change == {"agent": res(500, 216, 500, 216)}


class TestNoCapacity:
    """Limits don't wait until the node has room for the requests."""

    wanted = res(500, 128, 400, 100)
    before = res(800, 128, 50, 32)
    roomy = quota(cpu_request=400, memory_request=100)

    @pytest.mark.parametrize("reason", ["Deferred", "Infeasible"])
    def test_limits_come_first(self, reason: str) -> None:
        asked = pod(
            container(self.wanted, self.before),
            declared={},
            tenant="acme",
            pending=PendingResize(reason, "no room"),
        )
        plan = plan_pod(asked, self.roomy, setback(asked))
        assert plan.change == {"agent": res(500, 128, 50, 32)}
        assert (plan.state, plan.rule, plan.message) == (
            State.NO_CAPACITY,
            Rule.LIMITS_BEFORE_REQUESTS,
            "no room",
        )

    def test_requests_are_asked_for_again_later(self) -> None:
        old = Setback(SetbackKind.CAPACITY, "no room", 180, {"agent": self.wanted})
        held_back = held(res(500, 128, 50, 32), declared={})
        assert plan_pod(held_back, self.roomy, replace(old, age_seconds=179)).change is None
        assert plan_pod(held_back, self.roomy, old).change == {"agent": self.wanted}

    def test_another_quota_is_tried_at_once(self) -> None:
        old = Setback(SetbackKind.CAPACITY, "no room", 1, {"agent": self.wanted})
        plan = plan_pod(held(res(500, 128, 50, 32), declared={}), quota(cpu_request=60), old)
        assert plan.change == {"agent": res(500, 128, 60, 32)}


def test_a_refusal_of_raised_requests_is_about_capacity_and_any_other_is_not() -> None:
    raising = plan_pod(held(IN_FORCE, declared={}), quota(cpu_request=100), None)
    lowering = plan_pod(held(IN_FORCE, declared={}), quota(cpu=100), None)
    assert refusal(raising, "403").kind is SetbackKind.CAPACITY
    assert refusal(lowering, "403").kind is SetbackKind.REFUSED


def test_a_refused_resize_rests_for_a_while() -> None:
    plan = plan_pod(held(IN_FORCE, declared={}), quota(cpu=100), None)
    refused_now = refusal(plan, "exceeded quota")
    again = plan_pod(held(IN_FORCE, declared={}), quota(cpu=100), refused_now)
    assert (again.change, again.state, again.message) == (None, State.REFUSED, "exceeded quota")
    later = replace(refused_now, age_seconds=30)
    assert plan_pod(held(IN_FORCE, declared={}), quota(cpu=100), later).change is not None


def test_usage_is_read_from_the_kubelets_own_words() -> None:
    words = (
        "cannot decrease memory limits: [attempting to set pod memory limit (52428800) below current"
        ' usage (90000000), attempting to set container "agent" memory limit (52428800) below current'
        " usage (90177536)]"
    )
    assert usage_in_refusal(words) == 90177536
    assert usage_in_refusal("Node didn't have enough resource: cpu") == 0


@pytest.mark.parametrize(("usage", "step"), [(100, 116), (1024, 1088), (1, 17)])
def test_headroom_is_16_mib_or_a_sixteenth(usage: int, step: int) -> None:
    assert step_above_usage(usage * MI) == step * MI
    assert step_above_usage(usage * MI - 1) == step * MI


def test_a_released_pod_gets_back_what_it_declared() -> None:
    plan = plan_release(held(IN_FORCE, declared={"agent": res(2000, None, 100)}), None)
    assert plan.rule is Rule.DECLARED_COMES_BACK
    assert plan.change == {"agent": res(2000, 128, 100, 32)}
    assert not plan.adopt


def test_a_pods_conditions_count_only_for_the_generation_that_the_kubelet_has_seen() -> None:
    pending = held(IN_FORCE, generation=3, observed_generation=2, pending=PendingResize("Deferred", "x"))
    assert setback_of(pending) is None


def test_a_limit_that_had_to_stay_is_not_taken_for_the_authors_by_the_next_quota() -> None:
    left = pod(container(IN_FORCE, IN_FORCE), declared={"agent": res(cpu_request=50)})
    assert not left.held
    plan = plan_pod(left, quota(cpu=800, memory=256), None)
    assert plan.change == {"agent": res(800, 256, 50, 32)}
    assert plan.adopt
