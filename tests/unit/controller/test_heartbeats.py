"""How old a report is, whatever the node's clock says."""

from dataclasses import replace

from tenantquota.controller.heartbeats import Heartbeats
from tenantquota.domain.reports import NodeReport, Reported


class Clock:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def report(heartbeat_seconds: float, *namespaces: str) -> NodeReport:
    return NodeReport("n1", str(heartbeat_seconds), heartbeat_seconds, 15, frozenset(namespaces), {})


def heartbeats(monotonic: Clock, unix_time: float = 1000.0) -> Heartbeats:
    return Heartbeats(monotonic, lambda: unix_time)


def test_the_first_is_as_old_as_the_clocks_say() -> None:
    monotonic = Clock(50)
    ages = heartbeats(monotonic)
    assert ages.account(report(990)).age_seconds == 10
    monotonic.seconds += 3
    assert ages.account(report(990)).age_seconds == 13


def test_the_next_one_came_just_now_though_the_nodes_clock_is_behind() -> None:
    monotonic = Clock(50)
    ages = heartbeats(monotonic)
    assert ages.account(report(100)).stale
    monotonic.seconds += 15
    assert ages.account(report(115)).age_seconds == 0


def test_a_dead_agent_is_found_though_the_nodes_clock_is_ahead() -> None:
    monotonic = Clock(50)
    ages = heartbeats(monotonic)
    assert ages.account(report(9000)).age_seconds == 0
    monotonic.seconds += 46
    assert ages.account(report(9000)).stale


def test_a_report_that_changed_within_its_second_is_another_one() -> None:
    monotonic = Clock(50)
    ages = heartbeats(monotonic)
    ages.came(report(1000))
    monotonic.seconds += 1
    changed = replace(report(1000), containers={("uid", "agent"): Reported(300, None)})
    assert ages.account(changed).age_seconds == 0


def test_the_namespaces_told_of_before_are_told_too() -> None:
    ages = heartbeats(Clock(50))
    assert ages.came(report(1000, "a", "b")) == {"a", "b"}
    ages.account(report(1001, "b", "c"))
    assert ages.came(report(1001, "b", "c")) == {"a", "b", "c"}
    assert ages.came(report(1002, "c")) == {"b", "c"}


def test_a_node_that_is_no_more_leaves_nothing() -> None:
    ages = heartbeats(Clock(50))
    ages.came(report(1000, "a"))
    assert [*ages.ages()] == [("n1", 0)]
    assert ages.ended("n1") == {"a"}
    assert [*ages.ages()] == []
    assert ages.ended("n1") == frozenset()
