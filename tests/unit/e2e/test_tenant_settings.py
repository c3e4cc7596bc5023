"""What a tenant's agent reads from its environment."""

import pytest

from e2e.tenant.settings import SettingError, read_settings

GOOD = {
    "TENANT": "acme",
    "AGENT": "agent",
    "JWT_KEY": "k" * 32,
    "POSTGRES_HOST": "postgres.services",
    "POSTGRES_PASSWORD": "p",
    "REDIS_HOST": "redis.services",
    "REDIS_PASSWORD": "r",
}


def test_defaults() -> None:
    settings = read_settings(GOOD)
    assert (settings.port, settings.pool_size, settings.lease_seconds) == (8080, 2, 15)
    assert settings.ping_seconds == 10


def test_what_is_given() -> None:
    settings = read_settings({**GOOD, "PORT": "80", "POOL_SIZE": "5", "LEASE_SECONDS": "6", "SCRATCH": "/d"})
    assert (settings.port, settings.pool_size, settings.lease_seconds, settings.scratch) == (80, 5, 6, "/d")


@pytest.mark.parametrize("name", GOOD)
def test_one_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(SettingError, match=f"{name} is not set"):
        read_settings({key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("POOL_SIZE", "1.5"),
        ("LEASE_SECONDS", "-1"),
        ("PING_SECONDS", "0"),
    ],
)
def test_one_that_makes_no_sense_is_told_what_does(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"{name}={value}: give a whole number from 1 to"):
        read_settings({**GOOD, name: value})


def test_a_key_that_is_too_short_is_refused() -> None:
    with pytest.raises(SettingError, match="JWT_KEY: give 32 bytes at least"):
        read_settings({**GOOD, "JWT_KEY": "k" * 31})
