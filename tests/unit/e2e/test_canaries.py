"""The search for canaries where they must not be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.harness.canaries import POSTGRES, REDIS, REPLY, Finding, Stranger, new, search

ACME, EMCA = "canary0a", "canary0b"
CANARIES = {"acme": ACME, "acme-2": EMCA}


@pytest.mark.parametrize(
    ("finding", "strangers"),
    [
        (Finding("acme", REPLY, ""), []),
        (Finding("acme", REPLY, f'{{"memory": "{ACME}"}}'), []),
        (Finding("acme", REPLY, f'{{"memory": "{EMCA}"}}'), [Stranger("acme", REPLY, "acme-2")]),
        (Finding("acme", REDIS, f"acme:{EMCA.upper()} 1"), [Stranger("acme", REDIS, "acme-2")]),
        # one is named once, however often it is there
        (Finding("acme", POSTGRES, EMCA + ACME + EMCA), [Stranger("acme", POSTGRES, "acme-2")]),
        # what is nobody's must not have anybody's
        (Finding("", REDIS, f"stray {ACME}"), [Stranger("", REDIS, "acme")]),
    ],
)
def test_search(finding: Finding, strangers: list[Stranger]) -> None:
    assert search(CANARIES, [finding]).strangers == strangers


def test_a_stranger_is_told_so_that_people_can_look_there() -> None:
    told = [str(Stranger("acme", REPLY, "acme-2")), str(Stranger("", REDIS, "acme"))]
    assert told == ["reply of acme has the canary of acme-2", "Redis of nobody has the canary of acme"]


def test_a_search_says_where_it_was_blind() -> None:
    found = search(CANARIES, [Finding("acme", REPLY, ACME), Finding("acme-2", REDIS, EMCA)])
    assert found.unseen([REPLY, REDIS]) == [("acme", REDIS), ("acme-2", REPLY)]
    assert found.looked_at == {REPLY: 1, REDIS: 1}


def test_without_canaries_there_is_nothing_to_find() -> None:
    found = search({}, [Finding("acme", REPLY, "anything")])
    assert not found.strangers
    assert found.looked_at == {REPLY: 1}


@given(
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    holder=st.sampled_from(["acme", "acme-2", ""]),
    owner=st.sampled_from(["acme", "acme-2"]),
)
def test_a_canary_is_found_within_any_text(before: str, after: str, holder: str, owner: str) -> None:
    found = search(CANARIES, [Finding(holder, REPLY, before + CANARIES[owner] + after)])
    assert found.strangers == ([] if holder == owner else [Stranger(holder, REPLY, owner)])
    assert found.seen == ({(owner, REPLY): 1} if holder == owner else {})


def test_canaries_differ_and_need_no_escape() -> None:
    made = {new() for _ in range(100)}
    assert len(made) == 100
    assert all(canary.isalnum() for canary in made)
