import pytest

from tenantquota.api.tenantquota import LabelSelector
from tenantquota.domain.selectors import claim, selects
from tests.unit.domain.builders import container, pod, quota, res


def expression(operator: str, *values: str) -> LabelSelector:
    return LabelSelector.model_validate(
        {"matchExpressions": [{"key": "a", "operator": operator, "values": values}]}
    )


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {}, True),
        (LabelSelector(match_labels={"a": "1"}), {"a": "1", "b": "2"}, True),
        (LabelSelector(match_labels={"a": "1"}), {"a": "2"}, False),
        (LabelSelector(match_labels={"a": "1"}), {}, False),
        (expression("In", "1", "2"), {"a": "2"}, True),
        (expression("In", "1", "2"), {}, False),
        (expression("NotIn", "1"), {"a": "2"}, True),
        (expression("NotIn", "1"), {}, True),
        (expression("NotIn", "1"), {"a": "1"}, False),
        (expression("Exists"), {"a": ""}, True),
        (expression("Exists"), {}, False),
        (expression("DoesNotExist"), {}, True),
        (expression("DoesNotExist"), {"a": "1"}, False),
    ],
)
def test_selectors_mean_what_kubernetes_means(
    selector: LabelSelector | None, labels: dict[str, str], expected: bool
) -> None:
    assert selects(selector, labels) is expected


blue = pod(container(res()), name="blue", labels={"color": "blue"})
red = pod(container(res()), name="red", labels={"color": "red"})


def test_disjoint_quotas_share_a_namespace() -> None:
    claims = claim(
        [quota(name="b", labels={"color": "blue"}), quota(name="g", labels={"color": "green"})], [blue, red]
    )
    assert claims.by_quota == {"uid-b": (blue,), "uid-g": ()}
    assert claims.free == (red,)


def test_a_pod_of_two_quotas_is_nobodys_and_both_are_told() -> None:
    claims = claim([quota(name="b", labels={"color": "blue"}), quota(name="all")], [blue, red])
    assert claims.by_quota == {"uid-b": (), "uid-all": (red,)}
    assert claims.overlaps == {"uid-b": ((blue, ("all",)),), "uid-all": ((blue, ("b",)),)}
    assert claims.free == ()


def test_a_quota_that_observes_stands_in_nobodys_way() -> None:
    claims = claim([quota(name="b", labels={"color": "blue"}), quota(name="try", observe=True)], [blue])
    assert claims.by_quota["uid-b"] == (blue,)
    assert claims.overlaps["uid-try"] == ((blue, ("b",)),)
