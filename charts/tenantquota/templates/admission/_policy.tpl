{{/* What the policies have in common. */}}

{{- define "tenantquota.paramKind" -}}
apiVersion: tenantquota.io/v1alpha1
kind: TenantQuota
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
request.userInfo.username == 'system:serviceaccount:{{ .Release.Namespace }}:{{ include "tenantquota.controller" . }}' ||
authorizer.group('tenantquota.io').resource('tenantquotas').namespace(request.namespace).check('update').allowed()
{{- end }}

{{/* CEL: the tenant's name. */}}
{{- define "tenantquota.tenant" -}}
params.spec.?tenant.orValue(request.namespace)
{{- end }}

{{/* CEL: how messages name the quota. */}}
{{- define "tenantquota.quotaName" -}}
'TenantQuota ' + params.metadata.namespace + '/' + params.metadata.name
{{- end }}

{{/*
matchConstraints of a policy: all namespaces but the system's and the operator's own. They stand in the policy and not
in its binding, since a policy whose TenantQuota CRD the API server doesn't know (yet) refuses everything that it
matches before it looks at bindings. Arguments: root, resources, operations (lists; of the core group).
*/}}
{{- define "tenantquota.matchConstraints" -}}
namespaceSelector:
  matchExpressions:
    # The API server sets this label itself, so nobody can take a namespace out by labels.
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ include "tenantquota.excludedNamespaces" .root }}
resourceRules:
  - apiGroups: [""]
    apiVersions: [v1]
    resources: {{ .resources | toJson }}
    operations: {{ .operations | toJson }}
{{- end }}

{{/*
paramRef of a binding: every TenantQuota of the object's own namespace; a namespace without one is free.
*/}}
{{- define "tenantquota.paramRef" -}}
selector: {}
parameterNotFoundAction: Allow
{{- end }}

{{/* The binding of a validating policy. Arguments: root, policy (its name), perQuota (whether it has params). */}}
{{- define "tenantquota.binding" -}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .policy }}
  labels:
    {{- include "tenantquota.labels" .root | nindent 4 }}
spec:
  policyName: {{ .policy }}
  validationActions: [Deny]
  {{- if .perQuota }}
  paramRef:
    {{- include "tenantquota.paramRef" . | nindent 4 }}
  {{- end }}
{{- end }}

{{/*
CEL: the labels and annotations of a pod that TenantQuota keeps. Argument: "object" or "oldObject".
*/}}
{{- define "tenantquota.marks" -}}
[{{ . }}.metadata.?labels.orValue({}), {{ . }}.metadata.?annotations.orValue({})].map(marks,
  marks.transformMap(key, value, key.startsWith('tenantquota.io/'), value))
{{- end }}
