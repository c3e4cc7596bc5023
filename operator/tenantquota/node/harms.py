"""Whom those who take more than their share of one node make wait, second by second."""

import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from tenantquota.domain import blame, contention
from tenantquota.domain.blame import Blame
from tenantquota.domain.contention import Activity, Harm, Over, QuietLevel, Second
from tenantquota.domain.losses import Loss, losses, too_much

LOG: Final = logging.getLogger(__name__)


class Harms:
    """Keeps what is known of the waits of one node's tenants."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._quiet: dict[str, QuietLevel] = {}
        self._losses: dict[str, Loss] = {}
        """By tenant, while anybody takes more than its share."""
        self._blame: blame.State[Harm] = blame.State()
        self.grave: list[Harm] = []
        """Of the last second, those for which whoever yields is to be capped."""
        self.found = 0
        """Victims that were found since the start."""

    def of(self, culprit: str) -> list[Blame[Harm]]:
        """Those that are told of a tenant."""
        return [each for pair, each in self._blame.blames.items() if pair.culprit == culprit]

    def keep(self, tenants: Collection[str]) -> None:
        """Forgets the quiet levels of all others."""
        self._quiet = {tenant: level for tenant, level in self._quiet.items() if tenant in tenants}

    def learn(self, activities: Iterable[Activity], *, full: bool) -> None:
        """
        Args:
            full: what they waited in this second is no quiet level.
        """
        for each in activities:
            level = self._quiet.get(each.tenant, QuietLevel())
            self._quiet[each.tenant] = contention.learned(level, each, full=full)

    def after_second(
        self, second: Second | None, over: Mapping[str, Over], unharmed: Collection[str], now: float
    ) -> None:
        """
        Args:
            second: None while nobody takes more than its share.
            unharmed: the tenants that are nobody's victims, however long they wait.
        """
        if second is None:
            self._losses, self.grave = {}, []
            self._tell((), now)
            return
        found = contention.harms(second.tenants, over, self._quiet)
        harms = [harm for harm in found if harm.victim not in unharmed]
        self._losses = losses(self._losses, second, harms)
        grave = too_much(self._losses.values())
        self.grave = [harm for harm in harms if grave and self._losses[harm.victim].large]
        self._tell([harm for harm in harms if self._losses[harm.victim].felt], now)

    def _tell(self, harms: Iterable[Harm], now: float) -> None:
        self._blame, new = blame.step(self._blame, harms, now)
        for harm in new:
            self.found += 1
            audit = blame.record(harm, self._node, {"waitUs": harm.wait_us, "quietUs": harm.quiet_us})
            message = contention.told(harm, harm.culprits[0].tenant, self._node)
            LOG.info("NeighbourHarmed: %s", message, extra={"audit": audit})
