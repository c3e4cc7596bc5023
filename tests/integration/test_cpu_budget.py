"""``spec.budget.cpu`` on nodes whose kubelet, cgroup files and agent are the test's own.

What the pods want is written down here; they use that or their limit.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

import pytest

from e2e.cluster.settings import NAMESPACE as OPERATOR_NAMESPACE
from e2e.harness.cluster import POD, TENANT_QUOTA, Cluster
from e2e.harness.controller import SELECTOR, find_controller
from e2e.harness.tenants import QUOTA
from e2e.harness.wait import NotYet, wait_until
from tenantquota.domain.quantities import parse_cpu_milli
from tests.integration.handmade_node import HandmadeNode
from tests.integration.tenant import Tenant, quiet

LIMIT_MILLI = 500
BUDGET = {"cpu": "600m"}
GREEDY = {"heavy": 2000, "heavier": 2000, "light": 50}
CALM = {"heavy": 20, "heavier": 20, "light": 20}
REPORT_SECONDS = 1.0
GIVEN_BACK_WITHIN_SECONDS = 120
EXPIRED_WITHIN_SECONDS = 120


@pytest.fixture
def tenant(cluster: Cluster, controller: object, new_namespace: Callable[[str], str]) -> Tenant:
    return Tenant(cluster, new_namespace("cpu-budget"))


@pytest.fixture
def nodes(tenant: Tenant) -> Iterator[tuple[HandmadeNode, HandmadeNode]]:
    """Two nodes, with the pods ``heavy`` and ``light`` on the first and ``heavier`` on the second."""
    names = (f"handmade-{number}-{tenant.namespace}" for number in (1, 2))
    first, second = (HandmadeNode(tenant.cluster, name, tenant.namespace) for name in names)
    with first, second:
        first.start("heavy", "light")
        second.start("heavier")
        yield first, second


def begin(tenant: Tenant, nodes: tuple[HandmadeNode, HandmadeNode], **fields: str) -> None:
    tenant.quota(f"{LIMIT_MILLI}m", "64Mi", budget=BUDGET, **fields)
    tenant.wait_condition("Ready", "True", "Reconciled")
    if "enforcement" not in fields:
        tenant.wait_condition("Enforced", "True", "LimitsInForce", says="3 of 3 running containers")


def live(nodes: tuple[HandmadeNode, HandmadeNode], wants: Mapping[str, int]) -> None:
    """Each pod uses what it wants or its limit, in milli-CPU, and the agents report it."""
    for node in nodes:
        for pod, cgroup in node.cgroups.items():
            cgroup.cpu_milli = min(wants[pod], cgroup.cpu_limit_milli)
        node.report()


def limits(nodes: tuple[HandmadeNode, HandmadeNode]) -> dict[str, int]:
    return {pod: cgroup.cpu_limit_milli for node in nodes for pod, cgroup in node.cgroups.items()}


def asked(nodes: tuple[HandmadeNode, HandmadeNode]) -> dict[str, list[int]]:
    """Every CPU limit that each pod's kubelet was asked for, in turn."""
    return {pod: [parse_cpu_milli(cpu) for cpu in of] for node in nodes for pod, of in node.asked.items()}


def wait_limits(
    nodes: tuple[HandmadeNode, HandmadeNode],
    wants: Mapping[str, int],
    wanted: Callable[[dict[str, int]], bool],
    what: str,
    deadline_seconds: float = 60,
) -> dict[str, int]:
    def so() -> dict[str, int]:
        live(nodes, wants)
        found = limits(nodes)
        if not wanted(found):
            raise NotYet(f"they are {found}")
        return found

    return wait_until(so, what=what, deadline_seconds=deadline_seconds, poll_seconds=REPORT_SECONDS)


def held(found: dict[str, int]) -> bool:
    return found["heavy"] < LIMIT_MILLI and found["heavier"] < LIMIT_MILLI


def whole(found: dict[str, int]) -> bool:
    return set(found.values()) == {LIMIT_MILLI}


def test_the_largest_users_on_all_nodes_are_sized_down_and_it_is_given_back(
    tenant: Tenant, nodes: tuple[HandmadeNode, HandmadeNode]
) -> None:
    begin(tenant, nodes)
    found = wait_limits(nodes, GREEDY, held, "the heavy pods to be sized down")
    assert found["heavy"] == found["heavier"]
    assert found["light"] == LIMIT_MILLI
    assert sum(min(GREEDY[pod], limit) for pod, limit in found.items()) <= 600

    message = tenant.wait_condition("WithinBudget", "False", "CpuOverBudget", says="of a budget of 600m")
    assert "2 containers are lowered" in message
    status = tenant.status()
    assert status["phase"] == "Throttled"
    hold = status["hold"]
    assert (hold["reason"], hold["oldLimit"]) == ("CpuOverBudget", "500m")
    assert {each["pod"]: each["newLimit"] for each in hold["containers"]} == {
        pod: f"{found[pod]}m" for pod in ("heavy", "heavier")
    }
    assert hold["expires"] > hold["since"]
    tenant.wait_event(QUOTA, "CpuOverBudget", "WithinBudget")
    tenant.wait_event(QUOTA, "CpuSizedDown", f"cpu limit 500m → {found['heavy']}m")
    live(nodes, GREEDY)
    tenant.wait_condition("Enforced", "True", "LimitsInForce")

    once = asked(nodes)

    def steady() -> bool:
        live(nodes, GREEDY)
        return asked(nodes) == once

    quiet(steady, 10)

    wait_limits(nodes, CALM, whole, "everything to be given back", deadline_seconds=GIVEN_BACK_WITHIN_SECONDS)
    for pod in ("heavy", "heavier"):
        back = asked(nodes)[pod][len(once[pod]) - 1 :]
        assert all(before < after for before, after in pairwise(back)), f"{pod} went {back}"
    assert asked(nodes)["light"] == once["light"]
    tenant.wait_condition("WithinBudget", "True", "Held")
    tenant.wait_event(QUOTA, "CpuGivenBack")
    assert tenant.status()["phase"] == "Recovering"

    def over() -> bool:
        live(nodes, CALM)
        status = tenant.status()
        if status.get("hold") or status["phase"] != "Normal":
            raise NotYet(f"the phase is {status['phase']}")
        return True

    wait_until(over, what="the hold to end", deadline_seconds=120, poll_seconds=5)


