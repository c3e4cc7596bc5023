"""``python -m tenantquota controller``, ``… node`` and ``… weights``."""

import os
import sys
from collections.abc import Sequence

from tenantquota.settings import ControllerSettings, WeightsSettings, parse


def main(arguments: Sequence[str] | None = None) -> int:
    """What the program is to exit with.

    Each part is imported only when it is asked for: Kopf and ``kubernetes`` take 38 MB, the whole node agent
    without them 22.
    """
    settings = parse(arguments)
    if isinstance(settings, ControllerSettings):
        from tenantquota.controller.app import run as run_controller  # noqa: PLC0415

        run_controller(settings)
        return 0
    if isinstance(settings, WeightsSettings):
        from tenantquota.node.weights import run as run_weights  # noqa: PLC0415

        return run_weights(settings)
    from tenantquota.node.app import run as run_node  # noqa: PLC0415

    return run_node(settings, os.environ)


if __name__ == "__main__":
    sys.exit(main())
