"""Whether a cluster has what the suite needs, all that is missing at once, before anything starts.

`gather` looks, `problems` judges.
"""

import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import yaml
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError

from e2e.cluster.deploy import AGENT, CHART, POSTGRES, REDIS, STRESS, TENANT
from e2e.cluster.settings import NAMESPACE as OPERATOR_NAMESPACE
from e2e.cluster.settings import REPOSITORY
from e2e.harness import node_images, quiet_start
from e2e.harness.cluster import (
    DAEMON_SET,
    DEPLOYMENT,
    NODE,
    POD,
    TENANT_QUOTA,
    Cluster,
    Kind,
    Manifest,
    NoClusterError,
    condition,
    is_ready,
)
from e2e.harness.controller import CONTROLLER
from e2e.harness.node_agent import DAEMON_SET_NAME
from e2e.harness.node_agent import SELECTOR as NODE_AGENTS
from tenantquota.domain.quantities import format_cpu, format_memory, parse_cpu_milli, parse_memory_bytes

VERSION_LABEL: Final = "app.kubernetes.io/version"
LEAST_KUBERNETES: Final = (1, 36)
IMAGES: Final = tuple(image.current for image in (AGENT, TENANT, POSTGRES, REDIS, STRESS))
FINISHED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True)
class Room:
    """What pods ask for, or what nodes have left for them."""

    pods: int = 0
    cpu_milli: int = 0
    memory_bytes: int = 0


A_TENANT: Final = Room(1, 5, 16 * 2**20)
"""The least: one agent with the requests that `e2e.harness.tenants.quota` gives it."""
THE_REST: Final = Room(4, 255, 400 * 2**20)
"""Redis, PostgreSQL with its janitor, the load driver, and a stressor."""


def needed(tenants: int) -> Room:
    """What so many tenants and what they use ask for."""
    each, rest = A_TENANT, THE_REST
    return Room(
        rest.pods + tenants * each.pods,
        rest.cpu_milli + tenants * each.cpu_milli,
        rest.memory_bytes + tenants * each.memory_bytes,
    )


