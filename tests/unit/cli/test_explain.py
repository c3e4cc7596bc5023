from datetime import UTC, datetime
from typing import Any

import pytest

from tenantquota.cli.explain import explain, top
from tenantquota.domain.decisions import Outcome
from tenantquota.domain.resizes import Rule

NOW = datetime(2026, 1, 1, 10, 5, 0, tzinfo=UTC)
MI = 2**20


def quota(status: dict[str, Any] | None = None, name: str = "agents", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "acme", "name": name, "generation": 3},
        "spec": {"container": {"limits": {"cpu": "500m", "memory": "64Mi"}}, "budget": {"cpu": "600m"}}
        | spec,
        "status": status or {},
    }


def report(**cpu_milli: int) -> dict[str, Any]:
    """One node's report of pods that use so much, under limits of 260m."""
    return {
        "heartbeat": "2026-01-01T10:04:59Z",
        "periodSeconds": 30,
        "containers": [
            {
                **{"namespace": "acme", "pod": pod, "uid": f"uid-{pod}", "name": "agent", "tenant": "acme"},
                **{
                    "cpuLimitMilli": 260,
                    "memoryLimitBytes": 64 * MI,
                    "cpuMilli": used,
                    "memoryBytes": 10 * MI,
                },
            }
            for pod, used in cpu_milli.items()
        ],
    }


def decision(
    rule: str, outcome: str = "Applied", time: str = "2026-01-01T10:02:00.000000Z"
) -> dict[str, str]:
    return {
        "time": time,
        "rule": rule,
        "target": "2 pods",
        "outcome": outcome,
        "message": "cpu limit 500m → 260m",
    }


HELD: dict[str, Any] = {
    "observedGeneration": 3,
    "phase": "Throttled",
    "pods": 3,
    "hold": {
        "since": "2026-01-01T10:02:00.000000Z",
        "expires": "2026-01-01T10:05:20.000000Z",
        "reason": "CpuOverBudget",
        "evidence": "1050m used by 3 containers, of a budget of 600m",
        "oldLimit": "500m",
        "newLimit": "260m",
        "giveBackAfterSeconds": 20,
        "containers": [
            {"pod": "heavy", "container": "agent", "oldLimit": "500m", "newLimit": "260m"},
            {"pod": "unseen", "container": "agent", "oldLimit": "500m", "newLimit": "260m"},
        ],
    },
    "conditions": [
        {
            "type": "WithinBudget",
            "status": "False",
            "reason": "CpuOverBudget",
            "message": "1050m used",
            "lastTransitionTime": "2026-01-01T10:02:00.000000Z",
        }
    ],
    "decisions": [decision("CpuSizedDown")],
}


def test_the_story_of_a_held_tenant() -> None:
    assert explain(quota(HELD), [report(heavy=258), report(light=50)], NOW).splitlines() == [
        "TenantQuota agents in acme is about tenant acme: every pod of the namespace.",
        "Each container may use 500m CPU and 64Mi of memory.",
        "All of them together may use 600m CPU.",
        "",
        "Throttled: CPU limits are lowered, or it yields to others on a full node.",
        "It has 3 pods; their 2 containers use 308m CPU and 20Mi of memory.",
        "",
        "It is held since 10:02:00 (3 min ago): CpuOverBudget. Measured: 1050m used by 3 containers, of a"
        " budget of 600m.",
        "  heavy/agent: 500m → 260m CPU; its cgroup holds 260m, and it uses 258m",
        "  unseen/agent: 500m → 260m CPU",
        "A step is given back once it is well within its bounds for 20 s.",
        "The hold ends at 10:05:20 unless the controller renews it.",
        "",
        "WithinBudget: NO, since 10:02:00 (3 min ago): 1050m used.",
        "",
        "What was decided lately, the newest last:",
        "  10:02:00 (3 min ago), 2 pods: CPU limit lowered, since the tenant used more than its budget: cpu"
        " limit 500m → 260m",
    ]


def test_a_quota_that_nobody_has_looked_at() -> None:
    assert "The operator hasn't looked at it yet." in explain(quota(), [], NOW)


