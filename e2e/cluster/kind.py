"""The kind cluster: kept while it works, made anew when it does not."""

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import debian, images, network, oci_runtime
from e2e.cluster.console import Console, StepError, duration, output_of, succeeds
from e2e.cluster.settings import CLUSTER, CONTEXT, Settings

# long enough for a busy machine, since a cluster that is given up is deleted with all that is in it
ANSWER_SECONDS = 60
READY_SECONDS = 180
NODE_LABEL = "io.x-k8s.kind.cluster"
SELDOM_ASKED = '[plugins."io.containerd.cri.v1.runtime"]\n  stats_collect_period = "1m"\n'
"""containerd 2.4 asks the shim of each container for its CPU use every second, in case a kubelet wants it of
the runtime, which none does by default. Of a node of two CPUs with a hundred pods that takes a sixth
(measured). Those before 2.4 ignore the setting."""
OOM_SCORE_AS_IT_MAY_BE = '[plugins."io.containerd.grpc.v1.cri"]\n  restrict_oom_score_adj = true\n'


@dataclass(frozen=True)
class Node:
    """A node's container, as the engine shows it."""

    name: str
    running: bool
    image: str


def verdict(nodes: Sequence[Node], works: bool, workers: int | None) -> str | None:
    """Why the cluster must be deleted and made anew; None if it can be used as it is.

    A cluster that was stopped hard is not mended: making one takes half a minute.

    Args:
        works: whether its API server answers and its nodes are ready.
        workers: how many the user asked for, if at all.

    Raises:
        StepError: if it works but has another number of workers: it is not deleted unasked.
    """
    stopped = [node.name for node in nodes if not node.running]
    if stopped:
        return f"stopped: {', '.join(stopped)}"
    if not works:
        return "its API server does not answer or its nodes are not ready"
    if workers is not None and len(nodes) != workers + 1:
        raise StepError(
            f"the cluster {CLUSTER} runs with WORKERS={len(nodes) - 1}, not {workers}",
            hint="Run `make down` first, or leave WORKERS out.",
        )
    return None


def configuration(workers: int, *, cgroup_version: int, own_network: bool, restrict_oom_score: bool) -> str:
    """The kind configuration, as YAML (JSON is YAML).

    https://kind.sigs.k8s.io/docs/user/configuration/

    Args:
        own_network: whether the node image comes without kind's network plugin.
        restrict_oom_score: whether containers must not ask for an OOM score below containerd's own.
    """
    kubelet: dict[str, object] = {"kind": "KubeletConfiguration", "maxPods": 250}
    if cgroup_version == 1:
        kubelet["failCgroupV1"] = False
    containerd = [SELDOM_ASKED, *([OOM_SCORE_AS_IT_MAY_BE] if restrict_oom_score else [])]
    return json.dumps(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"podSubnet": network.POD_SUBNET, "disableDefaultCNI": own_network},
            "kubeadmConfigPatches": [json.dumps(kubelet)],
            "containerdConfigPatches": containerd,
            "nodes": [{"role": "control-plane"}, *({"role": "worker"} for _ in range(workers))],
        }
    )


def kubectl(*arguments: str) -> list[str]:
    """A kubectl command for this cluster, whatever the user's current context is."""
    return ["kubectl", "--context", CONTEXT, *arguments]


def nodes() -> list[Node]:
    """The cluster's node containers, stopped ones too."""
    listing = ["docker", "ps", "--all", "--filter", f"label={NODE_LABEL}={CLUSTER}", "--format"]
    lines = output_of([*listing, "{{.Names}}\t{{.State}}\t{{.Image}}"]).splitlines()
    found = (line.split("\t") for line in lines)
    return [Node(name, state == "running", image) for name, state, image in sorted(found)]


def usable(found: Sequence[Node], settings: Settings, console: Console) -> bool:
    """Whether the cluster of these nodes works, with its context in the user's kubeconfig; deletes it if not.

    Raises:
        StepError: when it works and has another number of workers than asked for.
    """
    works = all(node.running for node in found) and answers(console)
    reason = verdict(found, works, settings.workers)
    if reason is not None:
        kept = export_logs(settings)
        console.say(f"the cluster {CLUSTER} is broken ({reason}): making it anew (its logs: {kept})")
        delete()
        return False
    if network.connected_here(found[0].name):
        _connect_pods()
    return True


