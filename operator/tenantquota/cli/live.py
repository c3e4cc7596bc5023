"""``kubectl tenantquota explain`` and ``top``: what the cluster says now.

Asked through kubectl, which knows the user's configuration, context and credentials.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tenantquota.cli.explain import explain, top

Get = Callable[[Sequence[str]], Any]
"""What ``kubectl get ARGUMENTS --output=json`` prints, parsed; raises KubectlError."""


class KubectlError(Exception):
    """kubectl's own words."""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    story = commands.add_parser(
        "explain", help="tell what is the case with a TenantQuota, and how it came to that"
    )
    story.add_argument("name", metavar="NAMESPACE/NAME", type=_name)
    story.add_argument("--context", help="of the kubeconfig; by default the current one")
    story.set_defaults(run=lambda options: _print(lambda get: _story(get, *options.name), options.context))
    table = commands.add_parser("top", help="list all TenantQuotas with what their agents use")
    table.add_argument("--context", help="of the kubeconfig; by default the current one")
    table.set_defaults(run=lambda options: _print(_table, options.context))


def _name(text: str) -> tuple[str, str]:
    namespace, _, name = text.partition("/")
    if not namespace or not name or "/" in name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAMESPACE/NAME")
    return namespace, name


def _story(get: Get, namespace: str, name: str) -> str:
    quota = get(("tenantquotas.tenantquota.io", name, f"--namespace={namespace}"))
    return explain(quota, get(("nodereports.tenantquota.io",))["items"], datetime.now(UTC))


def _table(get: Get) -> str:
    quotas = get(("tenantquotas.tenantquota.io", "--all-namespaces"))["items"]
    return top(quotas, get(("nodereports.tenantquota.io",))["items"])


def _print(made: Callable[[Get], str], context: str | None) -> int:
    def get(arguments: Sequence[str]) -> Any:
        command = [
            "kubectl",
            "get",
            *arguments,
            "--output=json",
            *([f"--context={context}"] if context else []),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise KubectlError(
                "kubectl is not on the PATH: install it, since it is asked for all objects"
            ) from None
        if done.returncode:
            raise KubectlError(done.stderr.strip())
        return json.loads(done.stdout)

    try:
        print(made(get))
    except KubectlError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
