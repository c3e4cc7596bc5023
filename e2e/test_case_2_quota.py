"""Case 2, quota enforcement: limits are real, follow their quota, and hurt nobody but whom they hold.

Everything is read from the cgroup files. One tenant, ``hog``, has an agent that misbehaves on command; the
others are its neighbours. All agents are older than their tenant's quota.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import Final

import pytest

from e2e.harness import load, many, served, tenants
from e2e.harness.beside import Beside
from e2e.harness.cgroups import read_all
from e2e.harness.cluster import POD, Cluster, Container
from e2e.harness.contamination import Contamination
from e2e.harness.figures import Summary
from e2e.harness.leaking import Leaking
from e2e.harness.load import Answers, DriverPod
from e2e.harness.platforms import Platform, last_end, limits_are, unharmed, use_over
from e2e.harness.readings import CpuUse
from e2e.harness.recording import About
from e2e.harness.rollout import roll_out
from e2e.harness.services import Services
from e2e.harness.sessions import NoAnswerError, ServedAgent, Sessions
from e2e.harness.usage import Usage
from e2e.harness.wait import wait_until
from e2e.results import Chart, MomentKind, Recorder
from e2e.specification import QUOTA_ACTIVE_WITHIN_SECONDS

CASE: Final = About(
    2,
    "Quota enforcement",
    "A tenant that wants all CPU and too much memory is held to its quota; its neighbours are not.",
)
ACTIVE_GOAL_SECONDS: Final = 5.0
MIB: Final = 1 << 20
CPU_MILLICORES: Final = 200
MEMORY_BYTES: Final = 128 * MIB
EDITED_CPU_MILLICORES: Final = 300
EDITED_MEMORY_BYTES: Final = 160 * MIB
UNBOUND_CPU_MILLICORES: Final = 64_000
"""A quota that holds nobody on a machine of less than 64 cores."""
BURNED_CORES: Final = 4
MEMORY_LEFT_BYTES: Final = 12 * MIB
"""What a hog that lives leaves of its limit."""
REQUESTS: Final = served.Terms().declared()
LATE_AT_ONCE: Final = 25
"""Beside what fifty tenants of this case and as many of case 3 request, two CPUs have room for so many."""
KILLED: Final = 128 + 9
"""What a container that ended by SIGKILL exits with."""
FREE_SECONDS: Final = 3.0
CPU_WINDOW_SECONDS: Final = 5.0
CPU_WINDOWS_AT_MOST: Final = 4
"""Tried until the hog gets all that it may: where others keep the machine busy it may get less."""
CPU_TOLERANCE: Final = 0.05
REQUESTS_PER_SECOND: Final = 20.0
REQUEST_MILLISECONDS: Final = 5.0
DRAWN: Final = 9
"""Neighbours in the chart, at most."""
ROUNDS: Final = 2
ROUND_SECONDS: Final = 4.0
LOAD_SECONDS: Final = 120.0
"""More than the rounds take; it ends with them."""
KEPT_PERCENT: Final = 90.0
"""Of a neighbour's own throughput without a hog, what it must keep beside a hog within its quota. Latencies
are reported only; case 4 is about them."""


@pytest.fixture(scope="module")
def platform(
    cluster: Cluster,
    services: Services,
    sessions: Sessions,
    driver_pod: DriverPod,
    controller: Container,
    leaks: Beside[Leaking],
    tenant_count: int,
) -> Iterator[Platform]:
    """Tenants with an agent each and no quota yet."""
    suffixes = ["hog", *(f"n{number:02d}" for number in range(1, tenant_count))]
    without_quota = dict.fromkeys(suffixes, served.Terms(held=False))
    with served.serving(cluster, services, "case2", *suffixes, terms=without_quota) as made:
        platform = Platform(cluster, services, sessions, driver_pod, made, Contamination(made))
        platform.contamination.plant()
        many.each(ServedAgent.wait_answering, platform.agents())
        yield platform


@pytest.fixture(scope="module")
def usage(platform: Platform, record: Recorder) -> Iterator[Usage]:
    """Of hog and neighbours, from before the first quota on."""
    neighbours = {
        f"neighbour {number}": item for number, item in enumerate(platform.containers(platform.neighbours), 1)
    }
    with Usage({"hog": platform.container(platform.hog), **neighbours}) as looks:
        yield looks
    limit = looks.line("hog", lambda reading: reading.cpu_limit_millicores, called="the hog's limit")
    record.charts.insert(
        0,
        Chart(
            title="CPU of a hog that wants all of it, and of its neighbours",
            unit="m",
            lines=[looks.cpu("hog"), limit, *(looks.cpu(name, muted=True) for name in neighbours)],
            moments=looks.moments,
            note="The use follows the limit, which follows the quota; no container is restarted.",
        ),
    )


@pytest.fixture
def burning_hog(platform: Platform, usage: Usage) -> Iterator[ServedAgent]:
    """The hog's agent, burning all the CPU it gets."""
    hog = platform.agents()[0]
    hog.wait_answering()
    hog.burn(BURNED_CORES)
    usage.mark(MomentKind.ONSET, "hog")
    yield hog
    hog.burn(0)
    usage.mark(MomentKind.QUIET, "hog")


