from typing import cast

from e2e.harness.cluster import Cluster, Kind, Manifest
from e2e.harness.quiet_start import noisy


class Reports:
    """A cluster whose only node's report tells of a hold so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def objects(self, _: Kind) -> list[Manifest]:
        self.left -= 1
        hold = {"tenant": "acme", "message": "wanting 348 ms/s"}
        return [{"metadata": {"name": "n1"}, **({"holds": [hold]} if self.left >= 0 else {})}]


def test_who_is_held_for_good_is_told() -> None:
    told = noisy(cast("Cluster", Reports(1000)), within_seconds=0.1)
    assert told == {"acme on n1": "wanting 348 ms/s"}


def test_what_ends_is_waited_for() -> None:
    assert noisy(cast("Cluster", Reports(2)), within_seconds=30) == {}
