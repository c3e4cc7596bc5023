"""CPU that a pod goes on to count as requesting after it was lifted (``weights``).

The kubelet shows a lifted pod's weight as its CPU request until it looks at the pod again, 60 to 90 s later
where nothing happens to it, and the scheduler counts what is shown. A pod that changes is looked at at once.
"""

from typing import Final

from tenantquota.domain.model import Pod
from tenantquota.domain.reports import NodeAccount

SHOWN_AGAIN_SECONDS: Final = 10.0
"""So often, at most, is the kubelet had to look: where the weights can't be given back, it shows the same."""


def outlives_its_lift(pod: Pod, account: NodeAccount | None) -> bool:
    """Whether the pod counts as requesting more CPU than it does, though nobody is lifted on its node: that
    is done only while somebody yields there. False while the node's agent doesn't say."""
    told = account is not None and not account.stale and not account.report.yielding
    return told and pod.cpu_excess_milli > 0
