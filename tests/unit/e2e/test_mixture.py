"""Which tenants of a mixture are of which kind."""

from collections import Counter

import pytest

from e2e.harness.mixture import Role, roles


@pytest.mark.parametrize(("count", "normal", "others"), [(4, 2, 1), (10, 6, 2), (50, 26, 12), (100, 50, 25)])
def test_half_are_normal_and_the_rest_of_two_kinds(count: int, normal: int, others: int) -> None:
    assert Counter(roles(count)) == {Role.NORMAL: normal, Role.HEAVY: others, Role.MIXED: others}


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="give 4 at least"):
        roles(3)
