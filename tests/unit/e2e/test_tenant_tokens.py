"""Whom a tenant lets in."""

from http import HTTPStatus
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.tenant.tokens import Claims, TokenRefusedError, issue, verify

KEY, OTHER_KEY = "k" * 64, "o" * 64
NOW = 1_000_000.0


def token(*, key: str | None = KEY, algorithm: str = "HS256", **claims: Any) -> str:
    """A good one, but for what is given; None leaves a claim out."""
    content = {"sub": "ada", "aud": "acme", "exp": NOW + 60, **claims}
    return jwt.encode(
        {name: value for name, value in content.items() if value is not None}, key, algorithm=algorithm
    )


def test_what_a_tenant_issues_opens_it() -> None:
    issued = issue(KEY, "acme", "ada", expires_seconds=NOW + 60)
    assert verify(issued, KEY, "acme", now_seconds=NOW) == Claims("ada", NOW + 60)


@pytest.mark.parametrize(
    ("given_token", "status", "reason"),
    [
        (None, HTTPStatus.UNAUTHORIZED, "no token"),
        ("", HTTPStatus.UNAUTHORIZED, "no token"),
        ("a.b.c", HTTPStatus.UNAUTHORIZED, "can't be used"),
        (token(key=OTHER_KEY), HTTPStatus.UNAUTHORIZED, "isn't signed"),
        (token(key=None, algorithm="none"), HTTPStatus.UNAUTHORIZED, "can't be used"),
        (token(algorithm="HS512"), HTTPStatus.UNAUTHORIZED, "can't be used"),
        (token(aud="acme-2"), HTTPStatus.FORBIDDEN, "another tenant's"),
        (token(aud=["acme", "acme-2"]), HTTPStatus.FORBIDDEN, "another tenant's"),
        (token(exp=NOW), HTTPStatus.UNAUTHORIZED, "has expired"),
        (token(exp="soon"), HTTPStatus.UNAUTHORIZED, "exp is not a number"),
        (token(exp=None), HTTPStatus.UNAUTHORIZED, "can't be used"),
        (token(sub=None), HTTPStatus.UNAUTHORIZED, "can't be used"),
        (token(aud=None), HTTPStatus.UNAUTHORIZED, "can't be used"),
    ],
)
def test_others_are_refused(given_token: str | None, status: HTTPStatus, reason: str) -> None:
    with pytest.raises(TokenRefusedError, match=reason) as refused:
        verify(given_token, KEY, "acme", now_seconds=NOW)
    assert refused.value.status == status


@given(place=st.integers(0, len(token()) - 1), character=st.sampled_from("Aa0_-.ü"))
def test_a_token_that_was_changed_anywhere_is_refused_or_the_same(place: int, character: str) -> None:
    good = token()
    changed = good[:place] + character + good[place + 1 :]
    try:
        claims = verify(changed, KEY, "acme", now_seconds=NOW)
    except TokenRefusedError:
        return
    # the last digit of Base64 has bits that mean nothing
    assert changed == good or place == len(good) - 1
    assert claims == Claims("ada", NOW + 60)