@dataclass(frozen=True)
class Facts:
    """What a cluster has.

    Attributes:
        kubernetes: the API server's version, such as ``v1.37.2``.
        chart: the version of the operator that this checkout tests.
        quotas_known: whether the API server knows TenantQuotas.
        controller, node_agents: the Deployment and the DaemonSet, None where there is none.
        agents_ready: the nodes whose agent is ready.
        nodes: as the API server has them; pods too, those that have ended left out.
        images_missing: ``NODE: IMAGE`` → why.
        noisy: ``TENANT on NODE`` → what makes it noise, before anything has begun.
    """

    kubernetes: str
    chart: str
    quotas_known: bool
    controller: Manifest | None
    node_agents: Manifest | None
    agents_ready: Collection[str]
    nodes: Sequence[Manifest]
    pods: Sequence[Manifest]
    images_missing: Mapping[str, str] = field(default_factory=dict)
    noisy: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """What is missing, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"- {self.what}\n  → {self.remedy}"


def problems(facts: Facts, tenants: int, *, local: bool) -> list[Problem]:
    """All that keeps the suite from running with so many tenants; empty where nothing does.

    Args:
        local: whether it is the cluster of ``make up``, which mends most of it.
    """
    return [
        *_of_kubernetes(facts),
        *_of_operator(facts, local=local),
        *_of_nodes(facts, tenants, local=local),
        *_of_noise(facts, local=local),
    ]


def _of_kubernetes(facts: Facts) -> Iterator[Problem]:
    if _version(facts.kubernetes) < LEAST_KUBERNETES:
        least = ".".join(map(str, LEAST_KUBERNETES))
        yield Problem(f"Kubernetes is {facts.kubernetes}", f"test on a cluster of {least} or newer")


def _of_operator(facts: Facts, *, local: bool) -> Iterator[Problem]:
    install = (
        "make up"
        if local
        else f"install the chart of this checkout: helm upgrade --install tenantquota {CHART} --namespace"
        f" {OPERATOR_NAMESPACE} --create-namespace --set image.repository=..., as README.md has it"
    )
    if not facts.quotas_known:
        yield Problem("the API server knows no TenantQuotas", install)
    if facts.controller is None:
        yield Problem(f"no Deployment {CONTROLLER} in namespace {OPERATOR_NAMESPACE}", install)
    else:
        found = facts.controller["metadata"].get("labels", {}).get(VERSION_LABEL)
        if found != facts.chart:
            yield Problem(f"the operator is {found}, this checkout tests {facts.chart}", install)
        available = condition(facts.controller, "Available") or {}
        if available.get("status") != "True":
            yield Problem(
                f"the controller isn't available: {available.get('message', 'it was never tried')}",
                f"kubectl describe pods --namespace {OPERATOR_NAMESPACE}",
            )
    if facts.node_agents is None:
        yield Problem(
            f"no DaemonSet {DAEMON_SET_NAME} in namespace {OPERATOR_NAMESPACE}",
            f"{install}, with node.enabled",
        )
    elif blind := sorted({node["metadata"]["name"] for node in _usable(facts.nodes)} - {*facts.agents_ready}):
        yield Problem(
            f"no node agent is ready on {', '.join(blind)}",
            f"kubectl describe pods --namespace {OPERATOR_NAMESPACE} --selector {NODE_AGENTS}; the chart's"
            " node.nodeSelector must select every node that takes pods",
        )


def _of_nodes(facts: Facts, tenants: int, *, local: bool) -> Iterator[Problem]:
    usable = _usable(facts.nodes)
    if not usable:
        yield Problem("no node is Ready and takes pods", "kubectl get nodes")
    if facts.images_missing:
        lacking = [f"  {where} ({why})" for where, why in sorted(facts.images_missing.items())]
        yield Problem(
            "\n".join(["images that nodes have not and can't get:", *lacking]),
            "make up"
            if local
            else "push the images, which make up builds, to a registry of yours and name it: --image-registry"
            " PREFIX (with make: IMAGE_REGISTRY=PREFIX)",
        )
    left, asked = room(usable, facts.pods), needed(tenants)
    short = [
        f"{show(wanted)} {unit}, where there is room for {show(have)}"
        for unit, show, wanted, have in (
            ("pods", str, asked.pods, left.pods),
            ("of CPU", format_cpu, asked.cpu_milli, left.cpu_milli),
            ("of memory", format_memory, asked.memory_bytes, left.memory_bytes),
        )
        if wanted > have
    ]
    if usable and short:
        yield Problem(
            f"{tenants} tenants ask at least for {'; '.join(short)}",
            "give fewer tenants (--tenants N, with make: TENANTS=N), end other pods, or add a node",
        )


def _of_noise(facts: Facts, *, local: bool) -> Iterator[Problem]:
    if facts.noisy:
        each = [f"  {who}: {why}" for who, why in sorted(facts.noisy.items())]
        yield Problem(
            "\n".join(["tenants are noisy that aren't the suite's, whose victims would suffer:", *each]),
            "end what they do, or their pods"
            + ("; the demo's: kubectl delete -f examples/tenants.yaml" if local else ""),
        )


def room(nodes: Sequence[Manifest], pods: Sequence[Manifest]) -> Room:
    """What is left on nodes beside the pods that are there."""
    names = {node["metadata"]["name"] for node in nodes}
    allocatable = [node["status"]["allocatable"] for node in nodes]
    there = [pod for pod in pods if pod["spec"].get("nodeName") in names]
    return Room(
        sum(int(each["pods"]) for each in allocatable) - len(there),
        sum(parse_cpu_milli(each["cpu"]) for each in allocatable)
        - sum(parse_cpu_milli(each) for each in _requests(there, "cpu")),
        sum(parse_memory_bytes(each["memory"]) for each in allocatable)
        - sum(parse_memory_bytes(each) for each in _requests(there, "memory")),
    )


def _requests(pods: Sequence[Manifest], resource: str) -> Iterator[str]:
    for pod in pods:
        for container in pod["spec"]["containers"]:
            if quantity := container.get("resources", {}).get("requests", {}).get(resource):
                yield quantity


def _usable(nodes: Sequence[Manifest]) -> list[Manifest]:
    return [
        node
        for node in nodes
        if is_ready(node)
        and not node["spec"].get("unschedulable")
        and not any(
            taint["effect"] in {"NoSchedule", "NoExecute"} for taint in node["spec"].get("taints", [])
        )
    ]


def _version(text: str) -> tuple[int, ...]:
    numbers = text.removeprefix("v").split("-")[0].split("+")[0].split(".")
    return tuple(int(number) for number in numbers[:2])


def gather(cluster: Cluster) -> Facts:
    """Looks at everything.

    Raises:
        NoClusterError: when it can't, for want of kubectl or of rights.
    """
    _may_everything(cluster)
    nodes = cluster.objects(NODE)
    quotas_known = _knows(cluster, TENANT_QUOTA)
    return Facts(
        kubernetes=cluster.version,
        chart=chart_version(),
        quotas_known=quotas_known,
        controller=_found(cluster, DEPLOYMENT, CONTROLLER),
        node_agents=_found(cluster, DAEMON_SET, DAEMON_SET_NAME),
        agents_ready={
            pod["spec"]["nodeName"]
            for pod in cluster.pods(OPERATOR_NAMESPACE, selector=NODE_AGENTS)
            if is_ready(pod)
        },
        nodes=nodes,
        pods=[pod for pod in cluster.objects(POD) if pod["status"].get("phase") not in FINISHED],
        images_missing=node_images.missing(cluster, _usable(nodes), IMAGES),
        noisy=quiet_start.noisy(cluster) if quotas_known else {},
    )


def _may_everything(cluster: Cluster) -> None:
    if not shutil.which("kubectl"):
        raise NoClusterError("no kubectl in PATH: install one for the cluster's version")
    try:
        cluster.kubectl("auth", "can-i", "*", "*", "--all-namespaces")
    except subprocess.CalledProcessError as error:
        raise NoClusterError(
            f"the user of context {cluster.context} may not do everything there: name one of a cluster's"
            f" administrator ({(error.stderr or error.stdout).strip()})"
        ) from error


def chart_version() -> str:
    """The operator's version in this checkout."""
    return str(yaml.safe_load((REPOSITORY / CHART / "Chart.yaml").read_text())["appVersion"])


def _knows(cluster: Cluster, kind: Kind) -> bool:
    try:
        cluster.objects(kind)
    except (NotFoundError, ResourceNotFoundError):
        return False
    return True


def _found(cluster: Cluster, kind: Kind, name: str) -> Manifest | None:
    try:
        return cluster.get(kind, name, OPERATOR_NAMESPACE)
    except NotFoundError:
        return None