def test_observe_records_and_changes_nothing(
    tenant: Tenant, nodes: tuple[HandmadeNode, HandmadeNode]
) -> None:
    begin(tenant, nodes)
    before = asked(nodes)
    begin(tenant, nodes, enforcement="Observe")
    says = "2 containers would be lowered"

    def told() -> bool:
        live(nodes, GREEDY)
        return says in tenant.condition("WithinBudget")["message"]

    wait_until(told, what=f"WithinBudget to say that {says}", deadline_seconds=60, poll_seconds=1)
    assert tenant.condition("WithinBudget")["reason"] == "CpuOverBudget"
    decisions = [each for each in tenant.status()["decisions"] if each["rule"] == "CpuSizedDown"]
    assert {each["outcome"] for each in decisions} == {"Observed"}
    # nodes report in turn, so the budget may be passed by one pod first
    targets = {each["target"] for each in decisions}
    assert "2 pods" in targets or targets >= {"pod heavy", "pod heavier"}
    assert {each["pod"] for each in tenant.status()["hold"]["containers"]} == {"heavy", "heavier"}

    def untouched() -> bool:
        live(nodes, GREEDY)
        return asked(nodes) == before

    quiet(untouched, 15)


def test_a_hold_that_no_report_backs_expires(
    tenant: Tenant, nodes: tuple[HandmadeNode, HandmadeNode]
) -> None:
    begin(tenant, nodes)
    wait_limits(nodes, GREEDY, held, "the heavy pods to be sized down")
    for node in nodes:
        node.period_seconds = 1
    live(nodes, GREEDY)  # and never again
    wait_until(
        lambda: whole(limits(nodes)),
        what="the limits to come back without a report",
        deadline_seconds=EXPIRED_WITHIN_SECONDS,
        poll_seconds=REPORT_SECONDS,
    )


def test_without_a_budget_the_hold_ends(tenant: Tenant, nodes: tuple[HandmadeNode, HandmadeNode]) -> None:
    begin(tenant, nodes)
    wait_limits(nodes, GREEDY, held, "the heavy pods to be sized down")
    tenant.cluster.patch(TENANT_QUOTA, QUOTA, tenant.namespace, {"spec": {"budget": None}})
    wait_limits(nodes, GREEDY, whole, "the limits to come back")
    tenant.wait_condition("WithinBudget", "True", "NoBudget")
    assert "hold" not in tenant.status()


@pytest.mark.exclusive
def test_a_new_controller_goes_on_with_the_hold(
    tenant: Tenant, nodes: tuple[HandmadeNode, HandmadeNode]
) -> None:
    begin(tenant, nodes)
    wait_limits(nodes, GREEDY, held, "the heavy pods to be sized down")
    tenant.wait_condition("WithinBudget", "False", "CpuOverBudget")
    before, once = tenant.status()["hold"], asked(nodes)
    (controller,) = tenant.cluster.objects(POD, OPERATOR_NAMESPACE, selector=SELECTOR)
    name = controller["metadata"]["name"]
    tenant.cluster.kubectl(
        *("delete", "pod", name, f"--namespace={OPERATOR_NAMESPACE}", "--grace-period=0", "--force")
    )
    wait_until(
        lambda: tenant.cluster.gone(POD, name, OPERATOR_NAMESPACE),
        what="the controller to end",
        deadline_seconds=60,
    )
    find_controller(tenant.cluster)

    def renewed() -> bool:
        live(nodes, GREEDY)
        hold = tenant.status().get("hold") or {}
        if not hold.get("expires", "") > before["expires"]:
            raise NotYet(f"the hold is {hold}")
        return True

    wait_until(renewed, what="the new controller to renew the hold", deadline_seconds=90, poll_seconds=1)
    after = tenant.status()["hold"]
    assert {**after, "expires": ""} == {**before, "expires": ""}
    assert asked(nodes) == once, "no limit was changed meanwhile"
    wait_limits(nodes, CALM, whole, "everything to be given back", deadline_seconds=GIVEN_BACK_WITHIN_SECONDS)