def note_active(record: Recorder, what: str, seconds: float) -> None:
    record.bound(
        f"{what}, until the CPU limit is in every cgroup",
        seconds,
        "s",
        at_most=QUOTA_ACTIVE_WITHIN_SECONDS,
        goal=ACTIVE_GOAL_SECONDS,
    )


@pytest.mark.usefixtures("burning_hog")
def test_pods_older_than_their_quota_get_its_limits(
    platform: Platform, usage: Usage, record: Recorder
) -> None:
    """Agents that run already are held as soon as their tenant has a quota, without a restart."""
    before = platform.containers()
    assert all(
        reading.cpu_limit_millicores is None and reading.memory_limit_bytes is None
        for reading in read_all(before).values()
    )
    hog = platform.container(platform.hog)
    free = use_over([hog], FREE_SECONDS)[hog]
    assert free.millicores > 2 * CPU_MILLICORES, f"the hog must want more than its quota, not {free}"

    seconds = platform.set_limits(platform.names, CPU_MILLICORES, MEMORY_BYTES)
    usage.mark(MomentKind.HELD, f"quota of {CPU_MILLICORES}m")

    assert platform.containers() == before, "same containers, no restart"
    record.figures["hog_without_quota"] = asdict(free)
    note_active(record, "a first quota", seconds)


def test_new_pods_start_within_the_quota(platform: Platform) -> None:
    """A pod that comes later has the limits from its first moment on."""
    platform.set_limits(platform.names, CPU_MILLICORES, MEMORY_BYTES)
    for first in range(0, len(platform.names), LATE_AT_ONCE):
        names = platform.names[first : first + LATE_AT_ONCE]
        late = roll_out(platform.cluster, [tenants.agent("late", name, resources=REQUESTS) for name in names])
        assert limits_are(late, CPU_MILLICORES, MEMORY_BYTES)
        many.each(lambda name: platform.cluster.delete(POD, "late", name), names)


@pytest.mark.usefixtures("burning_hog")
def test_an_edited_quota_reaches_the_cgroups_without_a_restart(
    platform: Platform, usage: Usage, record: Recorder
) -> None:
    """A quota that is raised and lowered again is in the cgroup files each time."""
    platform.set_limits(platform.names, CPU_MILLICORES, MEMORY_BYTES)
    before = platform.containers()
    up = platform.set_limits(platform.names, EDITED_CPU_MILLICORES, EDITED_MEMORY_BYTES)
    usage.mark(MomentKind.HELD, f"edited to {EDITED_CPU_MILLICORES}m")
    raised = use_over([platform.container(platform.hog)], FREE_SECONDS)
    down = platform.set_limits(platform.names, CPU_MILLICORES, MEMORY_BYTES)
    usage.mark(MomentKind.HELD, f"edited to {CPU_MILLICORES}m")
    assert platform.containers() == before, "same containers, no restart"
    record.figures["hog_with_raised_quota"] = [asdict(use) for use in raised.values()]
    note_active(record, "a raised quota", up)
    note_active(record, "a lowered quota", down)


@pytest.mark.usefixtures("burning_hog")
def test_a_cpu_hog_is_throttled_to_its_limit_and_nobody_else_is(platform: Platform, record: Recorder) -> None:
    """It gets its limit to 5 %, and no neighbour is throttled in any period."""
    platform.set_limits(platform.names, CPU_MILLICORES, MEMORY_BYTES)
    before, hog = platform.containers(), platform.container(platform.hog)
    windows: list[CpuUse] = []
    throttled = 0
    for _ in range(CPU_WINDOWS_AT_MOST):
        uses = use_over(before, CPU_WINDOW_SECONDS)
        windows.append(uses[hog])
        throttled += sum(use.throttled_periods for item, use in uses.items() if item != hog)
        assert uses[hog].millicores <= CPU_MILLICORES * (1 + CPU_TOLERANCE)
        assert uses[hog].throttled_periods > 0
        assert throttled == 0
        if uses[hog].millicores >= CPU_MILLICORES * (1 - CPU_TOLERANCE):
            break
    assert windows[-1].millicores == pytest.approx(CPU_MILLICORES, rel=CPU_TOLERANCE)
    assert platform.containers() == before, "same containers, no restart"
    record.figures["hog_with_quota"] = [asdict(window) for window in windows]
    record.bound("neighbours' throttled periods beside it", throttled, "", at_most=0)
    record.goal(
        "a CPU hog's use, of its limit",
        max(window.millicores for window in windows) / CPU_MILLICORES * 100,
        "%",
        at_most=100 * (1 + CPU_TOLERANCE),
    )


