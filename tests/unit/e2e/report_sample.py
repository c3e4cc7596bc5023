"""Runs that look like real ones, made up with a fixed seed: to test the report, and to look at it with

python -m tests.unit.e2e.report_sample DIRECTORY
"""

import math
import random
import sys
from pathlib import Path

from e2e import report
from e2e.results import (
    Bound,
    Case,
    Chart,
    Line,
    Moment,
    MomentKind,
    Outcome,
    Run,
    Source,
    Span,
    Verdict,
    VerdictState,
)

MACHINE = {
    "kubernetes": "v1.37.2",
    "kernel": "6.8.0-45-generic",
    "cgroup": "v2",
    "cores": 2,
    "load_average": [3.1, 2.4, 1.9],
    "commit": "c9feacf",
}


def bound(what: str, measured: float, unit: str, at_most: float, *, goal: float | None = None) -> list[Bound]:
    made = [Bound(what=what, measured=measured, unit=unit, at_most=at_most)]
    if goal is not None:
        made.append(Bound(what=what, measured=measured, unit=unit, at_most=goal, source=Source.GOAL))
    return made


def passed(*texts: str) -> list[Outcome]:
    return [
        Outcome(name=f"test_{text.replace(' ', '_')}[20-tenants]", text=text, outcome="passed", seconds=3.4)
        for text in texts
    ]


def latency_chart(chance: random.Random) -> Chart:
    """Five minutes, two tenants among twenty noisy from 60 s to 220 s."""
    quiet = []
    for tenant in range(18):
        points = [(float(at), level(at) * chance.uniform(0.8, 1.3)) for at in range(300)]
        quiet.append(Line(name=f"tenant-{tenant:02}", points=points, muted=True))
    p50 = [(float(at), level(at) * chance.uniform(0.9, 1.1)) for at in range(300)]
    p99 = [(float(at), 1.8 * level(at) * chance.uniform(0.85, 1.4)) for at in range(300)]
    return Chart(
        title="Latency of the quiet tenants' requests",
        unit="ms",
        lines=[*quiet, Line(name="p50 over all", points=p50), Line(name="p99 over all", points=p99)],
        moments=[
            Moment(at=60, kind=MomentKind.ONSET, text="noisy-1"),
            Moment(at=61.2, kind=MomentKind.FOUND, text="noisy-1"),
            Moment(at=61.9, kind=MomentKind.HELD, text="noisy-1"),
            Moment(at=64.5, kind=MomentKind.NAMED, text="noisy-1"),
            Moment(at=220, kind=MomentKind.QUIET, text="noisy-1"),
            Moment(at=236.4, kind=MomentKind.GIVEN_BACK, text="noisy-1"),
        ],
        spans=[Span(start=0, end=60, name="quiet"), Span(start=61.9, end=220, name="held")],
        limits={"the specification's bound of a response": 2000},
        logarithmic=True,
        note="From the first second under the noise to the hold the requests wait; after it they don't.",
    )


def level(at: float) -> float:
    if 60 <= at < 62:
        return 420.0
    return 33 + 3 * math.sin(at / 9)


