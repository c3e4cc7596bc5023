"""``python -m tenantquota.cli``, where the console script is not on the PATH."""

import sys

from tenantquota.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
