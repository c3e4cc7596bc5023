"""What the benchmark of the node agent says of its figures."""

from dataclasses import replace

from e2e.bench.node_agent import Cost
from e2e.bench.node_agent_report import markdown, table

MIB = 1 << 20
COST = Cost(
    containers=250,
    workload="idle",
    seconds=60.0,
    millicores=10.0,
    working_set_bytes=30 * MIB,
    usage_bytes=35 * MIB,
    report_bytes=60_000,
    reports_per_minute=2.0,
    reasons={"heartbeat": 2},
    tick_seconds=0.004,
    period_error_p99_seconds=0.001,
    late_ticks=0,
    missed_ticks=0,
)
BUSY = replace(COST, workload="busy", millicores=15.0, reports_per_minute=5.5)


def test_table_has_koordlet_first() -> None:
    assert table([COST, BUSY]).splitlines()[2:] == [
        "| koordlet, published | 150 | | 600 | 4.00 | 366 MiB | | | |",
        "| tenantquota-node | 250 | idle | 10.0 | **0.040** | 30.0 MiB | 60.0 kB | 2.0 | ≤ 1 ms |",
        "| tenantquota-node | 250 | busy | 15.0 | **0.060** | 30.0 MiB | 60.0 kB | 5.5 | ≤ 1 ms |",
    ]


def test_says_whether_the_goals_are_met() -> None:
    text = markdown({"cores": 2}, [replace(COST, containers=50), COST, BUSY])
    assert "At 250 idle containers: 0.040 millicores each, 100 times less than koordlet" in text
    assert "(goal 0.05: met)" in text
    assert "30.0 MiB (goal 40: met)" in text
    dear = markdown({"cores": 2}, [replace(COST, millicores=13.0, working_set_bytes=41 * MIB)])
    assert "(goal 0.05: MISSED)" in dear
    assert "(goal 40: MISSED)" in dear
