"""The command line of ``kubectl tenantquota``."""

import argparse
import sys
from collections.abc import Sequence

from tenantquota.cli import live, replay


def main(arguments: Sequence[str] | None = None) -> int:
    """What the program is to exit with: 2 where a file or an option is wrong."""
    parser = argparse.ArgumentParser(prog="kubectl tenantquota", description="Look into TenantQuotas.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    live.add_to(commands)
    replay.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except BrokenPipeError:  # such as of ``| head``; closing quietly is what other programs do
        sys.stderr.close()
        return 0
    return code
