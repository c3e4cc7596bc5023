"""What the benchmark found, for people (Markdown) and for machines (JSON)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, Final

from e2e.bench.race import Change, ControllerIdle, Restart
from e2e.harness.figures import REPORTS, Summary, write_report

GOAL_RATIO: Final = 1.3


@dataclass(frozen=True)
class Result:
    """All that one run found."""

    machine: Mapping[str, Any]
    pods: int
    changes: Sequence[Change]
    idle: ControllerIdle | None
    restart: Restart | None
    ended_early: str = ""
    """Why not all was measured."""

    def of(self, arm: str) -> list[Change]:
        return [change for change in self.changes if change.arm == arm]

    def summary(self, arm: str) -> Summary:
        return Summary.of([change.last_seconds for change in self.of(arm)])

    def ratios(self) -> dict[str, float]:
        """Operator to bare loop."""
        operator, bare = self.summary("operator"), self.summary("bare loop")
        pairs = zip(self.of("operator"), self.of("bare loop"), strict=True)
        return {
            "median": operator.median / bare.median,
            "p95": operator.p95 / bare.p95,
            "median_of_pairs": Summary.of(
                [ours.last_seconds / its.last_seconds for ours, its in pairs]
            ).median,
        }


def table(result: Result) -> str:
    """Markdown that reads as plain text too."""
    ratios = result.ratios()
    lines = [
        "| until the last cgroup had the new limit | changes | median | p95 | least to most |",
        "|---|---:|---:|---:|---:|",
    ]
    for arm in ("operator", "bare loop"):
        found = result.summary(arm)
        lines.append(
            f"| {arm} | {found.count} | {found.median:.2f} s | {found.p95:.2f} s"
            f" | {found.least:.2f} to {found.most:.2f} s |"
        )
    lines.append(
        f"| operator : bare loop | | **{ratios['median']:.2f}** | {ratios['p95']:.2f}"
        f" | pairs: {ratios['median_of_pairs']:.2f} |"
    )
    return "\n".join(lines)


def markdown(result: Result) -> str:
    met = "met" if result.ratios()["median"] <= GOAL_RATIO else "MISSED"
    machine = ", ".join(f"{key} {value}" for key, value in result.machine.items())
    cpu = mean(change.controller_cpu_seconds for change in result.of("operator"))
    lines = [
        f"# From a quota edit to the cgroups of {result.pods} running pods",
        "",
        "*Operator*: one edit of the TenantQuota. *Bare loop*: no quota, and `pods/resize` patched for each"
        " of the same pods, ten at a time. In turn, on one node, from the first request until the last cgroup"
        " file held the new limit.",
        "",
        table(result),
        "",
        f"Goal, median operator : bare loop at most {GOAL_RATIO}: {met}.",
        "",
        f"The controller took {cpu:.2f} s of CPU for a change.",
    ]
    if result.idle:
        lines.append(
            f"Idle it used {result.idle.millicores:.0f}m and {result.idle.memory_bytes / (1 << 20):.0f} MiB"
            f" ({result.idle.seconds:.0f} s, {result.pods} pods)."
        )
    if result.restart:
        lines.append(
            f"Replaced, it was Ready {result.restart.ready_seconds:.0f} s after its container started (whole"
            " seconds, as the API has them)"
            f" and {result.restart.replaced_seconds:.1f} s after its pod was deleted."
        )
    if result.ended_early:
        lines += ["", f"**Only a part of it was measured:** {result.ended_early}"]
    lines += ["", f"Measured on: {machine}.", ""]
    return "\n".join(lines)


def write(result: Result) -> list[Path]:
    """Writes ``reports/bench.md`` and ``.json``."""
    figures = {
        "machine": result.machine,
        "pods": result.pods,
        "summary_seconds": {arm: result.summary(arm) for arm in ("operator", "bare loop")},
        "ratio": result.ratios(),
        "goal_ratio": GOAL_RATIO,
        "controller_idle": result.idle,
        "controller_restart": result.restart,
        "changes": list(result.changes),
        "ended_early": result.ended_early,
    }
    json_path = write_report("bench", figures)
    markdown_path = REPORTS / "bench.md"
    markdown_path.write_text(markdown(result))
    return [markdown_path, json_path]
