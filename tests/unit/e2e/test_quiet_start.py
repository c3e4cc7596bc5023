from typing import cast

import pytest

from e2e.harness.cluster import NODE, Cluster, Kind, Manifest
from e2e.harness.quiet_start import noisy

HOLD = {"tenant": "acme", "message": "wanting 348 ms/s"}


class Reports:
    """A cluster whose only node, of two CPUs, has such a report, for so many looks."""

    def __init__(self, looks: int, **of: object) -> None:
        self.left = looks
        self.of = of

    def objects(self, kind: Kind) -> list[Manifest]:
        named: Manifest = {"metadata": {"name": "n1"}}
        if kind == NODE:
            return [named | {"status": {"allocatable": {"cpu": "2"}}}]
        self.left -= 1
        return [named | (self.of if self.left >= 0 else {})]


def using(*milli: int) -> list[Manifest]:
    return [{"tenant": "acme", "cpuMilli": each} for each in milli]


@pytest.mark.parametrize(
    ("of", "told"),
    [
        ({"holds": [HOLD]}, {"acme on n1": "it is held: wanting 348 ms/s"}),
        ({"containers": using(150, 60)}, {"acme on n1": "it uses 210m of 2000m"}),
        ({"containers": using(150, 50)}, {}),
        ({"containers": [{"tenant": "acme"}]}, {}),
    ],
)
def test_who_is_noisy_for_good_is_told(of: Manifest, told: dict[str, str]) -> None:
    assert noisy(cast("Cluster", Reports(1000, **of)), within_seconds=0.1) == told


def test_what_ends_is_waited_for() -> None:
    assert noisy(cast("Cluster", Reports(2, holds=[HOLD])), within_seconds=30) == {}
