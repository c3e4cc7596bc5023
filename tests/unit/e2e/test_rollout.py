"""Pods that are started, and which of them are made anew."""

import threading
from typing import Any, cast

import pytest

from e2e.harness import rollout
from e2e.harness.cluster import Cluster, Kind, Manifest
from e2e.harness.wait import DeadlineExceededError


def pod(name: str) -> Manifest:
    return {"metadata": {"namespace": "acme", "name": name}}


class Pods:
    """A cluster whose pods are Ready at once, but for the first that is named ``late``: its container can't
    be started, or only at the second attempt."""

    def __init__(self, failure: str, *, begun_anew: bool = False) -> None:
        self.failure = failure
        self.begun_anew = begun_anew
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
            if self.begun_anew:
                status["containerStatuses"] = [runs | {"restartCount": 1, "lastState": ended}]
            else:
                status = {"phase": "Failed", "containerStatuses": [{"state": ended}]}
        self._pods[name] = manifest | {"spec": {"nodeName": "n1"}, "status": status}

    def delete(self, _: Kind, name: str, __: str) -> None:
        self.deleted.append(name)
        del self._pods[name]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "BASE_SECONDS", 2)
    monkeypatch.setattr(rollout, "SECONDS_PER_POD", 0)


@pytest.mark.parametrize("begun_anew", [False, True])
def test_what_could_not_be_frozen_is_made_anew(begun_anew: bool) -> None:
    failure = "error setting cgroup config for procHooks process: unable to freeze"
    cluster = Pods(failure, begun_anew=begun_anew)
    containers = rollout.roll_out(cast("Cluster", cluster), [pod("early"), pod("late")])

    assert cluster.deleted == ["late"]
    assert [each.restarts for each in containers] == [0, 0]


def test_a_container_that_crashed_stays() -> None:
    cluster = Pods("", begun_anew=True)
    containers = rollout.roll_out(cast("Cluster", cluster), [pod("early"), pod("late")])

    assert cluster.deleted == []
    assert [each.restarts for each in containers] == [0, 1]


def test_any_other_failure_stays() -> None:
    cluster = Pods("cpu.shares: invalid argument")
    with pytest.raises(DeadlineExceededError, match="invalid argument"):
        rollout.roll_out(cast("Cluster", cluster), [pod("early"), pod("late")])

    assert cluster.deleted == []


class Slow:
    """Pods that run so many looks after they were made, and are ready as many later."""

    def __init__(self, looks: int) -> None:
        self.most_set_up, self.most_on_their_way = 0, 0
        self._looks = looks
        self._lock = threading.Lock()
        self._pods: dict[str, tuple[Manifest, int]] = {}

    def objects(self, _: Kind) -> list[Manifest]:
        found = [self._at(manifest, looks) for manifest, looks in self._pods.values()]
        self._pods = {name: (manifest, looks + 1) for name, (manifest, looks) in self._pods.items()}
        return found

    def apply(self, manifest: Manifest) -> None:
        with self._lock:  # it is called for several at once
            self._pods[manifest["metadata"]["name"]] = (manifest, 0)
            phases = [self._at(of, looks - 1)["status"] for of, looks in self._pods.values()]
            set_up = sum(status["phase"] == "Pending" for status in phases)
            on_their_way = sum(not status["conditions"] for status in phases)
            self.most_set_up = max(self.most_set_up, set_up)
            self.most_on_their_way = max(self.most_on_their_way, on_their_way)

    def _at(self, manifest: Manifest, looks: int) -> Manifest:
        runs = {"name": "agent", "containerID": "containerd://a", "restartCount": 0, "state": {"running": {}}}
        status = {
            "phase": "Running" if looks >= self._looks else "Pending",
            "conditions": [{"type": "Ready", "status": "True"}] if looks >= 2 * self._looks else [],
            "containerStatuses": [runs],
        }
        return manifest | {"spec": {"nodeName": "n1"}, "status": status}


def test_as_many_are_on_their_way_as_may_be_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "BASE_SECONDS", 60)
    monkeypatch.setattr("e2e.harness.wait.time.sleep", lambda _: None)
    cluster = Slow(looks=3)
    containers = rollout.roll_out(cast("Cluster", cluster), [pod(f"p{number}") for number in range(40)])

    assert len(containers) == 40
    assert (cluster.most_set_up, cluster.most_on_their_way) == (rollout.AT_ONCE, rollout.ON_THEIR_WAY)
