"""What the environment says. Read once, in ``__main__``, and handed down."""

from collections.abc import Mapping
from dataclasses import dataclass

MIN_KEY_BYTES = 32
"""Of a key for HS256 (RFC 7518, section 3.2)."""


class SettingError(ValueError):
    """A setting is missing or can't be used; the message names it."""


@dataclass(frozen=True)
class Settings:
    """
    Attributes:
        tenant: its name, which is also its role in PostgreSQL, its user in Redis and the prefix of its keys.
        agent: this agent's name among those of the tenant, such as its pod's.
        jwt_key: what the tenant's tokens are signed with.
        pool_size: connections to PostgreSQL at most.
        lease_seconds: how long a session is believed to live after its agent said so last.
        ping_seconds: how often a customer is asked whether it is still there. One that says nothing for as
            long again is gone: a network that breaks tells nobody.
        scratch: a directory on a disk.
    """

    tenant: str
    agent: str
    jwt_key: str
    postgres_host: str
    postgres_password: str
    redis_host: str
    redis_password: str
    port: int = 8080
    pool_size: int = 2
    lease_seconds: float = 15.0
    ping_seconds: float = 10.0
    scratch: str = "/scratch"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """
    Raises:
        SettingError: for a variable that is missing or makes no sense.
    """
    jwt_key = _text(environ, "JWT_KEY")
    if len(jwt_key.encode()) < MIN_KEY_BYTES:
        raise SettingError(f"JWT_KEY: give {MIN_KEY_BYTES} bytes at least")
    return Settings(
        tenant=_text(environ, "TENANT"),
        agent=_text(environ, "AGENT"),
        jwt_key=jwt_key,
        postgres_host=_text(environ, "POSTGRES_HOST"),
        postgres_password=_text(environ, "POSTGRES_PASSWORD"),
        redis_host=_text(environ, "REDIS_HOST"),
        redis_password=_text(environ, "REDIS_PASSWORD"),
        port=int(_number(environ, "PORT", Settings.port, most=65535)),
        pool_size=int(_number(environ, "POOL_SIZE", Settings.pool_size, most=100)),
        lease_seconds=_number(environ, "LEASE_SECONDS", Settings.lease_seconds, most=3600),
        ping_seconds=_number(environ, "PING_SECONDS", Settings.ping_seconds, most=3600),
        scratch=environ.get("SCRATCH", Settings.scratch),
    )


def _text(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingError(f"{name} is not set")
    return value


def _number(environ: Mapping[str, str], name: str, default: float, *, most: float) -> float:
    text = environ.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise SettingError(f"{name}={text}: give a whole number from 1 to {most:g}")
    return int(text)
