"""Medians and percentiles, and the reports that they go to."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from e2e.cluster.settings import REPOSITORY

REPORTS: Final = REPOSITORY / "reports"


@dataclass(frozen=True)
class Summary:
    """A sample in the unit of its values; percentiles by linear interpolation."""

    count: int
    least: float
    median: float
    p95: float
    p99: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary":
        """
        Raises:
            ValueError: for an empty sample.
        """
        if not values:
            raise ValueError("no values to summarize")
        percentiles = (
            statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else [values[0]] * 99
        )
        return cls(
            count=len(values),
            least=min(values),
            median=statistics.median(values),
            p95=percentiles[94],
            p99=percentiles[98],
            most=max(values),
        )


def machine(kubernetes_version: str) -> dict[str, Any]:
    """Where figures were measured: this machine, which the cluster of ``make up`` is on."""
    return {
        "processor": _processor(),
        "kubernetes": kubernetes_version,
        "kernel": platform.release(),
        "cgroup": "v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1",
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "commit": _commit(),
    }


def write_report(name: str, figures: Mapping[str, Any], *, directory: Path = REPORTS) -> Path:
    """Writes ``NAME.json``; dataclasses in ``figures`` become objects."""
    directory.mkdir(exist_ok=True)
    path = directory / f"{name}.json"
    path.write_text(json.dumps(figures, indent=2, default=asdict) + "\n")
    return path


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
