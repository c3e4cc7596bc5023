from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantquota.domain.shares import water_level


@pytest.mark.parametrize(
    ("demands", "level"),
    [
        ({}, inf),
        ({"a": (500, 1), "b": (500, 1)}, inf),
        ({"a": (2000, 1), "b": (2000, 1)}, 500),
        ({"a": (100, 1), "b": (2000, 1)}, 900),
        ({"a": (2000, 1), "b": (2000, 3)}, 250),
        ({"a": (0, 1), "b": (1000, 1), "c": (1000, 1)}, 500),
    ],
)
def test_what_a_unit_of_weight_is_worth_on_one_cpu(
    demands: dict[str, tuple[float, int]], level: float
) -> None:
    assert water_level(1000, demands) == level


wants = st.dictionaries(
    st.text(min_size=1, max_size=2),
    st.tuples(st.floats(0, 10_000), st.integers(1, 10_000)),
    min_size=1,
)


@given(st.floats(1, 100_000), wants)
def test_all_is_given_or_all_are_content(capacity: float, demands: dict[str, tuple[float, int]]) -> None:
    level = water_level(capacity, demands)
    given_ = sum(min(demand, level * weight) for demand, weight in demands.values())

    if level == inf:
        assert given_ <= capacity * 1.000001
    else:
        assert given_ == pytest.approx(capacity)


def test_no_capacity_is_shared_as_nothing() -> None:
    assert water_level(0, {"a": (10, 1)}) == 0
