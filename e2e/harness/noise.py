"""Hogs and their victim on one node, and what becomes of them."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kubernetes.utils.quantity import parse_quantity

from e2e.harness import load, many, served, tenants
from e2e.harness.cgroups import NodeCgroups, read_all
from e2e.harness.cluster import NODE, POD, TENANT_QUOTA, Cluster, Container, condition
from e2e.harness.contamination import Contamination
from e2e.harness.controls import ControlWatch
from e2e.harness.load import Answers, DriverPod, Load
from e2e.harness.node_agent import NodeAgent, the_only
from e2e.harness.rollout import roll_out
from e2e.harness.served import AGENT, Tenant, Terms
from e2e.harness.services import Services
from e2e.harness.sessions import ServedAgent, Sessions
from e2e.harness.wait import NotYet, wait_until
from e2e.results import MomentKind

HOG_PODS: Final = 2
"""Of all hogs together."""
HOG_CORES: Final = 4
"""Each of its pods wants so many."""
REQUEST_MILLISECONDS: Final = 20.0
REQUESTS_PER_SECOND: Final = 8.0
LONGEST_SECONDS: Final = 600.0
LEAST_WEIGHT: Final = 2
"""No pod has less; the pods here, which request 5m, have more of the kubelet."""
LIMIT_MILLI: Final = 2000
"""Each pod's by its quota: the whole of a small node."""
CROWD_PODS: Final = 8
"""Even at the least weight these and the hog's own have several times the victim's, where it isn't lifted."""
FILLER: Final = "filler"
LEFT_MILLI: Final = 4
"""Of the node's CPU, unrequested beside the pod that takes the room."""
HARMS: Final = "HarmsNeighbours"
YIELDS: Final = "Yields"
WITHIN_SHARE: Final = "WithinShare"
"""Reasons of condition Isolated."""
TERMS: Final = Terms(cpu=f"{LIMIT_MILLI}m", memory="128Mi")
"""Limits that would let each pod take the whole of a small node."""


