"""Who runs idle."""

import pytest

from tenantquota.domain.idling import Candidate, idle_pods

HOG, OTHER = Candidate("hog-0", "hog", False), Candidate("other-0", "other", False)


def test_all_pods_of_tenants_that_yield() -> None:
    second = HOG._replace(uid="hog-1")

    assert idle_pods([HOG, second, OTHER], {"hog"}, ()) == {"hog-0", "hog-1"}


@pytest.mark.parametrize(("yielding", "capped"), [((), ()), ({"hog"}, {"hog"})])
def test_nobody_who_does_not_yield_or_is_capped(yielding: set[str], capped: set[str]) -> None:
    assert idle_pods([HOG, OTHER], yielding, capped) == frozenset()


def test_not_the_pod_that_is_resized() -> None:
    resized = Candidate("hog-1", "hog", True)

    assert idle_pods([HOG, resized], {"hog"}, ()) == {"hog-0"}
