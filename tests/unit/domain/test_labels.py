from typing import NamedTuple

import pytest

from tenantquota.domain.labels import Selector, holder_of, requirement, selects


def expression(operator: str, *values: str) -> Selector:
    return Selector({}, (requirement("a", operator, values),))


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {}, True),
        (Selector({"a": "1"}), {"a": "1", "b": "2"}, True),
        (Selector({"a": "1"}), {"a": "2"}, False),
        (Selector({"a": "1"}), {}, False),
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
    selector: Selector | None, labels: dict[str, str], expected: bool
) -> None:
    assert selects(selector, labels) is expected


def test_an_unknown_operator_is_refused_rather_than_guessed() -> None:
    with pytest.raises(ValueError, match="'Gt' is no operator"):
        expression("Gt", "1")


class Quota(NamedTuple):
    tenant: str
    selector: Selector | None = None
    enforces: bool = True


BLUE = Selector({"color": "blue"})


@pytest.mark.parametrize(
    ("quotas", "tenant"),
    [
        ([], None),
        ([Quota("a")], "a"),
        ([Quota("a", Selector({"color": "red"}))], None),
        ([Quota("a", BLUE), Quota("b", Selector({"color": "red"}))], "a"),
        ([Quota("a", BLUE), Quota("b")], None),
        ([Quota("a", BLUE), Quota("a")], "a"),
        ([Quota("a", enforces=False)], "a"),
        ([Quota("a", enforces=False), Quota("b", BLUE)], "b"),
        ([Quota("a", enforces=False), Quota("b", enforces=False)], None),
    ],
)
def test_whose_a_blue_pod_is(quotas: list[Quota], tenant: str | None) -> None:
    holder = holder_of(quotas, {"color": "blue"})

    assert (holder and holder.tenant) == tenant
