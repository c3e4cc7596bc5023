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