def test_a_memory_hog_is_killed_at_its_limit_and_nobody_else_is(platform: Platform, record: Recorder) -> None:
    """It lives within its limit, is killed beyond it, and comes back within it; no neighbour is."""
    platform.set_limits(platform.names, CPU_MILLICORES, MEMORY_BYTES)
    hog, others = platform.container(platform.hog), platform.containers(platform.neighbours)
    before = read_all(others)
    agent = platform.agents()[0]
    agent.wait_answering()
    own = read_all([hog])[hog].memory_used_bytes

    with Usage({"hog": hog}, every_seconds=0.1) as looks:
        agent.hold(MEMORY_BYTES - own - MEMORY_LEFT_BYTES)
        within = read_all([hog])[hog]
        assert MEMORY_BYTES - 2 * MEMORY_LEFT_BYTES < within.memory_used_bytes <= MEMORY_BYTES
        assert within.oom_kills == 0
        assert platform.container(platform.hog) == hog, "within its limit it lives"

        looks.mark(MomentKind.ONSET, "too much")
        with suppress(NoAnswerError):  # it is killed before it can answer
            agent.hold(MEMORY_BYTES + MEMORY_LEFT_BYTES)
        ended = wait_until(
            lambda: last_end(platform, hog),
            what="the memory hog to be killed and restarted",
            deadline_seconds=QUOTA_ACTIVE_WITHIN_SECONDS,
        )
        looks.mark(MomentKind.HELD, "killed, started anew")

    # the runtime says OOMKilled where the kernel's event of it comes before the end, which it needn't
    assert (ended["exitCode"], ended["reason"] in {"OOMKilled", "Error"}) == (KILLED, True), ended
    assert ended["containerID"].endswith(hog.id)
    again = platform.container(platform.hog)
    assert again.restarts == hog.restarts + 1
    assert limits_are([again], CPU_MILLICORES, MEMORY_BYTES), "it comes back within its quota"
    assert platform.containers(platform.neighbours) == others, "neighbours: same containers, no restart"
    after = read_all(others)
    killed = sum(after[item].oom_kills for item in others)
    assert all(unharmed(before[item], after[item]) for item in others)
    record.charts.append(
        Chart(
            title="Memory of a hog that wants more than its limit",
            unit="MiB",
            lines=[looks.memory("hog")],
            limits={"limit": MEMORY_BYTES / MIB},
            moments=looks.moments,
        )
    )
    record.figures["memory_hog"] = {
        "limit_bytes": MEMORY_BYTES,
        "lived_with_bytes": within.memory_used_bytes,
    }
    record.bound("neighbours killed beside a memory hog", killed, "", at_most=0)


def test_neighbours_are_answered_beside_a_hog_within_its_quota(platform: Platform, record: Recorder) -> None:
    """Rounds beside a hog within its quota and without one, in turn, and one beside a hog without a quota."""
    hog, neighbour = platform.agents()[:2]
    hog.wait_answering()
    platform.set_limits(platform.names, CPU_MILLICORES, MEMORY_BYTES)
    container = platform.container(neighbour.tenant.name)
    starts: dict[str, list[float]] = {"quiet": [], "quota": [], "no_quota": []}
    target = load.target(neighbour.tenant, REQUESTS_PER_SECOND, REQUEST_MILLISECONDS)
    with platform.driver.load([target], LOAD_SECONDS) as running:

        def listen(name: str) -> None:
            starts[name].append(running.now)
            running.wait_until(running.now + ROUND_SECONDS)

        listen("quiet")
        for _ in range(ROUNDS):
            hog.burn(BURNED_CORES)
            listen("quota")
            hog.burn(0)
            listen("quiet")
        platform.set_limits([platform.hog], UNBOUND_CPU_MILLICORES, MEMORY_BYTES)
        hog.burn(BURNED_CORES)
        listen("no_quota")
        hog.burn(0)
        running.stop()
        rounds = {
            name: [running.between(start, start + ROUND_SECONDS) for start in of]
            for name, of in starts.items()
        }

    assert platform.container(neighbour.tenant.name) == container
    record.figures["neighbour"] = {
        name: {
            "requests_per_second": round(throughput(of), 2),
            "latency_ms": asdict(Summary.of([ms for answers in of for ms in answers.latencies_ms()])),
        }
        for name, of in rounds.items()
    }
    assert [answers.failures for answers in rounds["quota"]] == [0] * ROUNDS
    record.bound(
        "a neighbour's throughput beside a hog within its quota, of that without a hog",
        throughput(rounds["quota"]) / throughput(rounds["quiet"]) * 100,
        "%",
        at_least=KEPT_PERCENT,
    )


def test_tenants_are_kept_apart(platform: Platform, record: Recorder) -> None:
    """No reply, key or row of a tenant has another's canary."""
    platform.contamination.search(platform.services)
    platform.contamination.note(record)


def throughput(rounds: Collection[Answers]) -> float:
    """Requests answered in time, a second."""
    in_time = [
        due
        for answers in rounds
        for answered in answers.answered.values()
        for due, ms in answered
        if due + ms / 1000 <= answers.start + answers.seconds
    ]
    return len(in_time) / (len(rounds) * ROUND_SECONDS)
