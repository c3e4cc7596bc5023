"""What the benchmark of the node agent found, for people (Markdown) and for machines (JSON)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from e2e.bench import koordlet
from e2e.bench.node_agent import Cost
from e2e.harness.figures import REPORTS, write_report

MIB: Final = 1 << 20
GOAL_MILLICORES_PER_CONTAINER: Final = 0.05
GOAL_MEMORY_BYTES: Final = 40 * MIB
GOAL_PERIOD_ERROR_SECONDS: Final = 0.05


def table(costs: Sequence[Cost]) -> str:
    """Markdown that reads as plain text too."""
    lines = [
        "| agent | containers | they are | millicores | per container | memory | report | reports a minute"
        " | period error p99 |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
        f"| koordlet, published | {koordlet.CONTAINERS} | | {koordlet.MILLICORES:.0f}"
        f" | {koordlet.MILLICORES_PER_CONTAINER:.2f} | {koordlet.MEMORY_BYTES // MIB} MiB | | | |",
    ]
    lines += [
        f"| tenantquota-node | {cost.containers} | {cost.workload} | {cost.millicores:.1f}"
        f" | **{cost.millicores_per_container:.3f}** | {cost.working_set_bytes / MIB:.1f} MiB"
        f" | {cost.report_bytes / 1000:.1f} kB | {cost.reports_per_minute:.1f}"
        f" | ≤ {cost.period_error_p99_seconds * 1000:.0f} ms |"
        for cost in costs
    ]
    return "\n".join(lines)


def markdown(machine: Mapping[str, Any], costs: Sequence[Cost]) -> str:
    most = max(costs, key=lambda cost: (cost.containers, cost.workload == "idle"))
    per_container, memory = most.millicores_per_container, most.working_set_bytes
    times = koordlet.MILLICORES_PER_CONTAINER / per_container
    where = ", ".join(f"{key} {value}" for key, value in machine.items())
    return "\n".join(
        [
            "# What the node agent costs at one sample a second",
            "",
            "Everything included (sampling, watching pods, reports, a scrape every 15 s), from its own"
            " cgroup.",
            "",
            table(costs),
            "",
            f"At {most.containers} idle containers: {per_container:.3f} millicores each, {times:.0f} times"
            f" less than koordlet (goal {GOAL_MILLICORES_PER_CONTAINER}:"
            f" {_met(per_container <= GOAL_MILLICORES_PER_CONTAINER)}); {memory / MIB:.1f} MiB (goal"
            f" {GOAL_MEMORY_BYTES // MIB}: {_met(memory <= GOAL_MEMORY_BYTES)}).",
            "",
            f"Ticks missed {sum(cost.missed_ticks for cost in costs)}, late"
            f" {sum(cost.late_ticks for cost in costs)} of {sum(cost.seconds for cost in costs):.0f} s;"
            f" period error p99 at most {max(cost.period_error_p99_seconds for cost in costs) * 1000:.0f} ms"
            f" (goal {GOAL_PERIOD_ERROR_SECONDS * 1000:.0f}).",
            "",
            f"Measured on: {where}.",
            "",
        ]
    )


def _met(met: bool) -> str:
    return "met" if met else "MISSED"


def write(machine: Mapping[str, Any], costs: Sequence[Cost]) -> list[Path]:
    """Writes ``reports/bench_node_agent.md`` and ``.json``."""
    json_path = write_report(
        "bench_node_agent",
        {
            "machine": machine,
            "koordlet": {
                "containers": koordlet.CONTAINERS,
                "millicores": koordlet.MILLICORES,
                "memory_bytes": koordlet.MEMORY_BYTES,
            },
            "goal": {
                "millicores_per_container": GOAL_MILLICORES_PER_CONTAINER,
                "memory_bytes": GOAL_MEMORY_BYTES,
            },
            "costs": list(costs),
        },
    )
    markdown_path = REPORTS / "bench_node_agent.md"
    markdown_path.write_text(markdown(machine, costs))
    return [markdown_path, json_path]
