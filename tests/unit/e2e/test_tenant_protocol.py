"""The messages between customers and agents."""

import json
from contextlib import suppress
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.tenant import protocol
from e2e.tenant.protocol import (
    REQUESTS,
    Answer,
    Burn,
    Leak,
    ProtocolError,
    Request,
    Work,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    offered,
    offered_token,
)


def values(wanted: Any, least: float, most: float) -> st.SearchStrategy[Any]:
    if wanted is str:
        return st.text(min_size=int(least), max_size=min(int(most), 20))
    if wanted is int:
        return st.integers(int(least), int(most))
    return st.floats(least, most)


def requests(kind: type[Request]) -> st.SearchStrategy[Request]:
    hints = {each.name: get_type_hints(kind)[each.name] for each in fields(kind)}
    return st.builds(
        kind,
        **{
            each.name: values(hints[each.name], each.metadata["least"], each.metadata["most"])
            for each in fields(kind)
        },
    )


@given(st.integers(), st.one_of(*map(requests, REQUESTS.values())))
def test_a_request_comes_back_as_it_was_sent(number: int, request: Request) -> None:
    assert decode_request(encode_request(number, request)) == (number, request)


def test_what_has_a_default_may_be_left_out() -> None:
    assert decode_request('{"id": 1, "do": "burn", "cores": 2}') == (1, Burn(2, 100))
    assert decode_request('{"id": 1, "do": "leak", "files_per_second": 3}') == (1, Leak(files_per_second=3.0))


@pytest.mark.parametrize(
    ("message", "number", "problem"),
    [
        ("", None, "not JSON"),
        ("[1]", None, "not a JSON object"),
        ("{}", None, "id: give a whole number"),
        ('{"id": true, "do": "state"}', None, "id: give a whole number"),
        ('{"id": 1}', 1, "do: give one of work, remember"),
        ('{"id": 1, "do": ["work"]}', 1, "do: give one of"),
        ('{"id": 1, "do": "sing"}', 1, "do: give one of"),
        ('{"id": 1, "do": "work"}', 1, "work: missing: cpu_milliseconds"),
        ('{"id": 1, "do": "state", "loud": 1}', 1, "state: unknown: loud"),
        ('{"id": 1, "do": "work", "cpu_milliseconds": -1}', 1, "cpu_milliseconds: give a number from 0 to"),
        ('{"id": 1, "do": "work", "cpu_milliseconds": NaN}', 1, "give a number"),
        ('{"id": 1, "do": "work", "cpu_milliseconds": Infinity}', 1, "give a number"),
        ('{"id": 1, "do": "work", "cpu_milliseconds": "20"}', 1, "give a number"),
        ('{"id": 1, "do": "work", "cpu_milliseconds": null}', 1, "give a number"),
        ('{"id": 1, "do": "burn", "cores": true}', 1, "cores: give a whole number from 0 to 256"),
        ('{"id": 1, "do": "burn", "cores": 1.5}', 1, "cores: give a whole number"),
        ('{"id": 1, "do": "hold", "bytes": 1e9}', 1, "bytes: give a whole number from 0 to 1099511627776"),
        ('{"id": 1, "do": "recall", "key": ""}', 1, "key: give a text of a length from 1 to 100"),
    ],
)
def test_anything_else_is_told_what_is_wrong(message: str, number: int | None, problem: str) -> None:
    with pytest.raises(ProtocolError, match=problem) as error:
        decode_request(message)
    assert error.value.id == number


@given(st.text())
def test_no_text_does_more_than_be_refused(message: str) -> None:
    with suppress(ProtocolError):
        decode_request(message)


@pytest.mark.parametrize(
    "answer", [Answer(1, "acme", {"a": 1}), Answer(1, "acme", {}), Answer(None, "acme", error="no")]
)
def test_an_answer_comes_back_as_it_was_sent(answer: Answer) -> None:
    assert decode_answer(encode_answer(answer)) == answer


@pytest.mark.parametrize("message", ["", "[]", "{}", '{"id": 1, "tenant": "acme", "outcome": 1}'])
def test_what_is_no_answer_is_refused(message: str) -> None:
    with pytest.raises(ProtocolError):
        decode_answer(message)


def test_a_request_looks_as_documented() -> None:
    assert json.loads(encode_request(1, Work(20))) == {"id": 1, "do": "work", "cpu_milliseconds": 20}
    assert '{"id": 1, "do": "work", "cpu_milliseconds": 20}' in str(protocol.__doc__)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([], None),
        (["tenantquota.v1"], None),
        (["tenantquota.v1, bearer.a.b.c"], "a.b.c"),
        (["tenantquota.v1", "bearer.a.b.c"], "a.b.c"),
        (["bearer.a.b.c,tenantquota.v1"], "a.b.c"),
        (["bearer."], ""),
        ([", ".join(offered("x.y.z"))], "x.y.z"),
    ],
)
def test_the_token_is_among_the_subprotocols(headers: list[str], token: str | None) -> None:
    assert offered_token(headers) == token
