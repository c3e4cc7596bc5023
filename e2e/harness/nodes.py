"""Programs on the nodes: how the suite gets at cgroup files, which no API tells of.

A node of a kind cluster on this machine is a container of its own, where ``docker exec`` runs a script. Onto
any other node leads a pod of the suite's that is privileged and sees the node's processes and cgroup files.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from e2e.cluster.deploy import AGENT
from e2e.harness.cluster import NAMESPACE, NODE, Cluster, Manifest

READER: Final = "reader"
KIND_PREFIX: Final = "kind-"
START_SECONDS: Final = 120
_PRIVILEGED: Final = {"pod-security.kubernetes.io/enforce": "privileged"}
_readers: Final[dict[str, tuple[str, ...]]] = {}
"""Node → what runs a command in its reader. Of this process, since whoever reads knows the node by name."""


def command(node: str) -> list[str]:
    """What a command is put behind that is to run on a node and reads its standard input."""
    return list(_readers.get(node) or ("docker", "exec", "-i", node))


@contextmanager
def within_reach(cluster: Cluster) -> Iterator[None]:
    """`command` works for every node that takes pods or has them.

    Raises:
        DeadlineExceededError: when a reader doesn't get ready, with the state of its pod.
    """
    here = local_nodes(cluster.context)
    names = [node["metadata"]["name"] for node in cluster.objects(NODE)]
    far = sorted(set(names) - here)
    if not far:
        yield
        return
    with cluster.temporary_namespaces("e2e", "node-readers") as (namespace,):
        cluster.patch(NAMESPACE, namespace, None, {"metadata": {"labels": _PRIVILEGED}})
        for number, node in enumerate(far):
            cluster.apply(reader(namespace, f"{READER}-{number}", node))
        cluster.wait_ready(namespace, len(far), deadline_seconds=START_SECONDS)
        for number, node in enumerate(far):
            where = ("exec", "--stdin", f"--namespace={namespace}", f"{READER}-{number}", "--")
            _readers[node] = (*cluster.kubectl_command, *where)
        try:
            yield
        finally:
            for node in far:
                del _readers[node]


def local_nodes(context: str) -> set[str]:
    """The nodes of the context's cluster that are containers of this machine."""
    if not context.startswith(KIND_PREFIX):
        return set()
    label = f"label=io.x-k8s.kind.cluster={context.removeprefix(KIND_PREFIX)}"
    try:
        command = ["docker", "ps", "--filter", label, "--format", "{{.Names}}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return set()
    return set(done.stdout.split())


def reader(namespace: str, name: str, node: str) -> Manifest:
    """The pod that reads, and writes where a test does, a node's cgroup files."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "nodeName": node,
            "hostPID": True,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": READER,
                    "image": AGENT.current,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "infinity"],
                    "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
                    "securityContext": {"privileged": True, "runAsUser": 0, "runAsGroup": 0},
                    "volumeMounts": [{"name": "cgroup", "mountPath": "/sys/fs/cgroup"}],
                }
            ],
            "volumes": [{"name": "cgroup", "hostPath": {"path": "/sys/fs/cgroup", "type": "Directory"}}],
        },
    }
