"""The kind cluster: kept while it works, made anew when it does not."""

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.console import Console, StepError, output_of, succeeds
from e2e.cluster.settings import CLUSTER, CONTEXT, Settings

POD_SUBNET = "10.244.0.0/16"
ANSWER_SECONDS = 30.0
READY_SECONDS = 180
NODE_LABEL = "io.x-k8s.kind.cluster"


@dataclass(frozen=True)
class Node:
    """A node's container, as the engine shows it."""

    name: str
    running: bool
    image: str


@dataclass(frozen=True)
class Network:
    """What the route to one node's pods takes."""

    node: str
    address: str
    pod_subnet: str


class Impossible(StepError):
    """A cluster that works and is not what was asked for."""


def verdict(nodes: Sequence[Node], api_answers: bool, workers: int | None) -> str | None:
    """Why the cluster must be deleted and made anew; None if it can be used as it is.

    A cluster that was stopped hard is not mended: making one takes half a minute.

    Raises:
        Impossible: if it works but has another number of workers than was asked for.
    """
    stopped = [node.name for node in nodes if not node.running]
    if stopped:
        return f"stopped: {', '.join(stopped)}"
    if not api_answers:
        return "its API server does not answer"
    if workers is not None and len(nodes) != workers + 1:
        raise Impossible(
            f"the cluster {CLUSTER} runs with WORKERS={len(nodes) - 1}, not {workers}",
            hint="Run `make down` first, or leave WORKERS out.",
        )
    return None


def configuration(workers: int, *, cgroup_version: int, own_network: bool, restrict_oom_score: bool) -> str:
    """The kind configuration, as YAML (JSON is YAML).

    Args:
        own_network: whether the node image comes without kind's network plugin.
        restrict_oom_score: whether containers must not ask for an OOM score below containerd's own.
    """
    kubelet: dict[str, object] = {"kind": "KubeletConfiguration", "maxPods": 250}
    if cgroup_version == 1:
        kubelet["failCgroupV1"] = False
    containerd = '[plugins."io.containerd.grpc.v1.cri"]\n  restrict_oom_score_adj = true\n'
    return json.dumps(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"podSubnet": POD_SUBNET, "disableDefaultCNI": own_network},
            "kubeadmConfigPatches": [json.dumps(kubelet)],
            "containerdConfigPatches": [containerd] if restrict_oom_score else [],
            "nodes": [{"role": "control-plane"}, *({"role": "worker"} for _ in range(workers))],
        }
    )


def plugin_configuration(pod_subnet: str) -> str:
    """A CNI configuration that gives pods of a node addresses of its subnet, and their ports and bandwidth."""
    ranges = {"type": "host-local", "dataDir": "/run/cni-ipam-state", "ranges": [[{"subnet": pod_subnet}]]}
    return json.dumps(
        {
            "cniVersion": "1.0.0",
            "name": "ptp",
            "plugins": [
                {"type": "ptp", "ipMasq": False, "ipam": {**ranges, "routes": [{"dst": "0.0.0.0/0"}]}},
                {"type": "portmap", "capabilities": {"portMappings": True}},
                {"type": "bandwidth", "capabilities": {"bandwidth": True}},
            ],
        }
    )


def routes(networks: Sequence[Network]) -> list[tuple[str, list[str]]]:
    """The commands that let pods of different nodes reach each other, each with the node it is run on."""
    return [
        (here.node, ["ip", "route", "replace", there.pod_subnet, "via", there.address])
        for here in networks
        for there in networks
        if here != there
    ]


def parse_networks(node_list: str) -> list[Network]:
    """The network of each node in what `kubectl get nodes -o json` prints, once pod subnets are assigned."""
    return [
        Network(
            node=node["metadata"]["name"],
            address=next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"),
            pod_subnet=node["spec"]["podCIDR"],
        )
        for node in json.loads(node_list)["items"]
    ]


def kubectl(*arguments: str | Path) -> list[str | Path]:
    """A kubectl command for this cluster, whatever the user's current context is."""
    return ["kubectl", "--context", CONTEXT, *arguments]


