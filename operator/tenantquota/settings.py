"""The settings of each part, from its command line.

NamedTuples, since the node agent would load ``dataclasses`` for nothing else.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tenantquota.api.names import SYSTEM_NAMESPACES

WEIGHTS_SOCKET: Final = Path("/run/tenantquota/weights.sock")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class ControllerSettings(NamedTuple):
    log_level: str = "info"
    resync_seconds: float = 15.0
    """How often every namespace with a quota is looked at though nothing was heard of it: the safety net
    below the watches, and the rhythm in which memory limits follow usage down."""
    concurrency: int = 10
    """Requests to the API server at once. More gain nothing: 10 at a time have 50 resizes accepted within a
    second on two cores, and the kubelet carries them out one after another."""
    system_namespaces: frozenset[str] = SYSTEM_NAMESPACES
    """Namespaces whose pods are never changed, the operator's own among them."""
    http_port: int = 8080


class NodeSettings(NamedTuple):
    log_level: str = "info"
    report_seconds: int = 30
    """The longest time between two writes of the NodeReport. Two a minute are 80 a second from 2500 nodes; a
    node's own kubelet renews its Lease every 10 s."""
    cgroup_root: Path = Path("/sys/fs/cgroup")
    proc_root: Path = Path("/proc")
    system_namespaces: frozenset[str] = SYSTEM_NAMESPACES
    """Namespaces in which a quota holds nobody."""
    http_port: int = 8080
    api_server: str | None = None
    """None: where the kubelet says that it is."""
    weights_socket: Path = WEIGHTS_SOCKET
    """Where the writer of CPU weights takes orders."""
    credentials: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
    """With ``token``, which also names the node, and ``ca.crt``."""


class WeightsSettings(NamedTuple):
    log_level: str = "info"
    cgroup_root: Path = Path("/sys/fs/cgroup")
    socket: Path = WEIGHTS_SOCKET
    agent_user: int = 64021
    """Whose orders count."""


Settings = ControllerSettings | NodeSettings | WeightsSettings


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Exits with 2 and a message that says what is wrong, as argparse does."""
    parser = argparse.ArgumentParser(prog="python -m tenantquota", description="The TenantQuota operator.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_controller(commands)
    _add_node(commands)
    _add_weights(commands)
    options = parser.parse_args(arguments)
    if options.command == "weights":
        return WeightsSettings(options.log_level, options.cgroup_root, options.socket, options.agent_user)
    if options.command == "node":
        return NodeSettings(
            log_level=options.log_level,
            report_seconds=options.report_seconds,
            cgroup_root=options.cgroup_root,
            proc_root=options.proc_root,
            system_namespaces=SYSTEM_NAMESPACES | options.system_namespaces,
            http_port=options.http_port,
            api_server=options.api_server,
            weights_socket=options.weights_socket,
            credentials=options.credentials,
        )
    return ControllerSettings(
        log_level=options.log_level,
        resync_seconds=options.resync_seconds,
        concurrency=options.concurrency,
        system_namespaces=SYSTEM_NAMESPACES | options.system_namespaces,
        http_port=options.http_port,
    )


Commands = argparse._SubParsersAction  # the type has no public name


def _add_controller(commands: "Commands[argparse.ArgumentParser]") -> None:
    defaults = ControllerSettings()
    controller = commands.add_parser(
        "controller",
        help="watch TenantQuotas and set the limits of their pods",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_common(controller, defaults.log_level, defaults.http_port)
    controller.add_argument(
        "--resync-seconds",
        type=_positive_float,
        default=defaults.resync_seconds,
        help="how often every quota is looked at, in seconds",
    )
    controller.add_argument(
        "--concurrency",
        type=_positive_int,
        default=defaults.concurrency,
        help="requests to the API server at once",
    )


def _add_node(commands: "Commands[argparse.ArgumentParser]") -> None:
    defaults = NodeSettings()
    node = commands.add_parser(
        "node",
        help="read what the tenants' containers on this node use, and report it",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_common(node, defaults.log_level, defaults.http_port)
    node.add_argument(
        "--report-seconds",
        type=_report_seconds,
        default=defaults.report_seconds,
        help="the longest time between two writes of the NodeReport",
    )
    node.add_argument(
        "--cgroup-root", type=Path, default=defaults.cgroup_root, help="the node's cgroup file system"
    )
    node.add_argument(
        "--proc-root",
        type=Path,
        default=defaults.proc_root,
        help="a proc file system of the node's PID namespace, in which the agent must be, too",
    )
    node.add_argument(
        "--weights-socket",
        type=Path,
        default=defaults.weights_socket,
        help="where 'python -m tenantquota weights' takes orders",
    )
    node.add_argument("--api-server", help="https://HOST:PORT; by default the cluster that the pod is in")
    node.add_argument(
        "--credentials",
        type=Path,
        default=defaults.credentials,
        help="a folder with ca.crt and a token that is bound to a node",
    )


def _add_weights(commands: "Commands[argparse.ArgumentParser]") -> None:
    defaults = WeightsSettings()
    weights = commands.add_parser(
        "weights",
        help="write the CPU weights of pods that the node agent asks for",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_log_level(weights, defaults.log_level)
    weights.add_argument(
        "--cgroup-root",
        type=Path,
        default=defaults.cgroup_root,
        help="the node's cgroup file system, writable",
    )
    weights.add_argument("--socket", type=Path, default=defaults.socket, help="where orders are taken")
    weights.add_argument(
        "--agent-user", type=int, default=defaults.agent_user, help="the user whose orders count"
    )


def _add_log_level(parser: argparse.ArgumentParser, log_level: str) -> None:
    parser.add_argument("--log-level", choices=LOG_LEVELS, default=log_level, help="least level")


def _add_common(parser: argparse.ArgumentParser, log_level: str, http_port: int) -> None:
    _add_log_level(parser, log_level)
    parser.add_argument(
        "--system-namespaces",
        type=_names,
        default=",".join(sorted(SYSTEM_NAMESPACES)),
        help="namespaces never touched beside Kubernetes' own, separated by commas",
    )
    parser.add_argument(
        "--http-port", type=_positive_int, default=http_port, help="/metrics, /healthz and /readyz"
    )


def _names(text: str) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",") if name.strip())


def _positive_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _positive_int(text: str) -> int:
    value = _positive_float(text)
    if not value.is_integer():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(value)


def _report_seconds(text: str) -> int:
    value = _positive_int(text)
    if not 5 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 5 and 3600 seconds")
    return value
