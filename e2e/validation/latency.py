"""Latencies in a histogram of three significant digits: per tenant and over all, and small however long."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, Self

from hdrh.histogram import HdrHistogram

from e2e.validation.windows import Window, tenants

DIGITS: Final = 3
LEAST_MICROSECONDS: Final = 1
MOST_MICROSECONDS: Final = 120_000_000


class Latencies:
    """Counts of latencies, each to three digits, from one microsecond to two minutes."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(LEAST_MICROSECONDS, MOST_MICROSECONDS, DIGITS)

    @classmethod
    def of(cls, latencies_ms: Iterable[float]) -> Self:
        made = cls()
        for each in latencies_ms:
            made.add(each)
        return made

    @classmethod
    def decoded(cls, text: str) -> Self:
        made = cls()
        made._histogram = HdrHistogram.decode(text.encode())
        return made

    def encoded(self) -> str:
        """In HdrHistogram's compressed form, which its tools in all languages read."""
        encoded: bytes = self._histogram.encode()
        return encoded.decode()

    def add(self, latency_ms: float) -> None:
        """One more; what is outside of the range counts as its end."""
        microseconds = round(latency_ms * 1000)
        self._histogram.record_value(min(MOST_MICROSECONDS, max(LEAST_MICROSECONDS, microseconds)))

    def merge(self, other: "Latencies") -> None:
        """Adds all of another's."""
        self._histogram.add(other._histogram)

    def values_ms(self) -> list[float]:
        """Each of them, to three digits, in order."""
        recorded = self._histogram.get_recorded_iterator()
        return [
            item.value_iterated_to / 1000
            for item in recorded
            for _ in range(item.count_added_in_this_iter_step)
        ]

    @property
    def count(self) -> int:
        return int(self._histogram.get_total_count())

    def percentile_ms(self, percent: float) -> float:
        """The latency that so many percent don't exceed."""
        # the library rounds the rank to the nearest, which in a small sample is the value below
        rank = max(1, ceil(percent * self.count / 100 - 1e-9))
        return float(self._histogram.get_value_at_percentile(100 * rank / max(1, self.count))) / 1000


@dataclass(frozen=True)
class Summary:
    """Requests of some windows; latencies in ms.

    Attributes:
        per_second: answered requests.
        failed: requests without an answer.
        histogram: of the latencies, encoded.
    """

    count: int
    failed: int
    per_second: float
    p50: float
    p95: float
    p99: float
    most: float
    histogram: str


def summary(windows: Sequence[Window], tenant: str | None = None) -> Summary:
    """Of one tenant, or of all."""
    latencies = Latencies()
    for window in windows:
        latencies.merge(Latencies.of(window.latencies_ms(tenant)))
    names = tenants(windows) if tenant is None else [tenant]
    seconds = sum(window.seconds for window in windows)
    return Summary(
        count=latencies.count,
        failed=sum(len(window.failed.get(name, ())) for window in windows for name in names),
        per_second=latencies.count / seconds if seconds else 0.0,
        p50=latencies.percentile_ms(50),
        p95=latencies.percentile_ms(95),
        p99=latencies.percentile_ms(99),
        most=latencies.percentile_ms(100),
        histogram=latencies.encoded(),
    )


def per_tenant(windows: Sequence[Window]) -> dict[str, Summary]:
    """By tenant."""
    return {tenant: summary(windows, tenant) for tenant in tenants(windows)}
