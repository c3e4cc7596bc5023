"""Windows give back what was put in, oldest first, and forget the oldest."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tenantquota.node.window import Window


class Record(NamedTuple):
    at_ns: int
    value: int | None


VALUES = st.none() | st.integers(0, 2**63 - 1)


@given(st.lists(VALUES, max_size=20), st.integers(1, 7))
def test_keeps_the_last_ones(values: list[int | None], length: int) -> None:
    window = Window(Record, length)
    records = [Record(at, value) for at, value in enumerate(values)]
    for record in records:
        window.append(record)
    assert window.all() == records[-length:]
    assert len(window) == min(length, len(records))
    assert window.latest == (records[-1] if records else None)
    assert window.since(len(records) - 2) == records[-length:][-2:]


def test_can_be_emptied() -> None:
    window = Window(Record, 2)
    window.append(Record(1, None))
    window.clear()
    assert (window.all(), window.latest, len(window)) == ([], None, 0)
    window.append(Record(2, 3))
    assert window.all() == [Record(2, 3)]