def test_one_that_was_edited_since() -> None:
    assert "It was edited" in explain(quota(HELD | {"observedGeneration": 2}), [], NOW)


def test_without_a_node_agent() -> None:
    assert "No node agent reports what they use." in explain(quota(HELD), [], NOW)


def test_others_containers_are_not_counted() -> None:
    others = report(theirs=900)
    others["containers"][0]["namespace"] = "globex"
    assert "use 258m CPU" in explain(quota(HELD), [report(heavy=258), others], NOW)


def test_one_that_harms_its_neighbours() -> None:
    of = HELD | {"hold": HELD["hold"] | {"reason": "HarmsNeighbours", "evidence": "acme made globex wait"}}
    told = explain(quota(of), [report(heavy=258)], NOW)
    assert "HarmsNeighbours. Measured: acme made globex wait." in told
    assert "heavy/agent: 500m → 260m CPU; its cgroup holds 260m" in told
    assert "Limits are given back once no neighbour waits for it" in told
    assert "The hold ends at 10:05:20 unless the node's agent is heard of." in told
    assert "the controller renews" not in told


def test_on_trial() -> None:
    trial = HELD | {"phase": "Recovering", "hold": HELD["hold"] | {"containers": []}}
    told = explain(quota(trial), [report(heavy=20)], NOW)
    assert "Recovering: It is well within its bounds again" in told
    assert "Everything has been given back, on trial" in told
    assert "The hold ends" not in told


def test_observing_nothing_is_claimed_to_be_done() -> None:
    observed = HELD | {"decisions": [decision("CpuSizedDown", "Observed")]}
    told = explain(quota(observed, enforcement="Observe"), [report(heavy=258)], NOW)
    assert "nothing is changed" in told
    assert "Throttled: CPU limits would be lowered, or it would yield to others on a full node." in told
    assert "It would be held since" in told
    assert "only recorded, as enforcement is Observe" in told


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_rule_and_outcome_is_put_in_words(rule: Rule, outcome: Outcome) -> None:
    told = explain(quota(HELD | {"decisions": [decision(rule, outcome)]}), [], NOW)
    line = told.splitlines()[-1]
    assert rule.value not in line
    assert outcome.value not in line


@pytest.mark.parametrize(
    ("time", "told"),
    [
        ("2026-01-01T10:04:30Z", "10:04:30 (30 s ago)"),
        ("2026-01-01T07:05:00Z", "07:05:00 (3 h ago)"),
        ("2025-12-29T10:05:00Z", "2025-12-29 10:05:00 (3 d ago)"),
        ("2026-01-01T10:05:09Z", "10:05:09 (0 s ago)"),
    ],
)
def test_when_it_was(time: str, told: str) -> None:
    assert told in explain(quota(HELD | {"decisions": [decision("CpuSizedDown", time=time)]}), [], NOW)


def test_top_has_the_largest_user_first() -> None:
    second = quota({"phase": "Normal"}, name="idle", tenant="idle", budget=None)
    assert top([second, quota(HELD)], [report(heavy=258, light=50)]).splitlines() == [
        "NAMESPACE   NAME     CPU    BUDGET   MEMORY   BUDGET   CONTAINERS   PHASE",
        "acme        agents   308m   600m     20Mi     -        2            Throttled",
        "acme        idle     -      -        -        -        0            Normal",
    ]


def test_a_contained_leak_is_told() -> None:
    leak = {
        **{"pod": "heavy", "uid": "u", "container": "agent", "kind": "memory_fast", "ratePerMinute": 1},
        **{"since": "2026-01-01T10:04:30Z", "evidence": "it grew"},
        **{"oldLimit": "512Mi", "newLimit": "132Mi"},
    }
    told = explain(quota(HELD | {"leaks": {"contained": [leak]}}), [], NOW)
    assert "heavy/agent: 512Mi → 132Mi of memory" in told
    assert "10:04:30 (30 s ago) on: it grew" in told
    assert "leaks are over" not in explain(quota(HELD | {"leaks": {"contained": []}}), [], NOW)
