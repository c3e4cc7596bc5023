{{/*
CEL: whether spec.selector of the quota (params) selects the pod. The one place where that is written; every policy
includes it, and operator/tenantquota/domain says the same in Python.
Argument: the CEL variable that holds the pod, "object" or "oldObject".
Semantics are those of metav1.LabelSelector: all conditions must hold, and NotIn holds for a pod without the label.
*/}}
{{- define "tenantquota.selects" -}}
(!has(params.spec.selector) || (
  (!has(params.spec.selector.matchLabels) || params.spec.selector.matchLabels.all(key,
    {{ . }}.metadata.?labels[?key] == optional.of(params.spec.selector.matchLabels[key]))) &&
  (!has(params.spec.selector.matchExpressions) || params.spec.selector.matchExpressions.all(e,
    e.operator == 'Exists' ? {{ . }}.metadata.?labels[?e.key].hasValue() :
    e.operator == 'DoesNotExist' ? !{{ . }}.metadata.?labels[?e.key].hasValue() :
    e.operator == 'In' ? e.values.exists(value, {{ . }}.metadata.?labels[?e.key] == optional.of(value)) :
    e.values.all(value, {{ . }}.metadata.?labels[?e.key] != optional.of(value))))))
{{- end }}

{{/*
CEL: whether the quota is in force. Observe changes nothing, and a quota that is being deleted no longer holds.
*/}}
{{- define "tenantquota.enforced" -}}
params.spec.?enforcement.orValue('Enforce') != 'Observe' && !has(params.metadata.deletionTimestamp)
{{- end }}

{{/*
CEL: whether the tenant's rules don't bind the one who asks: the controller, and whoever may change the quota itself.
*/}}
{{- define "tenantquota.exempt" -}}
(request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "tenantquota.controller" . }}' ||
  authorizer.group('tenantquota.io').resource('tenantquotas').namespace(request.namespace).check('update').allowed())
{{- end }}

{{/* The tenant's name in CEL. */}}
{{- define "tenantquota.tenant" -}}
params.spec.?tenant.orValue(request.namespace)
{{- end }}

{{/* matchResources of every binding: all namespaces but the system's and the operator's own. */}}
{{- define "tenantquota.matchResources" -}}
namespaceSelector:
  matchExpressions:
    # The API server sets this label itself, so nobody can take a namespace out by labels.
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ include "tenantquota.excludedNamespaces" . }}
{{- end }}
