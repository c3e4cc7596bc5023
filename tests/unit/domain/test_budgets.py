from tenantquota.domain.budgets import (
    BudgetChange,
    OwnedResourceQuota,
    hard_of,
    has_room,
    not_held,
    over_budget,
    plan_budgets,
)
from tenantquota.domain.model import Budget, QosClass
from tenantquota.domain.resizes import plan_pod
from tests.unit.domain.builders import MI, container, held, pod, quota, res

BUDGET = Budget(cpu_milli=2000, memory_bytes=512 * MI, pods=4)
HARD = {"limits.memory": 512 * MI, "pods": 4}


def test_memory_and_pods_are_held_by_a_resource_quota() -> None:
    whole = quota(budget=BUDGET)
    assert plan_budgets([(whole, (), 0)], []) == (BudgetChange("tenantquota-q", HARD, whole),)
    assert plan_budgets([(whole, (), 0)], [OwnedResourceQuota("tenantquota-q", "uid-q", HARD)]) == ()


def test_one_that_was_changed_by_hand_is_put_back() -> None:
    whole = quota(budget=BUDGET)
    other = OwnedResourceQuota("tenantquota-q", "uid-q", HARD | {"pods": 40})
    assert plan_budgets([(whole, (), 0)], [other]) == (BudgetChange("tenantquota-q", HARD, whole),)


def test_one_of_a_quota_of_the_same_name_that_was_deleted_is_taken_over() -> None:
    whole = quota(budget=BUDGET)
    assert (
        plan_budgets([(whole, (), 0)], [OwnedResourceQuota("tenantquota-q", "uid-old", HARD)])[0].quota
        is whole
    )


def test_one_that_nothing_asks_for_is_deleted() -> None:
    there = [OwnedResourceQuota("tenantquota-q", "uid-q", HARD)]
    assert plan_budgets([(quota(), (), 0)], there) == (BudgetChange("tenantquota-q", {}),)
    assert plan_budgets([(quota(budget=BUDGET, observe=True), (), 0)], there) == (
        BudgetChange("tenantquota-q", {}),
    )


def test_a_quota_that_selects_some_pods_says_what_is_not_held() -> None:
    some = quota(budget=BUDGET, labels={"app": "agent"})
    assert plan_budgets([(some, (), 0)], []) == ()
    (text,) = not_held(some)
    assert text.startswith("budget.memory and budget.pods can't be held")
    assert "leave spec.selector out" in text


def test_pods_that_are_there_already_can_be_over_the_budget() -> None:
    pods = [held(res(500, 256, 50, 32), name=str(n)) for n in range(3)]
    assert over_budget(quota(budget=Budget(memory_bytes=512 * MI, pods=2)), pods) == [
        "memory limits add up to 768Mi, over budget.memory of 512Mi",
        "3 pods, over budget.pods of 2",
    ]
    assert over_budget(quota(budget=BUDGET), [pod(container(res()))]) == []


def test_memory_waits_for_the_first_limits_of_pods_that_have_none() -> None:
    whole = quota(budget=BUDGET)
    older = plan_pod(pod(container(res(cpu_request=5))), whole, None)
    hopeless = plan_pod(pod(container(res()), qos=QosClass.BEST_EFFORT), whole, None)
    limited = plan_pod(held(res(900, 256, 50, 32), declared={}), whole, None)
    assert hard_of(whole, [older]) == {"pods": 4}
    assert hard_of(whole, [hopeless, limited]) == HARD


def test_room_for_lowered_limits_is_kept_from_others() -> None:
    whole = quota(budget=BUDGET)
    kept = HARD | {"limits.memory": HARD["limits.memory"] - 100}
    assert hard_of(whole, (), 100) == kept
    assert plan_budgets([(whole, (), 100)], []) == (BudgetChange("tenantquota-q", kept, whole),)
    assert hard_of(whole, (), 2**50)["limits.memory"] == 0


def test_the_room_is_there_once_the_api_server_admits_by_it() -> None:
    whole, memory = quota(budget=BUDGET), HARD["limits.memory"]

    def room(in_force: dict[str, int], reserved_bytes: int = 0) -> bool:
        owned = OwnedResourceQuota("tenantquota-q", "uid-q", HARD, in_force)
        return has_room(whole, [owned], reserved_bytes)

    assert not room({"limits.memory": memory - 100})
    assert room({"limits.memory": memory - 100}, reserved_bytes=100)
    assert room({"limits.memory": memory})
    assert room({})
    assert has_room(whole, [], 0)
    assert has_room(quota(), [OwnedResourceQuota("tenantquota-q", "uid-q", HARD, HARD)], 0)
