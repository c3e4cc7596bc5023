"""Whether quiet tenants are isolated from noisy ones: one word, and the figures for it.

The specification wants degradation of others under 10 %, and responses under 2 s. A degradation is the ratio
of a percentile of the latency with noise to the same without, less one. It is asked of p99, the strictest
common reading; p50 and p95 are told beside it.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from e2e.results import Bound, Source, Verdict, VerdictState
from e2e.specification import DEGRADATION_AT_MOST_PERCENT, RESPONSE_WITHIN_SECONDS
from e2e.validation.latency import Summary, per_tenant, summary
from e2e.validation.statistics import (
    Estimate,
    NoiseFloor,
    TooFewError,
    noise_floor,
    ratio,
    trend_per_minute,
)
from e2e.validation.windows import Kind, Window, of_kind, tenants

PERCENTS: Final = (50, 95, 99)
JUDGED: Final = 99
IMPACT: Final = 95
WORST_TOLD: Final = 3
DEGRADATION_AT_MOST: Final = DEGRADATION_AT_MOST_PERCENT / 100


@dataclass(frozen=True)
class Comparison:
    """One percentile with noise, without, and their ratio; latencies in ms."""

    percent: int
    quiet_ms: float
    noisy_ms: float
    ratio: Estimate

    def words(self, name: str) -> str:
        """In a few words."""
        low, high = degradation(self.ratio.low), degradation(self.ratio.high)
        return (
            f"p{self.percent} {name} {self.noisy_ms:.1f} ms, {degradation(self.ratio.value)}"
            f" (95 % interval {low} to {high})"
        )


@dataclass(frozen=True)
class Impact:
    """What held noise did to one tenant's p95; of a p99 a single tenant has too few requests."""

    tenant: str
    ratio: Estimate


@dataclass(frozen=True)
class Validation:
    """All that was found.

    Attributes:
        held, not_held: by percentile; not_held is empty where there was no such window.
        per_tenant: by tenant, by kind of window.
        drift_ms_per_minute: of the quiet windows' median.
    """

    summaries: dict[Kind, Summary]
    held: dict[int, Comparison]
    not_held: dict[int, Comparison]
    floors: dict[int, NoiseFloor]
    per_tenant: dict[Kind, dict[str, Summary]]
    drift_ms_per_minute: float
    impacts: Sequence[Impact]
    verdict: Verdict


def degradation(of: float) -> str:
    """A ratio as what it is more or less than 1."""
    return f"{(of - 1) * 100:+.0f} %"


def validate(windows: Sequence[Window], seed: int = 1) -> Validation:
    """
    Raises:
        TooFewError: when there are too few windows of a kind, or requests in them.
    """
    kinds = {kind: found for kind in Kind if (found := of_kind(windows, kind))}
    quiet = kinds.get(Kind.QUIET, [])
    held = {percent: _compared(kinds.get(Kind.HELD, []), quiet, percent, seed) for percent in PERCENTS}
    not_held = {
        percent: _compared(kinds[Kind.NOT_HELD], quiet, percent, seed)
        for percent in PERCENTS
        if Kind.NOT_HELD in kinds
    }
    floors = {
        percent: noise_floor([window.latencies_ms() for window in quiet], percent, seed)
        for percent in PERCENTS
    }
    drift = trend_per_minute([window.start for window in quiet], [summary([window]).p50 for window in quiet])
    summaries = {kind: summary(found) for kind, found in kinds.items()}
    state = judge(held[JUDGED].ratio, floors[JUDGED])
    worst = impacts(windows, seed)
    return Validation(
        summaries=summaries,
        held=held,
        not_held=not_held,
        floors=floors,
        per_tenant={kind: per_tenant(found) for kind, found in kinds.items()},
        drift_ms_per_minute=drift,
        impacts=worst,
        verdict=Verdict(
            state=state,
            text=_text(state, len(tenants(quiet)), held[JUDGED], not_held.get(JUDGED)),
            reasons=[
                *_reasons(state, held, not_held, floors[JUDGED], drift, summaries),
                *_worst(worst),
                *_more(state, held[JUDGED].ratio, len(kinds[Kind.HELD])),
            ],
        ),
    )


def judge(held: Estimate, floor: NoiseFloor) -> VerdictState:
    """By the ratio of p99 while held to quiet, and what two quiet halves differ by.

    Isolated: the whole interval is within the bound, or the figure is, and is no further from 1 than quiet
    halves are from each other, where these are within the bound themselves: on a machine whose quiet halves
    differ by more than what is asked, a figure near 1 shows nothing. Not isolated: the whole interval is over
    the bound and over what quiet halves differ by. Else it can't be told.
    """
    most = 1 + DEGRADATION_AT_MOST
    as_noise = max(held.value, 1 / held.value) <= floor.most <= most
    if held.high <= most or (held.value <= most and as_noise):
        return VerdictState.ISOLATED
    if held.low > max(most, floor.most):
        return VerdictState.NOT_ISOLATED
    return VerdictState.CANNOT_TELL


