"""What cases record."""

import pytest
from pydantic import ValidationError

from e2e.results import Bound, BoundMissedError, Case, Outcome, Recorder, Source


def recorder() -> Recorder:
    return Recorder(5, "Noisy neighbours", "two hogs", tenants=10)


def outcome(result: str) -> Outcome:
    return Outcome(name="test_it", text="it holds", outcome=result, seconds=0.5)


def test_a_bound_has_one_side() -> None:
    for sides in ({}, {"at_most": 1.0, "at_least": 1.0}):
        with pytest.raises(ValidationError, match="give either"):
            Bound(what="x", measured=1, unit="s", **sides)


@pytest.mark.parametrize(
    ("sides", "met"),
    [
        ({"at_most": 2.0}, True),
        ({"at_most": 1.9}, False),
        ({"at_least": 2.0}, True),
        ({"at_least": 2.1}, False),
    ],
)
def test_a_bound_is_met_up_to_itself(sides: dict[str, float], met: bool) -> None:
    assert Bound(what="x", measured=2.0, unit="s", **sides).met is met


def test_the_specifications_bound_is_asserted_and_a_goal_is_told() -> None:
    record = recorder()
    record.bound("held after", 1.6, "s", at_most=60, goal=1)
    with pytest.raises(BoundMissedError, match="61 s, should be at most 60 s"):
        record.bound("held after", 61, "s", at_most=60)
    assert [(each.source, each.met) for each in record.bounds] == [
        (Source.SPECIFICATION, True),
        (Source.GOAL, False),
        (Source.SPECIFICATION, False),
    ]


def test_a_case_passes_by_tests_that_ran_and_bounds_that_are_met() -> None:
    record = recorder()
    assert not record.case().passed
    assert not record.case(tests=[outcome("skipped")]).passed
    assert record.case(tests=[outcome("passed"), outcome("skipped")]).passed
    assert not record.case(tests=[outcome("passed"), outcome("failed")]).passed
    record.goal("held after", 1.6, "s", at_most=1)
    assert record.case(tests=[outcome("passed")]).passed
    with pytest.raises(BoundMissedError):
        record.bound("held after", 61, "s", at_most=60)
    assert not record.case(tests=[outcome("passed")]).passed


def test_json_and_back() -> None:
    case = recorder().case(seconds=3, tests=[outcome("passed")])
    assert Case.model_validate_json(case.model_dump_json()) == case