def count_io(found: Sequence[Node], console: Console) -> None:
    """Has the kernel count the I/O of each container of the nodes, where it does so only when asked to.

    Raises:
        StepError: when a node's kernel refuses.
    """
    for node in found:
        said = output_of(["docker", "exec", "-i", node.name, "sh", "-s"], stdin=debian.recipe("count-io.sh"))
        if said:
            console.say(f"note: {said}")


def delete() -> None:
    """Deletes the cluster and its context.

    Raises:
        StepError: when kind cannot.
    """
    output_of(["kind", "delete", "cluster", "--name", CLUSTER], timeout=120)


def export_logs(settings: Settings) -> Path:
    """Copies what the nodes and their containers logged to a folder, and returns that."""
    kept = settings.logs / "kind"
    shutil.rmtree(kept, ignore_errors=True)
    succeeds(["kind", "export", "logs", "--name", CLUSTER, str(kept)], timeout=120)
    return kept


def answers(console: Console, patience: float = ANSWER_SECONDS) -> bool:
    """Whether the API server answers and every node is ready, each within `patience` seconds."""
    started, told = time.monotonic(), False
    while True:
        try:
            _ensure_context()
            output_of(kubectl("get", "--raw", "/readyz", "--request-timeout=15s"), timeout=20)
        except StepError as error:
            if time.monotonic() - started > patience:
                return False
            if not told:
                console.say(f"waiting {duration(patience)} at most for the cluster to answer: {error}")
                told = True
            time.sleep(1)
        else:
            ready = ("wait", "--for=condition=Ready", "nodes", "--all", f"--timeout={patience}s")
            return succeeds(kubectl(*ready), timeout=patience + 10)


def _ensure_context() -> None:
    """Puts the context into the user's kubeconfig if it is not there or belongs to a former cluster."""
    ours = output_of(["kind", "get", "kubeconfig", "--name", CLUSTER])
    theirs = subprocess.run(
        kubectl("config", "view", "--raw", "--minify"), capture_output=True, text=True, check=False
    ).stdout
    if not same_cluster(ours, theirs):
        output_of(["kind", "export", "kubeconfig", "--name", CLUSTER])


def same_cluster(ours: str, theirs: str) -> bool:
    """Whether a kubeconfig names the server and the authority that another one names."""
    facts = [line.strip() for line in ours.splitlines() if "server:" in line or "authority-data:" in line]
    return bool(facts) and all(fact in theirs for fact in facts)


def create(settings: Settings, image: str, console: Console) -> None:
    """Makes the cluster and waits until its nodes and its DNS are ready.

    Raises:
        StepError: when it does not come up; what its nodes logged is kept, they are not.
    """
    own_network = not _has_network_plugin(image)
    config = configuration(
        settings.workers or 0,
        cgroup_version=images.host_cgroup_version(),
        own_network=own_network,
        restrict_oom_score=oci_runtime.host_lacks_capability(oci_runtime.host_status()),
    )
    command = ["kind", "create", "cluster", "--name", CLUSTER, "--image", image, "--config", "-", "--retain"]
    title = f"making the kind cluster {CLUSTER} on {image.partition('@')[0]}"
    try:
        console.run(title, command, step="kind", stdin=config)
        _await_pod_network(own_network, console)
    except StepError as error:
        kept = export_logs(settings)
        delete()
        hint = f"{error.hint} What its nodes logged is in {kept}.".strip()
        raise StepError(str(error), hint=hint, log=error.log) from error
    except BaseException:
        delete()  # half a cluster is of no use to the next run
        raise


def _await_pod_network(own_network: bool, console: Console) -> None:
    timeout = f"--timeout={READY_SECONDS}s"
    if own_network:
        subnets = kubectl("wait", "--for=jsonpath={.spec.podCIDR}", "nodes", "--all", timeout)
        output_of(subnets, timeout=READY_SECONDS + 10)
        _connect_pods()
    ready = kubectl("wait", "--for=condition=Ready", "nodes", "--all", timeout)
    console.run("waiting for the nodes", ready, step="kind")
    dns = kubectl("--namespace", "kube-system", "rollout", "status", "deployment/coredns", timeout)
    console.run("waiting for the cluster's DNS", dns, step="kind")


def _connect_pods() -> None:
    network.connect(network.parse_nodes(output_of(kubectl("get", "nodes", "-o", "json"))))


def _has_network_plugin(image: str) -> bool:
    """Whether a node image brings kind's own network plugin.

    Raises:
        StepError: when the image cannot be looked into.
    """
    probe = "if test -e /kind/manifests/default-cni.yaml; then echo yes; else echo no; fi"
    return output_of(["docker", "run", "--rm", "--entrypoint", "sh", image, "-c", probe]) == "yes"
