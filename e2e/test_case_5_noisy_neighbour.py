"""Case 5, noisy neighbour: found, made to yield, and given back, with what its victim felt of it.

The hog's limits would let it take the whole node; only its weight is changed. Figures go to ``reports/``.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from e2e.harness import agents, tenants
from e2e.harness.agents import Agent, Answers
from e2e.harness.cgroups import NodeCgroups, cpu_use
from e2e.harness.cluster import TENANT_QUOTA, Cluster, Container, Manifest, condition
from e2e.harness.figures import Summary, machine, write_report
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.wait import NotYet, wait_until

FOUND_WITHIN_SECONDS: Final = 30
MITIGATED_WITHIN_SECONDS: Final = 60
RECOVERED_WITHIN_SECONDS: Final = 120
"""The specification's; what was measured is in the report."""
ONSETS: Final = 3
HOG_PODS: Final = 2
HOG_CORES: Final = 4
"""Each of its pods wants so many."""
MANY_PODS: Final = 10
WORK_UNITS: Final = 250_000
"""Of one request, some 20 ms of CPU."""
REQUESTS_PER_SECOND: Final = 8.0
LEARNING_SECONDS: Final = 45.0
"""In which the agent comes to know how the victim fares when all is quiet."""
ROUND_SECONDS: Final = 10.0
ROUNDS: Final = 2
SHARE_SECONDS: Final = 10.0
SHARE_TOLERANCE: Final = 0.15
LEAST_RATIO: Final = 20
"""Of the victim's weight to the hog's: from here on the victim's latency is that of a quiet node."""


def quota(tenant: str, weight: int = 100) -> Manifest:
    """Limits that would let each pod take the whole of a small node."""
    return tenants.quota(tenant, cpu="2", memory="128Mi", weight=weight)


@dataclass
class Platform:
    """A hog and its victim on one node, further tenants that do nothing, and figures found on the way."""

    cluster: Cluster
    hog: str
    victim: str
    driver: tuple[str, str]
    agent: NodeAgent
    address: str
    figures: dict[str, Any] = field(default_factory=dict)

    def hogs(self) -> list[Agent]:
        return [Agent(self.cluster, self.hog, item.pod) for item in self.cluster.running(self.hog)]

    @contextmanager
    def noise(self) -> Iterator[None]:
        """As much as the hog can make."""
        hogs = self.hogs()
        try:
            for each in hogs:
                each.burn(HOG_CORES)
            yield
        finally:
            for each in hogs:
                each.burn(0)

    def load(self, seconds: float) -> Answers:
        url = f"http://{self.address}:{tenants.PORT}/work?units={WORK_UNITS}"
        return agents.send(
            self.cluster, self.driver, url, rate_per_second=REQUESTS_PER_SECOND, seconds=seconds
        )

    def weights(self) -> dict[str, set[int]]:
        """Of the pods of hog and victim, by tenant."""
        containers = [*self.cluster.running(self.hog), *self.cluster.running(self.victim)]
        found = NodeCgroups(self.agent.node).pod_weights(containers)
        return {
            tenant: {weight for item, weight in found.items() if item.namespace == tenant}
            for tenant in (self.hog, self.victim)
        }

    def enforce(self, enforcement: str) -> None:
        for name in (self.hog, self.victim):
            self.cluster.patch(TENANT_QUOTA, tenants.QUOTA, name, {"spec": {"enforcement": enforcement}})

    def isolated(self) -> dict[str, Any]:
        """The hog's condition; empty while there is none."""
        return condition({"status": self.status(self.hog)}, "Isolated") or {}

    def status(self, tenant: str) -> dict[str, Any]:
        return dict(self.cluster.get(TENANT_QUOTA, tenants.QUOTA, tenant).get("status", {}))


@pytest.fixture(scope="module")
def platform(
    cluster: Cluster, controller: Container, node_agents: dict[str, NodeAgent], tenant_count: int
) -> Iterator[Platform]:
    bystanders = [f"t{number:02d}" for number in range(tenant_count - 2)]
    with cluster.temporary_namespaces("case5", "hog", "victim", "driver", *bystanders) as names:
        hog, victim, driver, *others = names
        for name in (hog, victim, *others):
            cluster.apply(quota(name))
        for name, count in ((hog, HOG_PODS), *((name, 1) for name in (victim, driver, *others))):
            resources = {"requests": {"cpu": "100m", "memory": "16Mi"}} if name == driver else None
            for number in range(count):
                cluster.apply(tenants.agent(f"agent-{number}", name, resources=resources))
        for name in names:
            for item in cluster.wait_ready(name, HOG_PODS if name == hog else 1):
                Agent(cluster, name, item.pod).wait_answering()
        (container,) = cluster.running(victim)
        (pod,) = cluster.pods(victim)
        agent = the_only(node_agents, {container.node})
        made = Platform(cluster, hog, victim, (driver, "agent-0"), agent, pod["status"]["podIP"])
        yield made
        figures = {"machine": machine(cluster.version), "tenants": tenant_count, **made.figures}
        write_report(f"case_5_noisy_neighbour_{tenant_count}_tenants", figures)


