"""The controller's settings, from its command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tenantquota.api.names import SYSTEM_NAMESPACES

LOG_LEVELS: Final = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class ControllerSettings:
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


def parse(arguments: Sequence[str] | None = None) -> ControllerSettings:
    """Exits with 2 and a message that says what is wrong, as argparse does."""
    defaults = ControllerSettings()
    parser = argparse.ArgumentParser(prog="python -m tenantquota", description="The TenantQuota operator.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    controller = commands.add_parser(
        "controller",
        help="watch TenantQuotas and set the limits of their pods",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    controller.add_argument("--log-level", choices=LOG_LEVELS, default=defaults.log_level, help="least level")
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
    controller.add_argument(
        "--system-namespaces",
        type=_names,
        default=",".join(sorted(SYSTEM_NAMESPACES)),
        help="namespaces never touched beside Kubernetes' own, separated by commas",
    )
    controller.add_argument(
        "--http-port", type=_positive_int, default=defaults.http_port, help="/metrics, /healthz and /readyz"
    )
    options = parser.parse_args(arguments)
    return ControllerSettings(
        log_level=options.log_level,
        resync_seconds=options.resync_seconds,
        concurrency=options.concurrency,
        system_namespaces=SYSTEM_NAMESPACES | options.system_namespaces,
        http_port=options.http_port,
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