def impacts(windows: Sequence[Window], seed: int = 1) -> list[Impact]:
    """The worst victims first; a tenant with a window without answers, or too few windows, is left out."""
    found = []
    for tenant in tenants(windows):
        held, quiet = (
            [window.latencies_ms(tenant) for window in of_kind(windows, kind)]
            for kind in (Kind.HELD, Kind.QUIET)
        )
        with suppress(TooFewError):
            found.append(Impact(tenant, ratio(held, quiet, IMPACT, seed)))
    return sorted(found, key=lambda impact: -impact.ratio.value)


def bounds(found: Validation) -> list[Bound]:
    """The specification's response under 2 s, of p99 while held, and our p99 within 10 % of quiet."""
    p99 = found.held[JUDGED]
    return [
        Bound(
            what=f"p{JUDGED} of the response while held",
            measured=round(p99.noisy_ms / 1000, 4),
            unit="s",
            at_most=RESPONSE_WITHIN_SECONDS,
        ),
        Bound(
            what=f"p{JUDGED} while held, over quiet",
            measured=round(100 * (p99.ratio.value - 1), 2),
            unit="%",
            at_most=100 * DEGRADATION_AT_MOST,
            source=Source.GOAL,
        ),
    ]


def windows_needed(held: Estimate, windows: int) -> int:
    """How many windows of each kind would make the interval narrow enough to tell: its width goes with the
    root of their number. Nothing is said of where the figure itself would be."""
    margin = abs(held.value - 1 - DEGRADATION_AT_MOST)
    if not margin:
        return 10 * windows
    return max(windows + 1, min(10 * windows, round(windows * (held.half_width / margin) ** 2)))


def _compared(noisy: Sequence[Window], quiet: Sequence[Window], percent: int, seed: int) -> Comparison:
    of, to = ([window.latencies_ms() for window in some] for some in (noisy, quiet))
    found = ratio(of, to, percent, seed)
    return Comparison(percent, _percentile(quiet, percent), _percentile(noisy, percent), found)


def _percentile(windows: Sequence[Window], percent: int) -> float:
    found = summary(windows)
    return {50: found.p50, 95: found.p95, 99: found.p99}[percent]


def _worst(found: Sequence[Impact]) -> list[str]:
    words = [
        f"{each.tenant} {degradation(each.ratio.value)} (95 % interval {degradation(each.ratio.low)} to "
        f"{degradation(each.ratio.high)})"
        for each in found[:WORST_TOLD]
    ]
    return [f"Held noise met most, by p{IMPACT}: {', '.join(words)}."] if words else []


def _more(state: VerdictState, held: Estimate, windows: int) -> list[str]:
    if state is not VerdictState.CANNOT_TELL:
        return []
    return [f"About {windows_needed(held, windows)} held windows would be needed; there were {windows}."]


_WORDS: Final = {
    VerdictState.ISOLATED: "Quiet tenants are isolated from noisy ones",
    VerdictState.NOT_ISOLATED: "Quiet tenants feel noisy ones",
    VerdictState.CANNOT_TELL: "Whether quiet tenants feel noisy ones can't be told from this run",
}


def _text(state: VerdictState, count: int, held: Comparison, not_held: Comparison | None) -> str:
    unprotected = f"; {not_held.words('not held')}" if not_held else ""
    return (
        f"{_WORDS[state]}: {count} tenants, p99 quiet {held.quiet_ms:.1f} ms;"
        f" {held.words('held')}{unprotected}."
    )


def _reasons(
    state: VerdictState,
    held: dict[int, Comparison],
    not_held: dict[int, Comparison],
    floor: NoiseFloor,
    drift: float,
    summaries: dict[Kind, Summary],
) -> list[str]:
    found = [
        f"Noise floor: of the quiet windows, odd against even differ by {degradation(floor.halves)} at p99,"
        f" and any two halves by up to {degradation(floor.most)}; a difference below that means nothing.",
    ]
    for percent in PERCENTS[:-1]:
        both = [held[percent].words("held"), *([not_held[percent].words("not held")] if not_held else [])]
        found.append(f"Quiet p{percent} {held[percent].quiet_ms:.1f} ms; {'; '.join(both)}.")
    found.append(
        "Answered per second: "
        + ", ".join(
            f"{each.per_second:.1f} {kind} ({each.failed} failed)" for kind, each in summaries.items()
        )
        + f". The quiet median drifts by {drift:+.2f} ms a minute."
    )
    if state is VerdictState.CANNOT_TELL:
        found.append(
            "The interval reaches over the bound, or the bound lies within what two quiet halves differ by:"
            " more windows, or a machine that others leave alone, would tell."
        )
    return found