def windows_chart(chance: random.Random) -> Chart:
    names = ("quiet", "not held", "quiet", "held")
    spans = [Span(start=20.0 * n, end=20.0 * (n + 1), name=names[n % 4]) for n in range(16)]
    points = [
        (float(at), (80 if names[at // 20 % 4] == "not held" else 34) * chance.uniform(0.9, 1.2))
        for at in range(320)
    ]
    return Chart(
        title="p99 over interleaved windows",
        unit="ms",
        lines=[Line(name="p99 over all quiet tenants", points=points)],
        spans=spans,
        limits={"10 % over quiet": 37.4, "a response": 2000},
    )


def bars_chart(count: int, chance: random.Random) -> Chart:
    entitled = [(float(n), 20.0 if n % 4 else 14.0) for n in range(count)]
    used = [(float(n), y * chance.uniform(0.86, 1.1)) for n, y in entitled]
    return Chart(
        title=f"CPU of {count} tenants against their entitlement",
        unit="m",
        lines=[
            Line(name="entitled to, by weight and demand", points=entitled, muted=True),
            Line(name="used", points=used),
        ],
        bars=[f"stress-4f2a-tenant-{n:03}" for n in range(count)],
        limits={"twice the mean": 36.0},
    )


def percentiles_chart() -> Chart:
    return Chart(
        title="Percentiles by kind of window",
        unit="ms",
        lines=[
            Line(name="p50", points=[(0, 24.1), (1, 55.0), (2, 24.9)]),
            Line(name="p95", points=[(0, 29.5), (1, 71.2), (2, 30.2)]),
            Line(name="p99", points=[(0, 33.0), (1, 79.7), (2, 34.1)]),
        ],
        bars=["quiet", "not held", "held"],
        note="95 % intervals of p99: quiet 31.9 to 34.0, not held 75 to 86, held 32.4 to 35.9 ms.",
    )


VERDICT = Verdict(
    state=VerdictState.ISOLATED,
    text="p99 of 18 quiet tenants while held: 34.1 ms, quiet 33.0 ms: +3 % (95 % interval -4 to +11 %);"
    " not held: +141 % (+119 to +168 %).",
    reasons=[
        "Two quiet halves differ by 5 %, so a difference of 3 % is not told apart from noise.",
        "Requests of 1 ms wait for the running slice, about 3 ms, whatever the weights.",
    ],
)


def sample() -> Run:
    """Seven cases, all passed."""
    chance = random.Random(7)  # noqa: S311
    return Run(
        started="2026-11-25T17:45:10+00:00",
        seconds=842.0,
        command="pytest e2e --tenants=20",
        machine=MACHINE,
        cases=[
            Case(
                number=1,
                title="Baseline",
                about="Every tenant idle for a minute, then at work, and what it uses.",
                tenants=20,
                seconds=94.2,
                bounds=[
                    *bound("CPU of an idle tenant, the most", 0.4, "%", 5, goal=0.5),
                    *bound("memory of an idle tenant, the most", 38.2, "MiB", 256, goal=40),
                    *bound("CPU of a working tenant, the most", 11.3, "%", 25),
                ],
                charts=[bars_chart(20, chance)],
                tests=passed("idle tenants stay idle", "working tenants stay within their share"),
            ),
            Case(
                number=2,
                title="Quota",
                about="A limit is edited while its tenant runs.",
                tenants=20,
                seconds=61.0,
                bounds=bound("from the edit to the cgroup file, the slowest", 0.84, "s", 60, goal=1),
                tests=passed("an edit is in the kernel within a minute"),
            ),
            Case(
                number=3,
                title="Leaks",
                about="Tenants leak memory, files and processes.",
                tenants=20,
                seconds=118.0,
                bounds=bound("from the leak's start to its finding", 11.5, "s", 60, goal=15),
                tests=passed("a leak is found within a minute"),
                notes=["The leak of files was found by its descriptors, not by memory."],
            ),
            Case(
                number=4,
                title="Isolation under sustained load",
                about="Two heavy tenants among eighteen quiet ones, held and not held by turns.",
                tenants=20,
                seconds=330.0,
                verdict=VERDICT,
                bounds=[
                    *bound("degradation of p99 while held", 3.3, "%", 10, goal=5),
                    *bound("longest response while held", 212, "ms", 2000),
                    Bound(what="answered of offered requests", measured=99.98, unit="%", at_least=99),
                ],
                charts=[latency_chart(chance), windows_chart(chance), percentiles_chart()],
                tests=passed("quiet tenants don't feel heavy ones"),
            ),
            Case(
                number=5,
                title="Noisy neighbours",
                about="Every kind of stress that stress-ng has, one after the other.",
                variant="stress-ng",
                tenants=20,
                seconds=140.0,
                bounds=[
                    *bound("from onset to finding, the slowest", 1.2, "s", 30, goal=5),
                    *bound("from onset to hold, the slowest", 1.9, "s", 60, goal=5),
                    *bound("from the end to giving back, the slowest", 16.4, "s", 120, goal=10),
                ],
                tests=passed("noise is found and held"),
            ),
            Case(
                number=6,
                title="Concurrent stress",
                about="A hundred tenants: half normal, a quarter heavy, a quarter mixed.",
                tenants=100,
                seconds=150.0,
                bounds=[
                    Bound(what="connected within 60 s", measured=100, unit="%", at_least=90),
                    *bound("coefficient of variation of use against entitlement", 0.07, "", 1.0),
                    *bound("the most over the mean", 1.4, "", 3.0, goal=2.0),
                ],
                charts=[bars_chart(100, chance)],
                tests=passed("tenants connect", "use follows entitlement"),
            ),
            Case(
                number=7,
                title="Recovery and cleanup",
                about="A third of the tenants crash, the others leave in order.",
                tenants=20,
                seconds=71.0,
                bounds=bound("until all is back to before, the slowest", 8.1, "s", 30, goal=10),
                tests=[
                    *passed("capacity is back within 30 s"),
                    Outcome(
                        name="test_a_kubelet_restarts[20-tenants]",
                        text="a node's kubelet is restarted",
                        outcome="skipped",
                        seconds=0.0,
                        message="the node isn't of this machine",
                    ),
                ],
            ),
        ],
    )


LONG = "a-tenant-whose-name-is-as-long-as-kubernetes-lets-names-be-0123456789abcdef"


def failing() -> Run:
    """Interrupted; one case failed before it measured, one missed bounds; names are long and hostile."""
    chance = random.Random(8)  # noqa: S311
    hostile = "<script>alert('&')</script>"
    crowd = [
        Line(name=f"{LONG}-{n}", points=[(float(at), chance.uniform(5, 40)) for at in range(120)], muted=True)
        for n in range(99)
    ]
    return Run(
        started="2026-11-25T17:45:10+00:00",
        seconds=301.5,
        command="pytest e2e --tenants=100",
        machine=MACHINE | {"note": hostile},
        incomplete="Interrupted after 3 of 9 tests.",
        cases=[
            Case(
                number=4,
                title="Isolation under sustained load",
                about=hostile,
                tenants=100,
                verdict=Verdict(state=VerdictState.CANNOT_TELL, text="The noise floor is 14 %."),
                tests=[
                    Outcome(
                        name="test_quiet_tenants[100-tenants]",
                        text="quiet tenants don't feel heavy ones",
                        outcome="failed",
                        seconds=12.0,
                        message=f"\x1b[31mDeadlineExceededError\x1b[0m: {hostile}\n\x00  {LONG * 4}",
                    )
                ],
            ),
            Case(
                number=5,
                title=f"Noisy neighbours of {LONG}",
                variant=LONG,
                about="Everything at once.",
                tenants=100,
                seconds=200,
                bounds=[
                    *bound(f"from onset to hold, {LONG}", 60.04, "s", 60, goal=5),
                    *bound(hostile, 0, "", 0),
                    Bound(what="connected", measured=0, unit="%", at_least=90),
                ],
                charts=[
                    Chart(
                        title=f"{hostile} {LONG}",
                        unit="ms",
                        lines=[*crowd, Line(name=LONG, points=[(0, 0), (60, 0.001), (120, 90)])],
                        moments=[
                            Moment(at=10 + n / 7, kind=MomentKind.ONSET, text=f"{hostile}{n}")
                            for n in range(30)
                        ],
                        limits={LONG: 70.0, "nearly the same": 70.5, "far away": 5000.0},
                    ),
                    Chart(title="One point", unit="", lines=[Line(name="one", points=[(3, 0)])]),
                    Chart(title="No point", unit="s", lines=[Line(name="none", points=[])]),
                    Chart(
                        title="Bars below zero",
                        unit="%",
                        bars=[hostile, LONG, "c"],
                        lines=[Line(name="change", points=[(0, -4), (1, 12), (2, 0)])],
                    ),
                ],
                tests=passed(f"noise of {LONG} is found"),
                notes=[hostile],
            ),
            Case(number=6, title="Concurrent stress", about="Never began.", tenants=100),
        ],
    )


def empty() -> Run:
    return Run(started="2026-11-25T17:45:10+00:00", seconds=0, command="pytest e2e", machine={}, cases=[])


if __name__ == "__main__":
    for name, run in {"sample": sample(), "failing": failing(), "empty": empty()}.items():
        print(report.write(run, Path(sys.argv[1]), name).html)
