"""A canary per tenant: a text that nobody else has. Wherever another tenant's turns up, isolation has failed.

Plain text is searched, in any case of letters; a canary that somebody encoded isn't found.
"""

import re
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

CANARY: Final = "canary"
"""The name that a tenant's agent remembers it by."""
REPLY: Final = "reply"
REDIS: Final = "Redis"
POSTGRES: Final = "PostgreSQL"
NOTHING: Final = r"(?!)"
"""A pattern that matches no text."""


@dataclass(frozen=True)
class Finding:
    """
    Attributes:
        tenant: whose it is, by the service that had it: the tenant asked, the key's prefix, the row's column.
        place: where, for people.
        text: all of it.
    """

    tenant: str
    place: str
    text: str


@dataclass(frozen=True)
class Stranger:
    """A canary where it must not be.

    Attributes:
        tenant: with whom.
        owner: whose it is.
    """

    tenant: str
    place: str
    owner: str

    def __str__(self) -> str:
        return f"{self.place} of {self.tenant or 'nobody'} has the canary of {self.owner}"


class Search:
    """Looks at one finding after the other, and keeps what it saw, not where.

    Attributes:
        strangers: canaries where they must not be; none, if tenants are kept apart.
        looked_at: how many findings, by place.
        seen: how often each tenant's own canary was seen, by (tenant, place).
    """

    def __init__(self, canaries: Mapping[str, str]) -> None:
        """
        Args:
            canaries: by tenant.
        """
        self._owners = {canary: tenant for tenant, canary in canaries.items()}
        self._any = re.compile("|".join(map(re.escape, self._owners)) or NOTHING, re.IGNORECASE)
        self.strangers: list[Stranger] = []
        self.looked_at: Counter[str] = Counter()
        self.seen: Counter[tuple[str, str]] = Counter()

    def look(self, finding: Finding) -> None:
        self.looked_at[finding.place] += 1
        for owner in {self._owners[match.lower()] for match in self._any.findall(finding.text)}:
            if owner == finding.tenant:
                self.seen[owner, finding.place] += 1
            else:
                self.strangers.append(Stranger(finding.tenant, finding.place, owner))

    def unseen(self, places: Iterable[str]) -> list[tuple[str, str]]:
        """The tenants and places where the own canary should have been and wasn't: a search that is blind
        there would find no stranger either."""
        wanted = [(tenant, place) for tenant in self._owners.values() for place in places]
        return [each for each in wanted if not self.seen[each]]


def search(canaries: Mapping[str, str], findings: Iterable[Finding]) -> Search:
    """What canaries are in the findings, and with whom.

    Args:
        canaries: by tenant.
    """
    made = Search(canaries)
    for finding in findings:
        made.look(finding)
    return made


def new() -> str:
    """A canary. Letters and digits alone: JSON and SQL write it as it is."""
    return f"canary{secrets.token_hex(12)}"
