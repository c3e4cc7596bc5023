"""What the operator costs, against the best there is. Run: ``python -m e2e.bench [limits] [node]``.

*limits*: how fast a quota edit reaches running pods. Two arms, in turn, on the same pods of one node:

- *operator*: one edit of the TenantQuota; the controller does the rest
- *bare loop*: no quota, and a loop that patches ``pods/resize`` of every pod itself, ten at a time

Both are timed from the first request to the moment when the cgroup file of the last pod holds the new limit.
What the operator takes longer is all that its deciding, watching and recording cost.

*node*: what the node agent costs for 50, 150 and 250 containers on its node, idle and busy, against
koordlet's published figures; and how large its reports are, and how many it writes.
"""
