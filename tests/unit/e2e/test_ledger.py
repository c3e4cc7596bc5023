"""What each tenant had of its due, from looks at counters."""

import pytest

from e2e.harness import ledger
from e2e.harness.ledger import Entry, Look
from e2e.harness.readings import Reading

WEIGHTS = {"a": 100, "b": 100}


def look(second: float, used: dict[str, float], waited: dict[str, float]) -> Look:
    """All counters in seconds of CPU; the node agent has used a hundredth of each second."""

    def reading(seconds: float) -> Reading:
        return Reading(second, None, None, seconds, 0, 0, 0, 0, 0, 0, 0, 0, 1)

    readings = {tenant: reading(seconds) for tenant, seconds in used.items()}
    return Look(1000 + second, readings, [reading(second / 100)], waited, frozenset())


def test_who_waits_is_due_as_much_as_the_other() -> None:
    before = look(0, {"a": 5, "b": 7}, {"a": 1, "b": 1})
    after = look(2, {"a": 6, "b": 10}, {"a": 3, "b": 2})
    assert ledger.between(before, after, WEIGHTS) == {
        "a": Entry(used=500, wanted=1500, due=1000),
        "b": Entry(used=1500, wanted=2000, due=1000),
    }


def test_who_did_all_that_it_was_asked_for_is_due_that() -> None:
    before = look(0, {"a": 0, "b": 0}, {"a": 0, "b": 0})
    after = look(1, {"a": 0.2, "b": 1.8}, {"a": 1, "b": 1})
    found = ledger.between(before, after, WEIGHTS, {"a"})
    assert found["a"] == Entry(used=200, wanted=200, due=200)
    assert found["b"].received == pytest.approx(1)


def test_who_rests_is_not_due_more_for_it_later() -> None:
    """a wants nothing in the first second and all in the second, where it gets half of its due."""
    looks = [
        look(0, {"a": 0, "b": 0}, {"a": 0, "b": 0}),
        look(1, {"a": 0, "b": 2}, {"a": 0, "b": 0}),
        look(2, {"a": 0.5, "b": 3.5}, {"a": 1.5, "b": 0.5}),
    ]
    found = ledger.balance(looks, WEIGHTS)
    assert found["a"] == Entry(used=250, wanted=1000, due=500)
    assert found["a"].received == 0.5
    assert found["b"] == Entry(used=1750, wanted=2000, due=1500)


def test_a_counter_of_waits_that_went_back_is_no_wait() -> None:
    before = look(0, {"a": 0, "b": 0}, {"a": 9, "b": 0})
    after = look(1, {"a": 1, "b": 1}, {"a": 0, "b": 0})
    assert ledger.between(before, after, WEIGHTS)["a"].wanted == 1000


def test_who_was_due_nothing_has_all_of_it() -> None:
    assert Entry(used=0, wanted=0, due=0).received == 1


def test_the_node_agents_own_use() -> None:
    nobody: dict[str, float] = {}
    assert ledger.agent_millicores([look(0, nobody, nobody), look(4, nobody, nobody)]) == pytest.approx(10)
