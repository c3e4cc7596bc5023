"""Which finished pods are removed, and when."""

from dataclasses import replace
from typing import Any

import pytest

from tenantquota.domain.audit import removed
from tenantquota.domain.cleanup import MOST_AT_ONCE, NEXT_SECONDS, Cleanup, Removal, cleanup_of, told
from tenantquota.domain.decisions import Outcome, news
from tenantquota.domain.model import FinishedPod, InvalidQuota, Quota
from tenantquota.domain.plan import Observation, plan_namespace
from tests.unit.domain.builders import quota

END = "2026-01-01T00:00:00Z"


def finished(name: str = "p", **fields: Any) -> FinishedPod:
    defaults: dict[str, Any] = {"labels": {}, "phase": "Failed", "finished": END}
    return FinishedPod(namespace="acme", name=name, uid=f"uid-{name}", **(defaults | fields))


def removes(of: Quota, *pods: tuple[FinishedPod, float]) -> Cleanup:
    return cleanup_of(of, (pod for pod, _ in pods), {pod.uid: age for pod, age in pods})


def names(of: Cleanup) -> list[str]:
    return [pod.name for pod in of.remove]


class TestWhen:
    def test_once_it_has_been_finished_for_long_enough(self) -> None:
        of = quota(finished_ttl_seconds=60)
        assert names(removes(of, (finished("old"), 60), (finished("young"), 59.5))) == ["old"]

    def test_at_once(self) -> None:
        assert names(removes(quota(finished_ttl_seconds=0), (finished(), 0))) == ["p"]

    def test_never_unless_the_quota_says_so(self) -> None:
        assert removes(quota(), (finished(), 1e9)) == Cleanup()

    def test_it_looks_again_when_the_next_one_is_due(self) -> None:
        of = quota(finished_ttl_seconds=60)
        assert removes(of, (finished("a"), 20), (finished("b"), 50), (finished("c"), 70)).again_seconds == 10
        assert removes(of, (finished("c"), 70)).again_seconds is None

    def test_a_node_whose_clock_is_ahead(self) -> None:
        assert removes(quota(finished_ttl_seconds=60), (finished(), -5)) == Cleanup((), 65)

    def test_the_oldest_first_and_not_too_many_at_once(self) -> None:
        pods = [(finished(str(number)), 100.0 + number) for number in range(MOST_AT_ONCE + 1)]
        found = removes(quota(finished_ttl_seconds=60), *pods)
        assert names(found) == [str(number) for number in range(MOST_AT_ONCE, 0, -1)]
        assert found.again_seconds == NEXT_SECONDS


class TestWhich:
    def test_not_a_jobs(self) -> None:
        assert removes(quota(finished_ttl_seconds=0), (finished(of_job=True), 100)) == Cleanup()

    def test_not_one_that_is_being_removed(self) -> None:
        assert cleanup_of(quota(finished_ttl_seconds=0), [finished()], {}) == Cleanup()

    def planned(self, *quotas: Quota, **fields: Any) -> list[list[str]]:
        pod = finished(labels={"app": "agent"})
        seen = Observation("acme", quotas, finished=(pod,), finished_seconds={pod.uid: 100}, **fields)
        return [names(plan.cleanup) for plan in plan_namespace(seen).quotas]

    def test_those_that_the_quota_selects(self) -> None:
        mine = quota(name="mine", labels={"app": "agent"}, finished_ttl_seconds=60)
        other = quota(name="other", labels={"app": "other"}, finished_ttl_seconds=60)
        assert self.planned(mine, other) == [["p"], []]

    def test_not_one_that_two_quotas_select(self) -> None:
        one, two = (quota(name=name, finished_ttl_seconds=60) for name in ("one", "two"))
        assert self.planned(one, two) == [[], []]

    def test_nothing_while_a_quota_cannot_be_read(self) -> None:
        broken = InvalidQuota("acme", "broken", "uid-broken", 1, "spec.container: Field required")
        assert self.planned(quota(finished_ttl_seconds=60), invalid=(broken,)) == [[]]

    def test_nothing_in_a_system_namespace(self) -> None:
        assert self.planned(quota(finished_ttl_seconds=60), system=True) == [[]]


class TestWhatIsTold:
    @pytest.fixture
    def of(self) -> Quota:
        return quota(finished_ttl_seconds=60)

    def test_one_decision_for_all_that_came_out_the_same(self, of: Quota) -> None:
        removals = [Removal(finished(name), Outcome.APPLIED) for name in "abc"]
        removals += [Removal(finished("d"), Outcome.REFUSED, "a webhook says no")]
        found = told(of, removals, END)
        assert [(each.target, each.outcome, each.message) for each in found] == [
            ("3 pods", "Applied", "finished 60 s ago or earlier"),
            ("pod d", "Refused", "finished 60 s ago or earlier (a webhook says no)"),
        ]
        assert {each.rule for each in found} == {"FinishedPodRemoved"}

    def test_nothing_of_one_that_was_gone_already(self, of: Quota) -> None:
        assert not told(of, [Removal(finished(), Outcome.GONE)], END)

    def test_what_would_be_done_is_told_once(self) -> None:
        of = quota(finished_ttl_seconds=60, observe=True)
        before = told(of, [Removal(finished(), Outcome.OBSERVED)], END)
        again = told(of, [Removal(finished(), Outcome.OBSERVED)], "2026-01-01T00:01:00Z")
        assert not news(again, before)

    def test_the_record(self, of: Quota) -> None:
        record = removed(of, Removal(replace(finished(), phase="Succeeded"), Outcome.APPLIED), END)
        assert record["rule"] == "FinishedPodRemoved"
        assert (record["pod"], record["outcome"], record["mode"]) == ("p", "Applied", "Enforce")
        assert record["window"] == {"phase": "Succeeded", "finished": END, "ttlSecondsAfterFinished": 60}