@dataclass
class Neighbours:
    """Noisy tenants and one that suffers; beside them a pod that is no tenant's, which sends the victim its
    requests, and tenants that do nothing."""

    cluster: Cluster
    services: Services
    sessions: Sessions
    driver: DriverPod
    agent: NodeAgent
    tenants: Mapping[str, Tenant]
    contamination: Contamination
    hogs: tuple[str, ...]
    victim: str
    bystanders: tuple[str, ...]

    @property
    def hog(self) -> str:
        """The first of them."""
        return self.hogs[0]

    @contextmanager
    def noise(self, *of: str) -> Iterator[None]:
        """As much as these hogs can make; all, where none is named."""
        pods = [(hog, item.pod) for hog in of or self.hogs for item in self.cluster.running(hog)]
        hogs = [ServedAgent(self.sessions, self.tenants[hog], pod) for hog, pod in pods]
        try:
            many.each(lambda hog: hog.burn(HOG_CORES), hogs)
            yield
        finally:
            many.each(lambda hog: hog.burn(0), hogs)

    def load(self, seconds: float) -> Answers:
        """Requests to the victim for so long."""
        with self._load(seconds) as running:
            running.wait()
            return running.all()

    @contextmanager
    def requests(self) -> Iterator[None]:
        """With requests to the victim."""
        with self._load(LONGEST_SECONDS) as running:
            yield
            running.stop()

    def _load(self, seconds: float) -> Load:
        target = load.target(self.tenants[self.victim], REQUESTS_PER_SECOND, REQUEST_MILLISECONDS)
        return self.driver.load([target], seconds)

    def containers(self) -> list[Container]:
        """Of hogs and victim."""
        return [item for tenant in (*self.hogs, self.victim) for item in self.cluster.running(tenant)]

    def weights(self) -> dict[str, set[int]]:
        """Of the pods of hogs and victim, by tenant."""
        found = NodeCgroups(self.agent.node).pod_weights(self.containers())
        return self._by_tenant(found)

    def _by_tenant(self, weights: Mapping[Container, int]) -> dict[str, set[int]]:
        return {
            tenant: {weight for item, weight in weights.items() if item.namespace == tenant}
            for tenant in (*self.hogs, self.victim)
        }

    def yields(self) -> bool:
        """The hogs do, by the cgroup files; else NotYet says what these hold."""
        return self._yields(self.weights())

    def yields_by(self, watch: ControlWatch) -> bool:
        """The same, by files that are watched anyway."""
        return self._yields(self._by_tenant({item: each.weight for item, each in watch.now().items()}))

    def _yields(self, now: Mapping[str, set[int]]) -> bool:
        if max(max(now[hog]) for hog in self.hogs) > LEAST_WEIGHT or min(now[self.victim]) <= LEAST_WEIGHT:
            raise NotYet(f"weights are {now}")
        return True

    def quiet(self) -> bool:
        """Nobody on the node yields, pods that request the same have the same weight, and limits are the
        quotas'; else NotYet."""
        holds, now, limits = self.agent.report().get("holds", []), self.weights(), self.limits_milli()
        same = len(set.union(*now.values())) == 1 and max(now[self.victim]) > LEAST_WEIGHT
        if holds or not same or limits != {LIMIT_MILLI}:
            raise NotYet(f"weights are {now}, limits {limits}, and holds {holds}")
        return True

    def capped(self) -> bool:
        """A hog has a lower limit than its quota's, by the cgroup files; else NotYet."""
        if min(self.limits_milli()) >= LIMIT_MILLI:
            raise NotYet("no limit is lower than its quota's")
        return True

    def enforce(self, enforcement: str) -> None:
        """
        Args:
            enforcement: ``Enforce`` or ``Observe``, for all of these.
        """
        for name in (*self.hogs, self.victim):
            patch = {"spec": {"enforcement": enforcement}}
            self.cluster.patch(TENANT_QUOTA, tenants.QUOTA, name, patch)

    @contextmanager
    def crowd(self) -> Iterator[None]:
        """With more pods of the first hog, which all make noise."""
        names = [f"crowd-{number}" for number in range(CROWD_PODS)]
        try:
            further(self.cluster, self.services, self.hog, names)
            yield
        finally:
            self.remove(self.hog, *names)

    @contextmanager
    def without_room(self) -> Iterator[None]:
        """With a pod that requests all CPU which no other one does, so that nobody can be lifted."""
        namespace = self.driver.namespace
        requests = {"cpu": f"{self._unrequested_milli() - LEFT_MILLI}m", "memory": "16Mi"}
        self.cluster.apply(load.sleeper(FILLER, namespace, {"requests": requests}))
        try:
            self.cluster.wait_ready(namespace, 2)
            yield
        finally:
            self.remove(namespace, FILLER)

    def remove(self, namespace: str, *names: str) -> None:
        for name in names:
            self.cluster.delete(POD, name, namespace)
        wait_until(
            lambda: all(self.cluster.gone(POD, name, namespace) for name in names),
            what=f"the end of {', '.join(names)}",
            deadline_seconds=60,
        )

    def _unrequested_milli(self) -> int:
        node = self.cluster.get(NODE, self.agent.node)
        pods = [each for each in self.cluster.objects(POD) if each["spec"].get("nodeName") == self.agent.node]
        requested = (
            container.get("resources", {}).get("requests", {}).get("cpu", 0)
            for pod in pods
            if pod["status"]["phase"] == "Running"
            for container in pod["spec"]["containers"]
        )
        left = parse_quantity(node["status"]["allocatable"]["cpu"]) - sum(map(parse_quantity, requested))
        return int(left * 1000)

    def records(self, rule: str) -> list[dict[str, Any]]:
        """Lines of the node agent's log that tell of such a decision about the first hog: their time and what
        the audit record says."""
        agent = self.agent.itself
        lines = self.cluster.kubectl("logs", agent.pod, f"--namespace={agent.namespace}", "--container=node")
        found = (json.loads(line) for line in lines.splitlines() if '"audit"' in line)
        return [
            {"time": each["timestamp"], **each["audit"]}
            for each in found
            if each["audit"]["rule"] == rule and each["audit"]["tenant"] == self.hog
        ]

    @contextmanager
    def limited(self, cpu_milli: int) -> Iterator[None]:
        """With quotas that let each of the hogs' pods have so much."""
        self._limit(cpu_milli)
        try:
            yield
        finally:
            self._limit(LIMIT_MILLI)

    def _limit(self, cpu_milli: int) -> None:
        for hog in self.hogs:
            self.cluster.patch(TENANT_QUOTA, tenants.QUOTA, hog, tenants.limits(cpu=f"{cpu_milli}m"))
        wait_until(
            lambda: self.limits_milli() == {cpu_milli},
            what=f"limits of {cpu_milli} milli-CPU",
            deadline_seconds=60,
        )

    def limits_milli(self) -> set[int]:
        """Of the hogs' containers, by the cgroup files; without one 0."""
        containers = [item for hog in self.hogs for item in self.cluster.running(hog)]
        return {reading.cpu_limit_millicores or 0 for reading in read_all(containers).values()}

    def status(self, tenant: str) -> dict[str, Any]:
        return dict(self.cluster.get(TENANT_QUOTA, tenants.QUOTA, tenant).get("status", {}))

    def isolated(self, tenant: str) -> dict[str, Any]:
        """A tenant's condition; empty while there is none."""
        return condition({"status": self.status(tenant)}, "Isolated") or {}

    def named(self) -> bool:
        """The status of every hog says whom it harms; else NotYet."""
        for hog in self.hogs:
            told = self.isolated(hog)
            if told.get("reason") != HARMS or f"made {self.victim} wait" not in told["message"]:
                raise NotYet(f"Isolated of {hog} is {told}")
        return True

    def over(self) -> bool:
        """No hog yields or harms anybody any more, by its status; else NotYet."""
        for hog in self.hogs:
            if (told := self.isolated(hog)).get("reason") != WITHIN_SHARE:
                raise NotYet(f"Isolated of {hog} is {told}")
        return True

    def blamed(self) -> set[str]:
        """The tenants that yield, by the node's report and by the status of each."""
        told = {each for each in (self.victim, *self.bystanders) if self._is_blamed(each)}
        return told | {each["tenant"] for each in self.agent.report().get("holds", [])}

    def _is_blamed(self, tenant: str) -> bool:
        return self.isolated(tenant).get("reason") != WITHIN_SHARE