def seconds_until(check: Callable[[], bool], what: str, deadline_seconds: float) -> float:
    start = time.monotonic()
    wait_until(check, what=what, deadline_seconds=deadline_seconds, poll_seconds=0.05)
    return time.monotonic() - start


def test_nobody_yields_while_all_is_quiet(platform: Platform) -> None:
    before = platform.weights()
    answers = platform.load(LEARNING_SECONDS)

    assert answers.failed == 0
    assert platform.weights() == before
    assert platform.isolated()["status"] == "True"


def test_the_culprit_yields_and_is_given_back(platform: Platform) -> None:
    """Onset to the cgroup's new weight, and from the end of noise to the old one, some times over."""
    quiet = platform.weights()
    found: dict[str, list[float]] = {"yield_seconds": [], "give_back_seconds": []}

    def yields() -> bool:
        now = platform.weights()
        if min(now[platform.victim]) < LEAST_RATIO * max(now[platform.hog]):
            raise NotYet(f"weights are {now}")
        return True

    for _ in range(ONSETS):
        with platform.noise():
            found["yield_seconds"].append(seconds_until(yields, "the hog to yield", MITIGATED_WITHIN_SECONDS))
        found["give_back_seconds"].append(
            seconds_until(lambda: platform.weights() == quiet, "the old weights", RECOVERED_WITHIN_SECONDS)
        )
    platform.figures["onsets"] = found


def test_the_harm_is_named_and_observed_tenants_are_not_touched(platform: Platform) -> None:
    """While nobody holds the hog the victim goes on waiting, so that it can be told how long."""
    quiet = platform.weights()

    def named() -> bool:
        told = platform.isolated()
        if told.get("reason") != "HarmsNeighbours":
            raise NotYet(f"Isolated is {told}")
        return f"made {platform.victim} wait" in told["message"]

    platform.enforce("Observe")
    with ThreadPoolExecutor() as threads:
        load = threads.submit(platform.load, FOUND_WITHIN_SECONDS)
        with platform.noise():
            platform.figures["named_seconds"] = seconds_until(
                named, "the harm to be named", FOUND_WITHIN_SECONDS
            )
            platform.figures["evidence"] = platform.isolated()["message"]
            assert platform.status(platform.hog)["phase"] == "Throttled"
            assert platform.weights() == quiet
        load.result()
    platform.enforce("Enforce")


def test_the_victim_is_answered_as_if_it_were_alone(platform: Platform) -> None:
    """Rounds of quiet, of noise that nobody holds and of noise that yields, in turn."""
    rounds: dict[str, list[float]] = {"quiet": [], "observed": [], "enforced": []}
    for _ in range(ROUNDS):
        rounds["quiet"] += platform.load(ROUND_SECONDS).latencies_ms
        for name in ("observed", "enforced"):
            platform.enforce("Observe" if name == "observed" else "Enforce")
            with platform.noise():
                answers = platform.load(ROUND_SECONDS)
            rounds[name] += answers.latencies_ms
            assert answers.failed == 0
    summaries = {name: Summary.of(values) for name, values in rounds.items()}
    platform.figures["latency_ms"] = summaries
    assert summaries["enforced"].p95 < summaries["observed"].p95


def used(cgroups: NodeCgroups, containers: dict[str, list[Container]], seconds: float) -> dict[str, float]:
    """Millicores of each tenant over some time."""
    everybody = [item for each in containers.values() for item in each]
    before = cgroups.read(everybody)
    time.sleep(seconds)  # the window that is measured
    after = cgroups.read(everybody)
    return {
        tenant: sum(cpu_use(before[item], after[item]).millicores for item in each)
        for tenant, each in containers.items()
    }


@pytest.mark.parametrize("weight", [100, 300])
def test_shares_belong_to_tenants_not_to_pods(
    cluster: Cluster, node_agents: dict[str, NodeAgent], platform: Platform, weight: int
) -> None:
    """Ten pods against one: the ratio is that of the quotas' weights."""
    with cluster.temporary_namespaces("case5", "many", "one") as (many, one):
        cluster.apply(quota(many), quota(one, weight))
        for number in range(MANY_PODS):
            cluster.apply(tenants.agent(f"agent-{number}", many))
        cluster.apply(tenants.agent("agent-0", one))
        containers = {many: cluster.wait_ready(many, MANY_PODS), one: cluster.wait_ready(one, 1)}
        for tenant, each in containers.items():
            for item in each:
                agent = Agent(cluster, tenant, item.pod)
                agent.wait_answering()
                agent.burn(HOG_CORES)
        cgroups = NodeCgroups(platform.agent.node)

        def fair() -> bool:
            by_tenant = used(cgroups, containers, SHARE_SECONDS)
            ratio = by_tenant[one] / by_tenant[many]
            platform.figures[f"ten_pods_against_one_of_weight_{weight}"] = by_tenant
            if ratio != pytest.approx(weight / 100, rel=SHARE_TOLERANCE):
                raise NotYet(f"they use {by_tenant}, {ratio:.2f} to 1")
            return True

        wait_until(fair, what=f"a ratio of {weight / 100}", deadline_seconds=40)
