"""The bounds of the specification; what was measured is in the reports."""

from typing import Final

QUOTA_ACTIVE_WITHIN_SECONDS: Final = 60
"""From when a quota is made or changed."""
FOUND_WITHIN_SECONDS: Final = 30
MITIGATED_WITHIN_SECONDS: Final = 60
RECOVERED_WITHIN_SECONDS: Final = 120
DEGRADATION_AT_MOST_PERCENT: Final = 10
"""Of what others' customers wait."""
RESPONSE_WITHIN_SECONDS: Final = 2
