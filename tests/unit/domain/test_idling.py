"""Who runs idle."""

import pytest

from tenantquota.domain.idling import Candidate, idle_containers

HOG, OTHER = Candidate("hog-0", "hog", False, False), Candidate("other-0", "other", False, False)


def test_all_containers_of_tenants_that_yield() -> None:
    second = HOG._replace(id="hog-1")

    assert idle_containers([HOG, second, OTHER], {"hog"}, ()) == {"hog-0", "hog-1"}


@pytest.mark.parametrize(("yielding", "capped"), [((), ()), ({"hog"}, {"hog"})])
def test_nobody_who_does_not_yield_or_is_capped(yielding: set[str], capped: set[str]) -> None:
    assert idle_containers([HOG, OTHER], yielding, capped) == frozenset()


@pytest.mark.parametrize("at_work", ["starting", "resizing"])
def test_not_the_container_that_the_runtime_is_at_work_on(at_work: str) -> None:
    worked_on = HOG._replace(id="hog-1", **{at_work: True})

    assert idle_containers([HOG, worked_on], {"hog"}, ()) == {"hog-0"}
