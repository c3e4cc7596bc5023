"""What an agent uses on command, as far as no cgroup is needed to see it."""

import os
import time

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.harness.wait import wait_until
from e2e.tenant.leaks import Debt
from e2e.tenant.resources import Children, Files, Holder, Idlers, ResourceError, fork, work, write_to_disk


@given(
    rate=st.floats(0, 1e9),
    steps=st.lists(st.floats(0, 10), max_size=20),
    unit=st.sampled_from([1, 4096]),
)
def test_a_rate_owes_whole_units_and_loses_none(rate: float, steps: list[float], unit: int) -> None:
    debt = Debt(rate, unit)
    elapsed, paid = 0.0, 0
    for step in steps:
        elapsed += step
        due = debt.due(elapsed)
        assert due >= 0
        assert due % unit == 0
        paid += due
    assert rate * elapsed - unit - 1 < paid <= rate * elapsed


def test_work_takes_cpu_time_and_not_just_time() -> None:
    before = time.thread_time()
    took = work(0.02)
    assert took >= 0.02
    assert time.thread_time() - before >= took


def test_children_are_as_many_as_asked_for_and_are_waited_for() -> None:
    children = Children(lambda: fork(lambda: time.sleep(1)))
    me = psutil.Process()
    before = len(me.children())
    try:
        children.set_count(3)
        assert len(me.children()) == before + 3
    finally:
        children.set_count(0)
    assert len(me.children()) == before


def test_idle_processes_are_no_copies_of_their_parent() -> None:
    idlers = Idlers()
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    try:
        idlers.set_count(2)
        made = [child for child in me.children() if child.pid not in before]
        assert len(made) == 2
        wait_until(
            lambda: {child.name() for child in made} == {"cat"}, what="another program", deadline_seconds=10
        )
    finally:
        idlers.set_count(0)
    assert {child.pid for child in me.children()} == before


def test_files() -> None:
    files = Files()
    before = psutil.Process().num_fds()
    files.set_count(20)
    assert psutil.Process().num_fds() == before + 20
    files.set_count(0)
    assert psutil.Process().num_fds() == before


def test_memory_is_held_and_given_back() -> None:
    holder = Holder()
    me = psutil.Process()

    def held() -> int:
        return sum(each.rss for each in me.memory_maps() if each.path.startswith("/dev/zero"))

    before = held()
    holder.set_bytes(6 << 20)
    assert (holder.size_bytes, held() - before) == (6 << 20, 6 << 20)
    holder.set_bytes(1 << 20)
    assert (holder.size_bytes, held() - before) == (1 << 20, 1 << 20)
    holder.set_bytes(0)
    assert held() == before


def test_a_disk_that_cannot_be_written_to_is_told() -> None:
    with pytest.raises(ResourceError, match="whole blocks of 4096"):
        write_to_disk(os.curdir, 1)
    with pytest.raises(ResourceError, match="/nowhere: No such file or directory; mount a volume there"):
        write_to_disk("/nowhere", 4096)
