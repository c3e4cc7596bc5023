from tenantquota.domain.decisions import Outcome, Result, describe, farewell, news, summarise
from tenantquota.domain.resizes import plan_pod, plan_release
from tests.unit.domain.builders import container, held, pod, quota, res

IN_FORCE = res(500, 128, 50, 32)


def test_old_and_new_values_are_named() -> None:
    plan = plan_pod(pod(container(res(cpu_request=100))), quota(), None)
    assert plan.change is not None
    assert describe(plan.pod, plan.change) == (
        "cpu limit none → 500m, memory limit none → 128Mi, cpu request 100m → 50m, memory request none → 32Mi"
    )


def test_containers_are_named_where_they_differ() -> None:
    two = pod(container(res(1000, 128, 50, 32)), container(res(2000, 128, 50, 32), name="proxy"))
    plan = plan_pod(two, quota(), None)
    assert plan.change is not None
    assert describe(two, plan.change) == "agent: cpu limit 1 → 500m; proxy: cpu limit 2 → 500m"


def test_the_same_for_many_pods_is_one_decision() -> None:
    plans = [plan_pod(held(IN_FORCE, declared={}, name=f"p{n}"), quota(cpu=300), None) for n in range(50)]
    (decision,) = summarise([Result(plan, Outcome.APPLIED) for plan in plans], "now")
    assert (decision.target, decision.message) == ("50 pods", "cpu limit 500m → 300m")
    assert (decision.rule, decision.outcome, decision.time) == ("LimitsFollowQuota", "Applied", "now")


def test_a_repeated_refusal_is_no_news_but_a_repeated_change_is() -> None:
    plan = plan_pod(held(IN_FORCE, declared={}), quota(cpu=300), None)
    refused = summarise([Result(plan, Outcome.REFUSED, "403")], "1")
    applied = summarise([Result(plan, Outcome.APPLIED)], "1")
    assert news(refused, ()) == refused
    assert news(refused, refused) == ()
    assert news(applied, applied) == applied


def test_the_farewell_says_what_stays() -> None:
    kept = farewell(plan_release(held(IN_FORCE, declared={"agent": res(2000)}), None))
    assert "cpu limit 500m → 2" in kept
    assert "memory limits that it doesn't declare stay" in kept
    assert "stay" not in farewell(plan_release(held(IN_FORCE, declared={"agent": res(2000, 1024)}), None))
