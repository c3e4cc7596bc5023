"""Whom a tenant lets in: a JSON Web Token (RFC 7519) that is signed with its own key and names it.

Both are asked for, since either may be wrong alone: a key that is known to several tenants must not open all
of them, and a name is only text.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import jwt

ALGORITHM: Final = "HS256"
CLAIMS: Final = ("sub", "aud", "exp")


class TokenRefusedError(Exception):
    """A token that doesn't open this tenant. The text says why, and nothing about the right one.

    Attributes:
        status: 401 where another token could be tried, 403 where this user is known and belongs elsewhere.
    """

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class Claims:
    """
    Attributes:
        expires_seconds: when it ends, in seconds since the epoch.
    """

    user: str
    expires_seconds: float


def issue(key: str, tenant: str, user: str, *, expires_seconds: float) -> str:
    """A token of the tenant ``tenant`` for ``user``, good until then (seconds since the epoch)."""
    claims = {"sub": user, "aud": tenant, "exp": int(expires_seconds)}
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def verify(token: str | None, key: str, tenant: str, *, now_seconds: float) -> Claims:
    """What a token says, if it is one of ``tenant`` and still good.

    Raises:
        TokenRefusedError: if it isn't, or there is none.
    """
    if not token:
        raise TokenRefusedError(HTTPStatus.UNAUTHORIZED, "no token was given")
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],  # never the token's own choice, which may be "none"
            audience=tenant,
            options={"require": list(CLAIMS), "verify_exp": False, "strict_aud": True},
        )
    except jwt.InvalidAudienceError as error:
        raise TokenRefusedError(HTTPStatus.FORBIDDEN, "the token is another tenant's") from error
    except jwt.InvalidSignatureError as error:
        raise TokenRefusedError(
            HTTPStatus.UNAUTHORIZED, "the token isn't signed with this tenant's key"
        ) from error
    except jwt.InvalidTokenError as error:
        raise TokenRefusedError(HTTPStatus.UNAUTHORIZED, f"the token can't be used: {error}") from error
    expires_seconds = claims["exp"]
    if not isinstance(expires_seconds, int | float):
        raise TokenRefusedError(HTTPStatus.UNAUTHORIZED, "the token can't be used: exp is not a number")
    if expires_seconds <= now_seconds:
        raise TokenRefusedError(HTTPStatus.UNAUTHORIZED, "the token has expired")
    return Claims(user=str(claims["sub"]), expires_seconds=float(expires_seconds))
