"""What is begun early and waited for late."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e2e.harness.beside import Beside


class Noted:
    """A context that notes what becomes of it, and is entered once it may be."""

    def __init__(self) -> None:
        self.may_begin = threading.Event()
        self.notes: list[str] = []

    @contextmanager
    def context(self) -> Iterator[int]:
        assert self.may_begin.wait(10)
        self.notes.append("entered")
        yield 7
        self.notes.append("left")


def test_who_begins_it_need_not_wait() -> None:
    noted = Noted()
    with Beside(noted.context) as beside:
        beside.begin()
        assert noted.notes == []
        noted.may_begin.set()
        assert beside.result() == 7
        beside.begin()
    assert noted.notes == ["entered", "left"], "once"


def test_it_is_left_though_nobody_waited() -> None:
    noted = Noted()
    noted.may_begin.set()
    with Beside(noted.context) as beside:
        beside.begin()
    assert noted.notes == ["entered", "left"]


def test_what_was_not_begun_is_nothing() -> None:
    noted = Noted()
    with Beside(noted.context):
        pass
    assert noted.notes == []


def test_who_waits_hears_what_went_wrong() -> None:
    @contextmanager
    def broken() -> Iterator[None]:
        raise ValueError("no")
        yield

    with Beside(broken) as beside, pytest.raises(ValueError, match="no"):
        beside.result()
