"""``kubectl tenantquota replay``: runs the node agent's detectors over recorded series."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tenantquota.cli.series import SeriesError, samples
from tenantquota.domain.findings import DEFAULTS, MIB, Finding, Kind, Limits, Stage, Thresholds, evidence
from tenantquota.domain.leaks import Leaks
from tenantquota.domain.quantities import QuantityError, parse_cpu_milli, parse_memory_bytes

Commands = argparse._SubParsersAction  # the type has no public name


def add_to(commands: "Commands[argparse.ArgumentParser]") -> None:
    """The command's options."""
    parser = commands.add_parser(
        "replay",
        help="find leaks in recorded series, to tune spec.leaks",
        description="Runs the detectors of leaks over recorded series and prints one JSON line per finding."
        " Columns: seconds, memory_bytes (the working set), cpu_percent (of one core), and optionally"
        " open_files and processes, in any order; an empty field is a sample that is missing.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("files", metavar="FILE.csv", nargs="+", type=Path, help="one container's samples")
    of = DEFAULTS
    for option, kind, default, text in (
        (
            "--memory-fast-per-minute",
            _memory,
            f"{of.memory_fast_bytes_per_minute // MIB:.0f}Mi",
            "memory that grows so fast is a leak after 48 s",
        ),
        (
            "--memory-slow-per-minute",
            _memory,
            f"{of.memory_slow_bytes_per_minute // MIB:.0f}Mi",
            "and so fast after 11 to 15 minutes",
        ),
        (
            "--open-files-per-minute",
            _positive,
            of.open_files_per_minute,
            "open files that grow so fast are a leak after 50 s, and a tenth as fast after 10 minutes",
        ),
        ("--processes-per-minute", _positive, of.processes_per_minute, "as with open files"),
        (
            "--cpu-percent",
            _positive,
            of.cpu_percent,
            "CPU above this is a runaway after --cpu-seconds; of one core, or of --cpu-limit if that is less",
        ),
        ("--cpu-seconds", _positive, of.cpu_seconds, "see --cpu-percent"),
    ):
        parser.add_argument(option, type=kind, default=default, help=text)
    parser.add_argument(
        "--memory-limit",
        type=_memory,
        help="the container's memory limit, such as 512Mi; findings then say when it is hit",
    )
    parser.add_argument("--cpu-limit", type=_cpu, help="the container's CPU limit, such as 500m")
    parser.add_argument(
        "--suspected", action="store_true", help="print suspicions too: half the evidence, many false alarms"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the findings; 2 if a file could not be replayed, though the others were."""
    thresholds = Thresholds(
        options.memory_fast_per_minute,
        options.memory_slow_per_minute,
        options.open_files_per_minute,
        options.processes_per_minute,
        options.cpu_percent,
        options.cpu_seconds,
    )
    limits = Limits(options.memory_limit, options.cpu_limit)
    code = 0
    for file in options.files:
        try:
            found = list(findings(file, thresholds, limits, suspected=options.suspected))
        except SeriesError as error:
            print(f"kubectl tenantquota replay: {error}", file=sys.stderr)
            code = 2
            continue
        for each in found:
            print(json.dumps({"file": str(file)} | each), flush=True)
    return code


def findings(
    file: Path, thresholds: Thresholds, limits: Limits, *, suspected: bool = False
) -> Iterator[dict[str, Any]]:
    """The findings in a file, in the order in which they were made.

    Raises:
        SeriesError: it holds no series.
    """
    leaks, lines = Leaks(thresholds), list[dict[str, Any]]()
    going_on: dict[Kind, dict[str, Any]] = {}
    for sample in samples(file):
        for finding in leaks.observe(*sample, limits):
            if finding.stage is Stage.ENDED:
                going_on.pop(finding.kind)["ended_at_seconds"] = finding.at_seconds
            elif finding.stage is Stage.CONFIRMED:
                lines.append(going_on.setdefault(finding.kind, _line(finding)))
            elif suspected:
                lines.append(_line(finding))
    yield from lines


def _line(finding: Finding) -> dict[str, Any]:
    limit = finding.limit_in_seconds
    return {
        "kind": finding.kind.value,
        "stage": finding.stage.value,
        "at_seconds": round(finding.at_seconds, 1),
        "rate_per_minute": round(finding.rate_per_minute, 1),
        "since_seconds": round(finding.since_seconds, 1),
        "ended_at_seconds": None,
        "limit_in_seconds": None if limit is None else round(limit),
        "evidence": evidence(finding),
    }


def _quantity(parse: Callable[[str | int], int], text: str, such_as: str) -> int:
    try:
        value = parse(text)
    except QuantityError:
        value = 0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not {such_as}")
    return value


def _memory(text: str) -> int:
    return _quantity(parse_memory_bytes, text, "an amount of memory above 0, such as 50Mi")


def _cpu(text: str) -> float:
    """In percent of one core."""
    return _quantity(parse_cpu_milli, text, "an amount of CPU above 0, such as 500m") / 10


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value
