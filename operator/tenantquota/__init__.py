"""TenantQuota operator: one tenant's agents can't spoil another's.

Layers, each of which knows only those below it (held by import-linter):

- ``controller``: Kopf handlers, the reconciler and its actions; ``node``: the agent on each node
- ``kube``, ``metrics``: the API server; Prometheus
- ``domain``: every decision, as pure functions
- ``api``: the custom resources as pydantic models; the source of ``crds/``
"""
