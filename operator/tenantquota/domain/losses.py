"""What tenants lose to those who take more than their share, judged over ten seconds.

Where victims' requests coincide they wait for each other, however well a hog is held, and a single second
doesn't tell for whom: beside hogs that yielded some waited one to four times as long as they computed in one
second, and a tenth over ten of them (measured, decision 27). CPU is in ms a second.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tenantquota.domain.contention import Harm, Second

LOSS_SECONDS: Final = 10
FELT_PART: Final = 0.25
FELT_MS: Final = 10.0
"""A loss is felt, and told, from this part of the CPU time that the victim uses and this much a second."""
TOO_MUCH_MS: Final = 20.0
"""And where all who lose such a part lose so much a second together, those who cause it though they yield are
capped: for less a limit isn't worth its resize. Where many tenants share few CPUs, each uses some
milliseconds a second."""


class Loss(NamedTuple):
    """Of one tenant. Means over all seconds since somebody took more than its share, later over about
    LOSS_SECONDS."""

    seconds: int = 0
    """How many it is the mean of, up to LOSS_SECONDS."""
    lost_ms: float = 0.0
    """Waited beyond its quiet level."""
    used_ms: float = 0.0

    @property
    def large(self) -> bool:
        """For what it uses."""
        return self.lost_ms >= FELT_PART * self.used_ms

    @property
    def felt(self) -> bool:
        return self.large and self.lost_ms >= FELT_MS


def too_much(of: Iterable[Loss]) -> bool:
    """Whether those whose loss is large lose too much together."""
    return sum(each.lost_ms for each in of if each.large) >= TOO_MUCH_MS


def losses(before: Mapping[str, Loss], second: Second, harms: Iterable[Harm]) -> dict[str, Loss]:
    """What each tenant loses, by name, a second later.

    Args:
        before: the same of a second ago; a tenant that isn't in it has lost nothing yet.
        harms: those of this second.
    """
    lost = {harm.victim: harm.lost_ms for harm in harms}
    found = {}
    for each in second.tenants:
        former = before.get(each.tenant, Loss())
        seconds = min(LOSS_SECONDS, former.seconds + 1)
        found[each.tenant] = Loss(
            seconds,
            former.lost_ms + (lost.get(each.tenant, 0.0) - former.lost_ms) / seconds,
            former.used_ms + (each.used_ms - former.used_ms) / seconds,
        )
    return found
