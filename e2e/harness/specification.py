"""The bounds of the specification for noisy neighbours; what was measured is in the reports."""

from typing import Final

FOUND_WITHIN_SECONDS: Final = 30
MITIGATED_WITHIN_SECONDS: Final = 60
RECOVERED_WITHIN_SECONDS: Final = 120
