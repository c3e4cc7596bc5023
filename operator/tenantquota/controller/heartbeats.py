"""How old each node's report is, by the controller's own clock."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tenantquota.domain.reports import NodeAccount, NodeReport


@dataclass(slots=True)
class Heartbeats:
    """A report that differs from the one before came just now, whatever the node's clock says. Only for
    the first of a node, as after a restart, the two clocks are compared; where they are apart, the next
    report sets that right."""

    monotonic: Callable[[], float] = time.monotonic
    unix_time: Callable[[], float] = time.time
    _since: dict[str, tuple[NodeReport, float]] = field(default_factory=dict)
    """Node → its last report, and when that came (monotonic seconds)."""
    _namespaces: dict[str, frozenset[str]] = field(default_factory=dict)
    """Node → the namespaces of which its last report told."""

    def came(self, report: NodeReport) -> frozenset[str]:
        """The namespaces of which the report, or the one before it, tells."""
        self._note(report)
        before = self._namespaces.get(report.node, frozenset())
        self._namespaces[report.node] = report.namespaces
        return before | report.namespaces

    def ended(self, node: str) -> frozenset[str]:
        """The namespaces of which the node's report told that is no more."""
        self._since.pop(node, None)
        return self._namespaces.pop(node, frozenset())

    def account(self, report: NodeReport) -> NodeAccount:
        """The report with its age."""
        return NodeAccount(report, self.monotonic() - self._note(report))

    def ages(self) -> Iterator[tuple[str, float]]:
        """Each node, and how many seconds ago its agent was last heard of."""
        now = self.monotonic()
        yield from ((node, now - since) for node, (_, since) in self._since.items())

    def _note(self, report: NodeReport) -> float:
        last = self._since.get(report.node)
        if last is not None and last[0] == report:
            return last[1]
        age = max(0.0, self.unix_time() - report.heartbeat_seconds) if last is None else 0.0
        since = self.monotonic() - age
        self._since[report.node] = report, since
        return since