def nodes() -> list[Node]:
    """The cluster's node containers, stopped ones too."""
    lines = output_of(
        ["docker", "ps", "--all", "--filter", f"label={NODE_LABEL}={CLUSTER}"]
        + ["--format", "{{.Names}}\t{{.State}}\t{{.Image}}"]
    ).splitlines()
    found = (line.split("\t") for line in lines)
    return sorted(
        (Node(name, state == "running", image) for name, state, image in found), key=lambda n: n.name
    )


def api_answers(patience: float = ANSWER_SECONDS) -> bool:
    """Whether the API server says that it is ready, within `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        if succeeds(kubectl("get", "--raw", "/readyz", "--request-timeout=5s"), timeout=10):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(1)


def ensure_context() -> None:
    """Puts the context into the user's kubeconfig if it is not there or belongs to a former cluster."""
    ours = output_of(["kind", "get", "kubeconfig", "--name", CLUSTER])
    theirs = subprocess.run(
        kubectl("config", "view", "--raw", "--minify"), capture_output=True, text=True, check=False
    ).stdout
    authority = next(line.strip() for line in ours.splitlines() if "certificate-authority-data:" in line)
    server = next(line.strip() for line in ours.splitlines() if "server:" in line)
    if authority not in theirs or server not in theirs:
        output_of(["kind", "export", "kubeconfig", "--name", CLUSTER])


def delete(console: Console) -> None:
    """Deletes the cluster and its context."""
    console.run(
        f"deleting the cluster {CLUSTER}",
        ["kind", "delete", "cluster", "--name", CLUSTER],
        step="kind-delete",
        quiet=True,
    )


def create(settings: Settings, image: str, config: str, own_network: bool, console: Console) -> None:
    """Makes the cluster and waits until its nodes are ready.

    Raises:
        StepError: when it does not come up; what its nodes logged is kept in `logs/kind`.
    """
    try:
        console.run(
            f"making the kind cluster {CLUSTER} on {image}",
            ["kind", "create", "cluster", "--name", CLUSTER, "--image", image, "--config", "-", "--retain"],
            step="kind",
            stdin=config,
        )
        if own_network:
            _connect_pods(console)
        console.run(
            "waiting for the nodes",
            kubectl("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={READY_SECONDS}s"),
            step="kind",
        )
        console.run(
            "waiting for the cluster's DNS",
            kubectl("rollout", "status", "deployment/coredns", "--namespace=kube-system")
            + [f"--timeout={READY_SECONDS}s"],
            step="kind",
        )
    except StepError as error:
        kept = settings.logs / "kind"
        shutil.rmtree(kept, ignore_errors=True)
        succeeds(["kind", "export", "logs", "--name", CLUSTER, kept], timeout=120)
        delete(console)
        raise StepError(
            str(error), hint=f"{error.hint} The nodes' logs are in {kept}.".strip(), log=error.log
        ) from error


def has_network_plugin(image: str) -> bool:
    """Whether a node image brings kind's own network plugin."""
    probe = ["docker", "run", "--rm", "--entrypoint", "test", image, "-e", "/kind/manifests/default-cni.yaml"]
    return succeeds(probe)


def _connect_pods(console: Console) -> None:
    """Does for the pods what kind's own network plugin would do, which is an image on a registry."""
    output_of(
        kubectl("wait", "--for=jsonpath={.spec.podCIDR}", "nodes", "--all", f"--timeout={READY_SECONDS}s"),
        timeout=READY_SECONDS + 10,
    )
    networks = parse_networks(output_of(kubectl("get", "nodes", "-o", "json")))
    for network in networks:
        output_of(
            ["docker", "exec", "-i", network.node, "sh", "-c", "cat > /etc/cni/net.d/10-ptp.conflist"],
            stdin=plugin_configuration(network.pod_subnet),
        )
        # out of the cluster a pod goes under its node's address, which the world knows a way back to
        masquerade = [
            "-t",
            "nat",
            "-A",
            "POSTROUTING",
            "-s",
            POD_SUBNET,
            "!",
            "-d",
            POD_SUBNET,
            "-j",
            "MASQUERADE",
        ]
        output_of(["docker", "exec", network.node, "iptables", *masquerade])
    for node, command in routes(networks):
        output_of(["docker", "exec", node, *command])