@contextmanager
def neighbours(
    cluster: Cluster,
    services: Services,
    sessions: Sessions,
    driver: DriverPod,
    node_agents: Mapping[str, NodeAgent],
    *,
    hogs: int = 1,
    bystanders: int = 0,
) -> Iterator[Neighbours]:
    """Running and answering.

    Args:
        hogs: tenants that are noisy.
        bystanders: further tenants that do nothing.
    """
    suffixes = (*(f"hog{number}" for number in range(hogs)), "victim")
    suffixes += tuple(f"t{number:02d}" for number in range(bystanders))
    terms = dict.fromkeys(suffixes, TERMS)
    with served.serving(cluster, services, "noise", *suffixes, terms=terms) as tenants_made:
        names = [tenant.name for tenant in tenants_made]
        noisy, (victim, *others) = names[:hogs], names[hogs:]
        for hog in noisy:
            further(cluster, services, hog, [f"{AGENT}-{number}" for number in range(1, HOG_PODS // hogs)])
        (container,) = cluster.running(victim)
        made = Neighbours(
            cluster,
            services,
            sessions,
            driver,
            the_only(dict(node_agents), {container.node}),
            dict(zip(names, tenants_made, strict=True)),
            Contamination(tenants_made),
            tuple(noisy),
            victim,
            tuple(others),
        )
        wait_until(made.quiet, what="quiet after the start", deadline_seconds=60)
        yield made


def further(cluster: Cluster, services: Services, tenant: str, names: Sequence[str]) -> None:
    """More agents of a tenant that has some, answering."""
    roll_out(cluster, [served.agent(tenant, services, name) for name in names])


def seconds_until(check: Callable[[], bool], what: str, deadline_seconds: float) -> float:
    """How long it took."""
    start = time.monotonic()
    wait_until(check, what=what, deadline_seconds=deadline_seconds, poll_seconds=0.05)
    return time.monotonic() - start


def onsets(
    of: Neighbours,
    count: int,
    deadline_seconds: float,
    mark: Callable[[MomentKind], object] = lambda _: None,
) -> dict[str, list[float]]:
    """Some times over: noise until the hogs yield, and quiet until all weights and limits are as before.
    Seconds, as the cgroup files have it.

    Args:
        mark: is told of each moment when it comes.
    """
    found: dict[str, list[float]] = {"yield_seconds": [], "give_back_seconds": []}
    with ControlWatch(of.containers()) as watch:
        quiet = watch.now()
        for _ in range(count):
            with of.noise():
                mark(MomentKind.ONSET)
                found["yield_seconds"].append(
                    seconds_until(lambda: of.yields_by(watch), "the hogs to yield", deadline_seconds)
                )
                mark(MomentKind.HELD)
            mark(MomentKind.QUIET)
            found["give_back_seconds"].append(
                seconds_until(lambda: watch.now() == quiet, "the old weights and limits", deadline_seconds)
            )
            mark(MomentKind.GIVEN_BACK)
    return found
