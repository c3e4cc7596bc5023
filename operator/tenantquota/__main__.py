"""``python -m tenantquota controller``."""

from tenantquota.controller.app import run
from tenantquota.settings import parse

if __name__ == "__main__":
    run(parse())
