"""Case 6, concurrent stress: many tenants at once, half of them normal, a quarter heavy, a quarter mixed."""

import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import mean
from typing import Final

import pytest

from e2e.harness import ledger, many, mixture, served
from e2e.harness import load as loads
from e2e.harness.cluster import NODE, POD, Cluster, Container, running_containers
from e2e.harness.contamination import Contamination
from e2e.harness.figures import Summary
from e2e.harness.ledger import Entry, Look
from e2e.harness.load import Answers, DriverPod
from e2e.harness.mixture import Role, Unrest
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.recording import About
from e2e.harness.served import Tenant, Terms
from e2e.harness.services import Services
from e2e.harness.wait import NotYet, wait_until
from e2e.load.plan import Connected, Target
from e2e.results import Chart, Line, Recorder
from e2e.specification import RESPONSE_WITHIN_SECONDS
from e2e.validation.fairness import jain, most_over_mean, variation

CASE: Final = About(
    6,
    "Concurrent stress",
    "Half of the tenants answer requests of 20 ms of CPU, a quarter burn all the CPU that they get, and a"
    " quarter come in bursts of CPU, memory, files and writes. All customers connect while that goes on.",
)
DEFAULT_TENANTS: Final = [10]
MIB: Final = 1 << 20
MEMORY_BYTES: Final = 128 * MIB
WINDOW_SECONDS: Final = 20.0
SETTLED_SECONDS: Final = 2.0
QUIET_SECONDS: Final = 60.0
"""After a start a tenant yields for some seconds more."""
"""After the last customer has connected."""
CONNECT_WITHIN_SECONDS: Final = 60.0
CONNECTED_AT_LEAST_PERCENT: Final = 90
VARIATION_AT_MOST: Final = 1.0
TIMES_MEAN_AT_MOST: Final = 3.0
OVERHEAD_AT_MOST_PERCENT: Final = 2
"""The bounds of the specification."""
JAIN_AT_LEAST: Final = 0.9
TIMES_SHARE_AT_MOST: Final = 2.0
REQUEST_MILLISECONDS: Final = 20.0
NORMAL_PART: Final = 0.2
"""Of the node's CPUs, by the requests of all normal tenants together, so that each stays below its share."""
MOST_PER_SECOND: Final = 4.0
SIGN_OF_LIFE: Final = (0.2, 1.0)
"""Requests a second and their CPU time, of customers of heavy and mixed tenants."""


@dataclass(frozen=True)
class Stress:
    """What was seen.

    Attributes:
        role: of each tenant.
        containers: of the tenants, before; ``after``: when all was over.
    """

    role: dict[str, Role]
    cores: int
    containers: list[Container]
    after: list[Container]
    connected: Connected
    looks: list[Look]
    entries: dict[str, Entry]
    answers: Answers
    unrest: Unrest
    contamination: Contamination

    def of(self, role: Role) -> list[str]:
        return [tenant for tenant, its in self.role.items() if its is role]


@pytest.fixture(scope="module")
def stress(
    cluster: Cluster,
    controller: Container,
    node_agents: dict[str, NodeAgent],
    services: Services,
    driver_pod: DriverPod,
    tenant_count: int,
    record: Recorder,
) -> Iterator[Stress]:
    """All of it, once; the tests look at what came of it."""
    of_all = mixture.roles(tenant_count)
    suffixes = [f"{role}-{number:02d}" for number, role in enumerate(of_all)]
    cores = int(cluster.objects(NODE)[0]["status"]["capacity"]["cpu"])
    terms = Terms(cpu=str(cores), memory=f"{MEMORY_BYTES // MIB}Mi")
    start = time.monotonic()
    with served.serving(
        cluster, services, "case6", *suffixes, terms=dict.fromkeys(suffixes, terms)
    ) as tenants:
        record.figures["deployed_after_seconds"] = time.monotonic() - start
        contamination = Contamination(tenants)
        contamination.plant()
        of_each = dict(zip(tenants, of_all, strict=True))
        found = _stressed(cluster, node_agents, driver_pod, of_each, cores, contamination)
        contamination.search(services)
        record.figures |= {
            "seconds_before_removal": time.monotonic() - start,
            "connected_seconds": Summary.of(list(found.connected.seconds.values())),
            "refused": found.connected.refused,
            "lost_sessions": found.unrest.lost,
            "tenants": {
                name: asdict(entry) | {"role": found.role[name]} for name, entry in found.entries.items()
            },
        }
        record.charts += [_cpu_chart(found), _time_chart(found)]
        yield found


