"""The pods' network where the node image lacks kind's own plugin: `ptp`, and static routes between nodes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from e2e.cluster.console import output_of, succeeds

POD_SUBNET = "10.244.0.0/16"
PLUGIN_FILE = "/etc/cni/net.d/10-ptp.conflist"


@dataclass(frozen=True)
class NodeNetwork:
    """What it takes to reach the pods of one node."""

    node: str
    address: str
    pod_subnet: str


def parse_nodes(node_list: str) -> list[NodeNetwork]:
    """The network of each node in what `kubectl get nodes -o json` prints, once pod subnets are assigned."""
    return [
        NodeNetwork(
            node=node["metadata"]["name"],
            address=next(
                each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"
            ),
            pod_subnet=node["spec"]["podCIDR"],
        )
        for node in json.loads(node_list)["items"]
    ]


def plugin_configuration(pod_subnet: str) -> str:
    """A CNI configuration that gives the pods of a node addresses of its subnet, ports and bandwidth.

    https://github.com/containernetworking/cni/blob/main/SPEC.md
    """
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni-ipam-state",
        "ranges": [[{"subnet": pod_subnet}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}},
    ]
    return json.dumps({"cniVersion": "1.0.0", "name": "ptp", "plugins": plugins})


def routes(networks: Sequence[NodeNetwork]) -> list[tuple[str, list[str]]]:
    """The commands that let pods of different nodes reach each other, each with the node that runs it."""
    return [
        (here.node, ["ip", "route", "replace", there.pod_subnet, "via", there.address])
        for here in networks
        for there in networks
        if here != there
    ]


def masquerade() -> list[str]:
    """The command that gives pods their node's address out of the cluster, where theirs means nothing."""
    rule = f"POSTROUTING -s {POD_SUBNET} ! -d {POD_SUBNET} -j MASQUERADE"
    return ["sh", "-c", f"iptables -t nat -C {rule} 2> /dev/null || iptables -t nat -A {rule}"]


def connected_here(node: str) -> bool:
    """Whether the pods of a node have this network, and not kind's own."""
    return succeeds(["docker", "exec", node, "test", "-e", PLUGIN_FILE])


def connect(networks: Sequence[NodeNetwork]) -> None:
    """Connects the pods of all nodes; changes nothing where they are.

    A node that was started again has its files, but neither routes nor rules.

    Raises:
        StepError: when a node refuses a command.
    """
    for network in networks:
        write = ["docker", "exec", "-i", network.node, "sh", "-c", f"cat > {PLUGIN_FILE}"]
        output_of(write, stdin=plugin_configuration(network.pod_subnet))
        output_of(["docker", "exec", network.node, *masquerade()])
    for node, command in routes(networks):
        output_of(["docker", "exec", node, *command])
