"""Waiting: what comes back, and what a failure says."""

from itertools import count

import pytest

from e2e.harness.wait import DeadlineExceededError, NotYet, wait_until


def test_gives_the_first_true_value() -> None:
    values = iter(["", None, "there"])
    assert wait_until(lambda: next(values), what="it", deadline_seconds=5, poll_seconds=0) == "there"


def test_a_failure_says_what_was_missing_last() -> None:
    calls = count(1)

    def condition() -> bool:
        raise NotYet(f"call {next(calls)}")

    with pytest.raises(DeadlineExceededError, match=r"waited \S+ s for pods to be Ready: call \d+$"):
        wait_until(condition, what="pods to be Ready", deadline_seconds=0.01, poll_seconds=0)


def test_other_errors_come_through() -> None:
    def condition() -> bool:
        raise OSError("connection refused")

    with pytest.raises(OSError, match="connection refused"):
        wait_until(condition, what="it", deadline_seconds=5)
