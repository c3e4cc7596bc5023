"""Moments as the API server writes them: RFC 3339 in UTC."""

from datetime import UTC, datetime, timedelta


def utc_now() -> str:
    """With microseconds, as Events want it."""
    return _written(datetime.now(UTC))


def later(moment: str, seconds: float) -> str:
    return _written(datetime.fromisoformat(moment) + timedelta(seconds=seconds))


def seconds_between(earlier: str, later: str) -> float:
    """Negative where ``later`` is earlier."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