def _stressed(
    cluster: Cluster,
    node_agents: dict[str, NodeAgent],
    driver_pod: DriverPod,
    tenants: dict[Tenant, Role],
    cores: int,
    contamination: Contamination,
) -> Stress:
    made = list(tenants)
    containers = _containers(cluster, made)
    agent = the_only(node_agents, {container.node for container in containers})
    beside = agent.containers()
    normal, heavy, mixed = ([one for one, its in tenants.items() if its is role] for role in Role)
    # agents that start on a full node take more than their share, and are rightly told so
    wait_until(
        lambda: nobody_is_told(cluster, made), what="the starts to be over", deadline_seconds=QUIET_SECONDS
    )
    rate = min(MOST_PER_SECOND, NORMAL_PART * cores * 1000 / REQUEST_MILLISECONDS / len(normal))

    def target(one: Tenant) -> Target:
        what = (rate, REQUEST_MILLISECONDS) if tenants[one] is Role.NORMAL else SIGN_OF_LIFE
        return loads.target(one, *what)

    targets = many.each(target, made)
    seconds = SETTLED_SECONDS + WINDOW_SECONDS + 2 * ledger.LOOK_SECONDS
    with mixture.unrest(heavy, mixed, cores) as unrest:
        with driver_pod.load(targets, seconds, connect_seconds=CONNECT_WITHIN_SECONDS) as load:
            load.wait_until(SETTLED_SECONDS)
            begin = load.now
            looks = ledger.watch(cluster, agent, containers, beside, WINDOW_SECONDS)
            end = load.now
            load.wait()
        answers = load.between(begin, end)
    weights = dict.fromkeys((one.name for one in made), Terms.weight)
    served_in_time = {one.name for one in normal if _in_time(answers, one.name)}
    return Stress(
        role={one.name: its for one, its in tenants.items()},
        cores=cores,
        containers=containers,
        after=_containers(cluster, made),
        connected=load.connected,
        looks=looks,
        entries=ledger.balance(looks, weights, served_in_time),
        answers=answers,
        unrest=unrest,
        contamination=contamination,
    )


def nobody_is_told(cluster: Cluster, of: Collection[Tenant]) -> bool:
    """None of these yields to others or harms them, by its condition Isolated; else NotYet."""
    told = ledger.blamed(cluster) & {tenant.name for tenant in of}
    if told:
        raise NotYet(f"told are {', '.join(sorted(told))}")
    return True


def _in_time(answers: Answers, tenant: str) -> bool:
    """All requests were answered, and none so late that work was left over."""
    latest_ms = max((ms for _, ms in answers.answered[tenant]), default=0.0)
    return not answers.failed[tenant] and latest_ms <= RESPONSE_WITHIN_SECONDS * 1000


def _containers(cluster: Cluster, tenants: list[Tenant]) -> list[Container]:
    """The one of each tenant."""
    names = {tenant.name for tenant in tenants}
    pods = [pod for pod in cluster.objects(POD) if pod["metadata"]["namespace"] in names]
    return sorted(container for pod in pods for container in running_containers(pod))


def _cpu_chart(found: Stress) -> Chart:
    names = sorted(found.role, key=lambda name: (list(Role).index(found.role[name]), name))

    def line(name: str, values: list[float]) -> Line:
        return Line(name=name, points=[(number, round(value, 1)) for number, value in enumerate(values)])

    return Chart(
        title="CPU of each tenant against what it was due",
        unit="m",
        x="tenant",
        bars=[name.split("-", 2)[2] for name in names],
        lines=[
            line("used", [found.entries[name].used for name in names]),
            line("due", [found.entries[name].due for name in names]),
        ],
        note="Due is what a tenant wanted, or its max-min fair share by weight of what all of them had.",
    )


def _time_chart(found: Stress) -> Chart:
    weights = dict.fromkeys(found.role, Terms.weight)
    start = found.looks[0].at_seconds
    points: dict[Role, list[tuple[float, float]]] = {role: [] for role in Role}
    for before, after in pairwise(found.looks):
        entries = ledger.between(before, after, weights)
        for role in Role:
            used = mean(entries[name].used for name in found.of(role))
            points[role].append((round(after.at_seconds - start, 2), round(used, 1)))
    return Chart(
        title="CPU over time, the mean of each kind of tenant",
        unit="m",
        lines=[Line(name=str(role), points=points[role]) for role in Role],
    )


