"""Finished pods, from the watches to requests: the reconciler in front of an API server that writes down what
it is asked for."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tenantquota.controller.reconciler import REMOVED_AGAIN_SECONDS
from tenantquota.domain.model import FinishedPod, Pod
from tenantquota.kube.client import GoneError, RefusedError
from tests.unit.controller.test_reconciler import START, World

TTL_SECONDS = 60


@dataclass
class Finished(World):
    """A namespace with pods that have ended at the start."""

    pods: dict[str, Pod] = field(default_factory=dict)
    ended: dict[str, FinishedPod] = field(
        default_factory=lambda: {
            name: FinishedPod("acme", name, f"uid-{name}", {}, "Failed", START) for name in ("a", "b")
        }
    )
    evictions: list[str] = field(default_factory=list)
    answer: Exception | None = None

    async def request(self, method: str, path: str, body: Any = None, **fields: Any) -> dict[str, Any]:
        if path.endswith("/eviction"):
            name = path.split("/")[-2]
            assert body["deleteOptions"] == {"preconditions": {"uid": self.ended[name].uid}}
            self.evictions.append(name)
            if self.answer is not None:
                raise self.answer
        return await super().request(method, path, body, **fields)

    def _quota(self) -> dict[str, Any]:
        quota = super()._quota()
        quota["spec"] = quota["spec"] | {"cleanup": {"ttlSecondsAfterFinished": TTL_SECONDS}}
        return quota

    async def look_without_report(self, after_seconds: float = 0.0) -> float | None:
        self.views = replace(self.views, finished={"acme": list(self.ended.values())})
        self.reconciler = replace(self.reconciler, views=self.views)
        return await super().look_without_report(after_seconds)

    def events(self) -> list[tuple[str, str]]:
        return [
            (body["reason"], body["note"])
            for what, body in self.requests
            if what == "events" and body["reason"] == "FinishedPodRemoved"
        ]


async def test_they_are_removed_when_their_time_is_over() -> None:
    world = Finished()
    assert await world.look_without_report() == TTL_SECONDS
    assert world.evictions == []
    await world.look_without_report(TTL_SECONDS)
    assert sorted(world.evictions) == ["a", "b"]
    assert world.events() == [("FinishedPodRemoved", "2 pods: finished 60 s ago or earlier")]


async def test_not_again_while_the_index_shows_them_still() -> None:
    world = Finished()
    await world.look_without_report(TTL_SECONDS)
    await world.look_without_report(1)
    assert len(world.evictions) == 2


@pytest.mark.parametrize("error", [RefusedError("no"), GoneError("not found")])
async def test_what_was_not_done_is_tried_again_later(error: Exception) -> None:
    world = Finished(answer=error)
    await world.look_without_report(TTL_SECONDS)
    await world.look_without_report(REMOVED_AGAIN_SECONDS - 1)
    assert len(world.evictions) == 2
    await world.look_without_report(1)
    assert len(world.evictions) == 4


async def test_under_observe_it_is_only_told() -> None:
    world = Finished(enforcement="Observe")
    await world.look_without_report(TTL_SECONDS)
    await world.look_without_report(REMOVED_AGAIN_SECONDS)
    assert world.evictions == []
    assert world.events() == [("FinishedPodRemoved", "Observed: 2 pods: finished 60 s ago or earlier")]


async def test_what_is_remembered_of_them_is_forgotten_with_them() -> None:
    world = Finished()
    await world.look_without_report(TTL_SECONDS)
    memory = world.reconciler.memory
    memory.forget_all_but(world.reconciler.views.uids())
    assert memory.removed.keys() == {"uid-a", "uid-b"}
    world.ended.clear()
    await world.look_without_report(1)
    memory.forget_all_but(world.reconciler.views.uids())
    assert not memory.removed
