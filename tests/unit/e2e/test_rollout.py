"""Pods that are started, and which of them are made anew."""

from typing import Any, cast

import pytest

from e2e.harness import rollout
from e2e.harness.cluster import Cluster, Kind, Manifest
from e2e.harness.wait import DeadlineExceededError


def pod(name: str) -> Manifest:
    return {"metadata": {"namespace": "acme", "name": name}}


class Pods:
    """A cluster whose pods are Ready at once, but for the first that is named ``late``."""

    def __init__(self, failure: str) -> None:
        self.failure = failure
        self.deleted: list[str] = []
        self._pods: dict[str, Manifest] = {}

    def objects(self, _: Kind) -> list[Manifest]:
        return list(self._pods.values())

    def apply(self, manifest: Manifest) -> None:
        name = manifest["metadata"]["name"]
        runs = {"name": "agent", "containerID": "containerd://a", "restartCount": 0, "state": {"running": {}}}
        status: dict[str, Any] = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [runs],
        }
        if name == "late" and not self.deleted:
            ended = {"terminated": {"reason": "StartError", "message": self.failure}}
            status = {"phase": "Failed", "containerStatuses": [{"state": ended}]}
        self._pods[name] = manifest | {"spec": {"nodeName": "n1"}, "status": status}

    def delete(self, _: Kind, name: str, __: str) -> None:
        self.deleted.append(name)
        del self._pods[name]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "BASE_SECONDS", 2)
    monkeypatch.setattr(rollout, "SECONDS_PER_POD", 0)


def test_what_could_not_be_frozen_is_made_anew() -> None:
    cluster = Pods("error setting cgroup config for procHooks process: unable to freeze")
    rollout.roll_out(cast("Cluster", cluster), [pod("early"), pod("late")])

    assert cluster.deleted == ["late"]


def test_any_other_failure_stays() -> None:
    cluster = Pods("cpu.shares: invalid argument")
    with pytest.raises(DeadlineExceededError, match="invalid argument"):
        rollout.roll_out(cast("Cluster", cluster), [pod("early"), pod("late")])

    assert cluster.deleted == []