def test_customers_connect(stress: Stress, record: Recorder) -> None:
    """Nine of ten customers and more are let in and answered within 60 s, while heavy tenants burn."""
    seconds = stress.connected.seconds
    in_time = sum(each <= CONNECT_WITHIN_SECONDS for each in seconds.values())
    record.bound(
        f"connected and answered within {CONNECT_WITHIN_SECONDS:.0f} s",
        in_time / len(stress.role) * 100,
        "%",
        at_least=CONNECTED_AT_LEAST_PERCENT,
        goal=100,
    )
    record.goal("the slowest to connect", max(seconds.values()), "s", at_most=CONNECT_WITHIN_SECONDS)


def test_cpu_is_shared_by_entitlement(stress: Stress, record: Recorder) -> None:
    """What each tenant had of what it was due varies little, and nobody has a multiple of the others'."""
    received = [entry.received for entry in stress.entries.values()]
    used = [entry.used for entry in stress.entries.values()]
    weights = dict.fromkeys(stress.role, Terms.weight)
    by_waits = [entry.received for entry in ledger.balance(stress.looks, weights).values()]
    record.figures["jain_where_waiting_counts_as_wanting"] = jain(by_waits)
    record.figures |= {"variation_of_use": variation(used), "most_over_mean_use": most_over_mean(used)}
    record.goal("fairness of what each had of its due (Jain)", jain(received), "", at_least=JAIN_AT_LEAST)
    record.goal("the most that one had of its due, in times", max(received), "", at_most=TIMES_SHARE_AT_MOST)
    record.bound("variation of what each had of its due", variation(received), "", at_most=VARIATION_AT_MOST)
    record.bound(
        "the most that one had of its due, in times the mean",
        most_over_mean(received),
        "",
        at_most=TIMES_MEAN_AT_MOST,
    )


def test_there_was_more_wanted_than_the_node_has(stress: Stress, record: Recorder) -> None:
    """Else fairness is no question: each heavy tenant wanted more than it was due."""
    wanting = [
        name for name in stress.of(Role.HEAVY) if stress.entries[name].wanted > stress.entries[name].due
    ]
    assert wanting == stress.of(Role.HEAVY)
    wanted = sum(entry.wanted for entry in stress.entries.values())
    record.figures["wanted_over_capacity"] = wanted / (stress.cores * 1000)


def test_normal_tenants_are_answered(stress: Stress, record: Recorder) -> None:
    """Those that stay below their share, whatever the others do."""
    normal = stress.of(Role.NORMAL)
    latencies = stress.answers.latencies_ms(normal)
    failed = sum(len(stress.answers.failed[name]) for name in normal)
    summary = Summary.of(latencies)
    record.figures["normal_latency_ms"] = asdict(summary)
    record.goal("requests of normal tenants without an answer", failed, "", at_most=0)
    record.goal("p99 of normal tenants' answers", summary.p99 / 1000, "s", at_most=RESPONSE_WITHIN_SECONDS)
    assert all(stress.answers.answered[name] for name in normal), "every one has answered"


def test_memory_stays_within_limits(stress: Stress, record: Recorder) -> None:
    """By the cgroup files, whenever they were looked at; nobody was killed for it, and nobody restarted."""
    readings = [reading for look in stress.looks for reading in look.readings.values()]
    assert {reading.memory_limit_bytes for reading in readings} == {MEMORY_BYTES}
    most = max(reading.memory_used_bytes for reading in readings)
    record.goal("the most memory of one tenant", most / MIB, "MiB", at_most=MEMORY_BYTES / MIB)
    assert most <= MEMORY_BYTES
    assert sum(reading.oom_kills for reading in stress.looks[-1].readings.values()) == 0
    assert stress.after == stress.containers, "the same containers, with as many restarts"


def test_no_normal_tenant_is_blamed(stress: Stress, record: Recorder) -> None:
    """By condition Isolated, whenever it was looked at."""
    blamed = set().union(*(look.blamed for look in stress.looks))
    record.figures["blamed"] = sorted(blamed)
    assert blamed & set(stress.of(Role.NORMAL)) == set()


def test_the_node_agent_costs_little(stress: Stress, record: Recorder) -> None:
    """By its own cgroup files, of the node's CPU."""
    record.bound(
        "CPU of the node agent, of the node",
        ledger.agent_millicores(stress.looks) / (stress.cores * 10),
        "%",
        at_most=OVERHEAD_AT_MOST_PERCENT,
    )


def test_tenants_are_kept_apart(stress: Stress, record: Recorder) -> None:
    """No reply, key or row of a tenant has another one's canary, and each has its own."""
    stress.contamination.note(record)
