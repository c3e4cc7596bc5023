"""Names that the operator, the chart and the users' manifests share."""

from typing import Final

GROUP: Final = "tenantquota.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

TENANT_LABEL: Final = f"{GROUP}/tenant"
"""On every pod that a quota holds: the tenant it is counted to. Written at admission or adoption."""

DECLARED_ANNOTATION: Final = f"{GROUP}/declared-resources"
"""On every pod that a quota holds: the resources its author declared, as JSON
``{container: {"limits": {...}, "requests": {...}}}``. What comes back when the quota is deleted, and the
ceiling when the quota is raised. Written at admission or adoption, kept from then on."""

ASKED_AGAIN_ANNOTATION: Final = f"{GROUP}/resize-asked-again"
"""On a pod whose resize the kubelet couldn't do: when it was last had to try again."""

CORRELATION_ANNOTATION: Final = f"{GROUP}/correlation-id"
"""On an Event about a decision: the ``correlationId`` of its records in the audit log."""

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGER: Final = "tenantquota"
"""The field manager of every write, and the value of the managed-by label of owned objects."""

SYSTEM_NAMESPACES: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Never touched, whatever quotas they hold; the chart adds the operator's own namespace."""
