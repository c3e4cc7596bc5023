"""From a bare machine to a kind cluster with the operator in it: `python3 -m e2e.cluster --help`."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this runs before there is an environment that guarantees it
    sys.exit(
        f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=/path/to/python3.11"
    )
