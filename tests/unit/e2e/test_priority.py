"""That the load driver's threads run first where they may."""

import os
import threading

from e2e.load.priority import SCHED_DEADLINE, run_first


def test_a_thread_runs_by_deadlines_or_is_told_that_it_doesnt() -> None:
    found: list[tuple[bool, int]] = []

    def run() -> None:
        first = run_first(0.01)
        found.append((first, os.sched_getscheduler(0)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    ((first, policy),) = found
    assert (policy & ~os.SCHED_RESET_ON_FORK == SCHED_DEADLINE) is first


def test_a_thread_that_runs_by_deadlines_can_start_another() -> None:
    found: list[int] = []

    def run() -> None:
        run_first(0.01)
        other = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
        other.start()
        other.join()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [os.SCHED_OTHER]
