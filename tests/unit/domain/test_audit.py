"""The audit log alone tells what happened."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from tenantquota.api.status import TenantQuotaStatus
from tenantquota.domain.audit import Record, decided, read_back
from tenantquota.domain.conditions import status_of
from tenantquota.domain.cpu_budget import Clock
from tenantquota.domain.decisions import Outcome, Result, summarise
from tenantquota.domain.model import Budget, Pod, Quota
from tenantquota.domain.plan import Observation, QuotaPlan, plan_namespace
from tenantquota.domain.reports import Reported
from tenantquota.domain.resizes import Rule
from tenantquota.domain.truth import Witness
from tests.unit.domain.builders import MI, container, held, quota, report, res

IN_FORCE = res(500, 128, 50, 32)
NOW = "2026-01-01T00:00:00Z"
LONG_AGO = Clock(fits_seconds=1000, changed_seconds=1000)


def plan_of(of: Quota, used: dict[str, int], pods: Iterable[Pod], clock: Clock = LONG_AGO) -> QuotaPlan:
    pods = tuple(pods)
    account = report(
        *(
            (pod, Reported(pod.containers[0].spec.cpu_limit_milli, 128 * MI, used[pod.name], 20 * MI))
            for pod in pods
        )
    )
    witnesses = {pod.uid: Witness(account, acknowledged_seconds=60) for pod in pods}
    seen = Observation("acme", (of,), pods=pods, witnesses=witnesses, clocks={of.uid: clock})
    return plan_namespace(seen).quotas[0]


def agent(name: str, limit: int = 500, generation: int = 1) -> Pod:
    return held(
        res(limit, 128, 50, 32),
        declared={"agent": IN_FORCE},
        name=name,
        generation=generation,
        observed_generation=generation,
    )


def written(pod: Pod, outcome: Outcome) -> int:
    """The generation that a step with this outcome wrote."""
    return pod.generation + 1 if outcome is Outcome.APPLIED else 0


def records_of(plan: QuotaPlan, outcome: Outcome = Outcome.APPLIED, **fields: Any) -> list[Record]:
    return [
        record
        for act in plan.acts
        for record in decided(
            Result(
                act, outcome, generation=act.pod.generation + 1 if outcome is Outcome.APPLIED else 0, **fields
            ),
            plan.quota,
            plan.accounts.get(act.pod.uid),
            plan.cpu,
            NOW,
        )
    ]


OVER = plan_of(quota(budget=Budget(cpu_milli=600)), {"a": 500, "b": 400}, (agent("a"), agent("b")))


def test_a_record_says_all_that_there_is_to_say() -> None:
    first, second = records_of(OVER)
    assert first == {
        "time": NOW,
        "mode": "Enforce",
        "namespace": "acme",
        "pod": "a",
        "uid": "uid-a",
        "container": "agent",
        "tenant": "acme",
        "quota": "q",
        "quotaGeneration": 1,
        "correlationId": "uid-a-2",
        "rule": "CpuSizedDown",
        "window": {
            "podGeneration": 1,
            "node": "n1",
            "reportedAt": "2026-01-01T00:00:00Z",
            "limits": {"cpu": "500m", "memory": "128Mi"},
            "cpuMilli": 500,
            "memoryBytes": 20 * MI,
            "tenantCpuMilli": 900,
            "budgetCpuMilli": 600,
        },
        "old": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "50m", "memory": "32Mi"}},
        "new": {"limits": {"cpu": "280m", "memory": "128Mi"}, "requests": {"cpu": "50m", "memory": "32Mi"}},
        "outcome": "Applied",
        "message": OVER.acts[0].message,
    }
    assert (second["pod"], second["window"]["cpuMilli"]) == ("b", 400)


def test_it_is_read_back_under_the_same_id() -> None:
    after = plan_of(OVER.quota, {"a": 280}, [agent("a", 280, generation=2)])
    (record,) = read_back(
        after.pods[0], OVER.quota, after.accounts["uid-a"], Rule.CPU_SIZED_DOWN, "2026-01-01T00:00:02Z"
    )
    assert (record["correlationId"], record["outcome"]) == (records_of(OVER)[0]["correlationId"], "InForce")
    assert record["read"] == {"cpu": "280m", "memory": "128Mi"}
    assert record["new"]["limits"]["cpu"] == "280m"


def test_what_was_only_observed_says_so() -> None:
    observing = plan_of(
        quota(budget=Budget(cpu_milli=600), observe=True), {"a": 500, "b": 400}, (agent("a"), agent("b"))
    )
    enforced, observed = records_of(OVER), records_of(observing, Outcome.OBSERVED)
    differing = {"mode", "outcome", "correlationId"}
    for one, other in zip(enforced, observed, strict=True):
        assert {name for name in one if one[name] != other[name]} == differing
        assert (other["mode"], other["outcome"]) == ("Observe", "Observed")


def test_each_container_has_its_own_record() -> None:
    two = replace(
        agent("a"),
        containers=(container(res(900, 128, 50, 32)), container(res(800, 128, 50, 32), name="proxy")),
        declared={},
    )
    plan = plan_namespace(Observation("acme", (quota(),), pods=(two,))).quotas[0]
    assert {record["container"]: record["old"]["limits"]["cpu"] for record in records_of(plan)} == {
        "agent": "900m",
        "proxy": "800m",
    }


def test_without_an_agent_the_window_says_what_was_seen() -> None:
    plan = plan_namespace(Observation("acme", (quota(cpu=300),), pods=(agent("a"),))).quotas[0]
    (record,) = records_of(plan, Outcome.REFUSED, message="403")
    assert record["window"] == {"podGeneration": 1}
    assert (record["correlationId"], record["message"]) == (f"uid-a-1@{NOW}", "403")


def test_the_status_and_the_log_name_the_same_id_mode_and_time() -> None:
    results = [Result(act, Outcome.APPLIED, generation=2) for act in OVER.acts]
    (decision,) = summarise(results, NOW)
    records = records_of(OVER)
    assert decision.correlation_id == records[0]["correlationId"]
    assert {(each["time"], each["rule"], each["mode"]) for each in records} == {
        (decision.time, decision.rule, decision.mode)
    }


@dataclass
class Story:
    """A tenant over its budget and back: a controller, a kubelet and a cgroup for each pod."""

    lines: list[str] = field(default_factory=list)
    cgroups: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """What happened: pod → second and CPU limit that came into force."""
    pods: dict[str, Pod] = field(default_factory=lambda: {name: agent(name) for name in ("a", "b", "light")})
    status: TenantQuotaStatus = field(default_factory=TenantQuotaStatus)

    def step(self, second: int, *, outcome: Outcome = Outcome.APPLIED, limit: int = 500, **used: int) -> None:
        of = quota(cpu=limit, budget=Budget(cpu_milli=600), status=self.status)
        plan = plan_of(of, used, self.pods.values())
        results = []
        for act in plan.acts:
            applied = outcome is Outcome.APPLIED
            result = Result(act, outcome, "no answer" if not applied else "", written(act.pod, outcome))
            results.append(result)
            account = plan.accounts[act.pod.uid]
            self._log(decided(result, of, account, plan.cpu, self._time(second)))
        self.status = status_of(plan, [], summarise(results, self._time(second)), self._time(second))
        if outcome is Outcome.APPLIED:
            self._kubelet(second + 1, of, [result.plan.pod.name for result in results])

    def _kubelet(self, second: int, of: Quota, names: list[str]) -> None:
        plan = plan_of(of, dict.fromkeys(self.pods, 0), self.pods.values())
        decided_for = {each.pod.name: each for each in plan.pods}
        caps = {each.pod: each.new_limit for each in self.status.hold.containers} if self.status.hold else {}
        for name in names:
            pod = self.pods[name]
            milli = int(caps.get(name, f"{of.container.cpu_limit_milli}m").removesuffix("m"))
            self.pods[name] = agent(name, milli, pod.generation + 1)
            self.cgroups.setdefault(name, []).append((second, f"{milli}m"))
        after = plan_of(of, dict.fromkeys(self.pods, 0), self.pods.values(), Clock())
        for name in names:
            found = next(each for each in after.pods if each.pod.name == name)
            assert decided_for[name].pod.generation + 1 == found.pod.generation
            self._log(read_back(found, of, after.accounts[found.pod.uid], None, self._time(second)))

    def _log(self, records: Iterable[Record]) -> None:
        self.lines += [json.dumps({"message": "…", "audit": record}) for record in records]

    @staticmethod
    def _time(second: int) -> str:
        return f"2026-01-01T00:{second // 60:02}:{second % 60:02}Z"


def in_force(lines: Iterable[str]) -> dict[str, list[tuple[int, str]]]:
    """From the log alone: pod → second and CPU limit that its cgroup came to hold."""
    found: dict[str, list[tuple[int, str]]] = {}
    for line in lines:
        record = json.loads(line)["audit"]
        if record["outcome"] == "InForce":
            minutes, seconds = record["time"][14:16], record["time"][17:19]
            moment = int(minutes) * 60 + int(seconds)
            found.setdefault(record["pod"], []).append((moment, record["read"]["cpu"]))
    return found


def test_what_happened_can_be_rebuilt_from_the_log_alone() -> None:
    story = Story()
    story.step(10, a=500, b=400, light=50, outcome=Outcome.FAILED)
    story.step(12, a=500, b=400, light=50)
    story.step(30, a=260, b=260, light=50)
    story.step(52, a=20, b=20, light=20)
    story.step(200, limit=300, a=20, b=20, light=20)
    assert in_force(story.lines) == story.cgroups
    assert [limit for _, limit in story.cgroups["a"]] == ["260m", "500m", "300m"]
    assert [limit for _, limit in story.cgroups["light"]] == ["300m"]

    records = [json.loads(line)["audit"] for line in story.lines]
    applied = {each["correlationId"]: each for each in records if each["outcome"] == "Applied"}
    confirmed = [each for each in records if each["outcome"] == "InForce"]
    assert len(confirmed) == len(applied)
    for each in confirmed:
        ground = applied[each["correlationId"]]
        assert ground["new"]["limits"] == each["read"], "what was decided is what is in force"
        assert ground["time"] < each["time"]
    assert [(each["rule"], each["pod"]) for each in applied.values()] == [
        ("CpuSizedDown", "a"),
        ("CpuSizedDown", "b"),
        ("CpuGivenBack", "a"),
        ("CpuGivenBack", "b"),
        ("LimitsFollowQuota", "a"),
        ("LimitsFollowQuota", "b"),
        ("LimitsFollowQuota", "light"),
    ]
    assert [each["pod"] for each in records if each["outcome"] == "Failed"] == ["a", "b"]
