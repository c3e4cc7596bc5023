"""Shares against entitlements."""

import pytest

from e2e.validation import fairness
from e2e.validation.fairness import Use


def test_jains_index() -> None:
    assert fairness.jain([5, 5, 5, 5]) == 1.0
    assert fairness.jain([1, 0, 0, 0]) == 0.25
    assert fairness.jain([0, 0]) == 1.0


def test_variation_and_the_largest() -> None:
    assert fairness.variation([5, 5]) == 0.0
    assert fairness.variation([0, 10]) == 1.0
    assert fairness.variation([]) == 0.0
    assert fairness.most_over_mean([1, 1, 4]) == 2.0
    assert fairness.most_over_mean([0, 0]) == 1.0


def test_who_wants_little_is_due_all_of_it_and_the_others_share_by_weight() -> None:
    uses = {"small": Use(100, 0), "a": Use(600, 2000, weight=100), "b": Use(1200, 2000, weight=200)}
    due = fairness.entitlements(uses, 1900)
    assert due == pytest.approx({"small": 100, "a": 600, "b": 1200})
    assert fairness.parts(uses, 1900) == pytest.approx({"small": 1, "a": 1, "b": 1})
    assert fairness.greed(uses, 1900) == pytest.approx(1.0)


def test_who_takes_more_than_its_share_while_others_wait_is_greedy() -> None:
    uses = {"a": Use(300, 1000), "b": Use(1500, 1000), "idle": Use(0, 0)}
    assert fairness.greed(uses, 1800) == pytest.approx(1500 / 900)
    assert fairness.parts(uses, 1800) == pytest.approx({"a": 300 / 900, "b": 1500 / 900})


def test_where_there_is_enough_for_all_nobody_is() -> None:
    assert fairness.greed({"a": Use(300, 0), "b": Use(1500, 0)}, 2000) == 0.0
