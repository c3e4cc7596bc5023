"""When a node's report is worth a write."""

from itertools import permutations

import pytest

from tenantquota.api import nodereport
from tenantquota.domain.reporting import (
    MAX_CONTAINERS,
    Entry,
    Held,
    Hold,
    Reason,
    Told,
    Usage,
    bounded,
    reason_to_write,
    usage_by_tenant,
    usage_changed,
)

PERIOD_SECONDS = 30
MI = 2**20


def held(
    pod: str = "p", *, tenant: str = "acme", cpu: int | None = 500, memory: int | None = 64 * MI
) -> Held:
    return Held(tenant, f"ns-{tenant}", pod, f"uid-{pod}", "agent", cpu, memory)


TOLD = {"a": held("a"), "b": held("b")}


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({"a": held("a")}, Reason.CONTAINERS),
        (TOLD | {"c": held("c")}, Reason.CONTAINERS),
        ({}, Reason.CONTAINERS),
        (TOLD | {"a": held("a", cpu=499)}, Reason.LIMITS),
        (TOLD | {"a": held("a", cpu=None)}, Reason.LIMITS),
        (TOLD | {"a": held("a", memory=None)}, Reason.LIMITS),
        (TOLD | {"a": held("a", tenant="beta")}, Reason.LIMITS),
    ],
)
def test_what_is_told_at_once(now: dict[str, Held], reason: Reason) -> None:
    assert reason_to_write(Told(TOLD), Told(now), 1.0, PERIOD_SECONDS) is reason


def test_who_yields_and_whom_that_helps_is_told_at_once() -> None:
    alone, harming = Told(TOLD, (Hold("acme", ()),)), Told(TOLD, (Hold("acme", ("beta",)),))

    assert reason_to_write(Told(TOLD), alone, 1.0, PERIOD_SECONDS) is Reason.HOLDS
    assert reason_to_write(alone, harming, 1.0, PERIOD_SECONDS) is Reason.HOLDS
    assert reason_to_write(harming, Told(TOLD), 1.0, PERIOD_SECONDS) is Reason.HOLDS
    assert reason_to_write(harming, harming, 1.0, PERIOD_SECONDS) is None


def test_a_leak_that_begins_or_ends_is_told_at_once() -> None:
    leaking = Told(TOLD, findings=frozenset({("a", "memory_fast")}))

    assert reason_to_write(Told(TOLD), leaking, 1.0, PERIOD_SECONDS) is Reason.FINDINGS
    assert reason_to_write(leaking, Told(TOLD), 1.0, PERIOD_SECONDS) is Reason.FINDINGS
    assert reason_to_write(leaking, leaking, 1.0, PERIOD_SECONDS) is None


def test_the_first_is_told_even_if_it_is_empty() -> None:
    assert reason_to_write(None, Told({}), 0.0, PERIOD_SECONDS) is Reason.FIRST


def test_nothing_new_waits_for_the_heartbeat() -> None:
    told, now = Told(TOLD), Told(dict(TOLD))
    reasons = [reason_to_write(told, now, float(age), PERIOD_SECONDS) for age in range(PERIOD_SECONDS)]

    assert reasons[:-1] == [None] * (PERIOD_SECONDS - 1)
    assert reasons[-1] is Reason.HEARTBEAT, "before the period is over, since it takes a moment"


def entry(pod: str, tenant: str, cpu: int | None, memory: int | None) -> Entry:
    return Entry(held(pod, tenant=tenant), cpu, memory)


def test_usage_is_summed_by_tenant_and_the_unknown_is_nothing() -> None:
    entries = [
        entry("a", "acme", 100, 5),
        entry("b", "acme", None, 7),
        entry("c", "beta", 300, None),
    ]

    assert usage_by_tenant(entries) == {"acme": Usage(100, 12), "beta": Usage(300, 0)}


@pytest.mark.parametrize(
    ("told", "now", "changed"),
    [
        (Usage(0, 0), Usage(99, 0), False),
        (Usage(0, 0), Usage(100, 0), True),
        (Usage(100, 0), Usage(0, 0), True),
        (Usage(1000, 0), Usage(1199, 0), False),
        (Usage(1000, 0), Usage(1200, 0), True),
        (Usage(1000, 0), Usage(800, 0), True),
        (Usage(0, 100 * MI), Usage(0, 163 * MI), False),
        (Usage(0, 100 * MI), Usage(0, 164 * MI), True),
        (Usage(0, 1000 * MI), Usage(0, 1199 * MI), False),
        (Usage(0, 1000 * MI), Usage(0, 800 * MI), True),
    ],
)
def test_usage_has_changed(told: Usage, now: Usage, changed: bool) -> None:
    steady = Usage(50, 50)

    assert usage_changed({"acme": told, "beta": steady}, {"acme": now, "beta": steady}) is changed


def test_a_new_tenant_counts_from_nothing() -> None:
    assert usage_changed({}, {"acme": Usage(100, 0)})
    assert not usage_changed({}, {"acme": Usage(99, 0)})


def test_order_is_the_same_however_they_came() -> None:
    entries = [entry(pod, tenant, 1, 1) for pod, tenant in (("a", "beta"), ("b", "acme"), ("a", "acme"))]

    assert {tuple(bounded(order)) for order in permutations(entries)} == {tuple(bounded(entries))}


def test_no_more_than_the_resource_takes() -> None:
    assert MAX_CONTAINERS == nodereport.MAX_CONTAINERS
    assert len(bounded([entry(f"p{number}", "acme", 1, 1) for number in range(MAX_CONTAINERS + 1)])) == (
        MAX_CONTAINERS
    )
