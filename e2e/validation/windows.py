"""Stretches of a run, with and without noise, in turn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from e2e.load.plan import Sample


class Kind(StrEnum):
    """What goes on in a window."""

    QUIET = "quiet"
    NOT_HELD = "not held"
    """Noise, while the quotas of those that make it only observe."""
    HELD = "held"
    """Noise, while they are enforced."""


@dataclass(frozen=True)
class Window:
    """
    Attributes:
        start, seconds: on the clock of the load.
        answered: by tenant, the requests that were due in it.
        failed: by tenant, when requests were due that had no answer.
    """

    kind: Kind
    start: float
    seconds: float
    answered: Mapping[str, Sequence[Sample]]
    failed: Mapping[str, Sequence[float]]

    def latencies_ms(self, tenant: str | None = None) -> list[float]:
        """Of one tenant, or of all."""
        of = self.answered if tenant is None else (tenant,)
        return [ms for each in of for _, ms in self.answered.get(each, ())]

    def of(self, some: Iterable[str]) -> "Window":
        """Only these tenants' requests."""
        wanted = set(some)
        return Window(
            self.kind,
            self.start,
            self.seconds,
            {tenant: each for tenant, each in self.answered.items() if tenant in wanted},
            {tenant: each for tenant, each in self.failed.items() if tenant in wanted},
        )

    def after(self, seconds: float) -> "Window":
        """The rest of it, without its first seconds."""
        since = self.start + seconds
        return Window(
            self.kind,
            since,
            self.seconds - seconds,
            {tenant: [each for each in some if each[0] >= since] for tenant, some in self.answered.items()},
            {tenant: [due for due in some if due >= since] for tenant, some in self.failed.items()},
        )


def order(rounds: int) -> list[Kind]:
    """Quiet before and after each window with noise, and who comes first changes from round to round: what
    the machine does over time then hits all kinds alike."""
    found = [Kind.QUIET]
    for turn in range(rounds):
        pair = [Kind.NOT_HELD, Kind.HELD]
        for kind in pair if turn % 2 == 0 else reversed(pair):
            found += [kind, Kind.QUIET]
    return found


def of_kind(windows: Iterable[Window], kind: Kind) -> list[Window]:
    """In their order."""
    return [window for window in windows if window.kind is kind]


def pooled(windows: Iterable[Window], tenant: str | None = None) -> list[float]:
    """All latencies of the windows in ms, of one tenant or of all."""
    return [ms for window in windows for ms in window.latencies_ms(tenant)]


def tenants(windows: Iterable[Window]) -> list[str]:
    """All that were asked anything."""
    return sorted({tenant for window in windows for tenant in (*window.answered, *window.failed)})
