"""Which pods are spared while the runtime is at work on them."""

import pytest

from tenantquota.domain.runtime_work import MOST_SECONDS, resized, resized_since, starts


@pytest.mark.parametrize(
    ("starting", "age_seconds", "found"),
    [(True, 0.0, True), (True, MOST_SECONDS - 1, True), (True, MOST_SECONDS, False), (False, 0.0, False)],
)
def test_a_container_starts_until_it_runs_but_not_for_ever(
    starting: bool, age_seconds: float, found: bool
) -> None:
    assert starts(starting, age_seconds) is found


def test_a_pod_is_spared_while_it_is_resized_but_not_for_ever() -> None:
    since = resized_since({}, ["a"], 100.0)
    assert resized(since, 100.0) == {"a"}
    since = resized_since(since, ["a", "b"], 100.0 + MOST_SECONDS)

    assert resized(since, 100.0 + MOST_SECONDS) == {"b"}


def test_one_that_is_resized_again_is_spared_again() -> None:
    since = resized_since(resized_since({"a": 0.0}, [], 50.0), ["a"], 100.0)

    assert resized(since, 100.0) == {"a"}
