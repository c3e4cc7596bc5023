{{/* Names are fixed, not derived from the release: the policies and the CRD are cluster-wide, so a cluster holds one release. */}}
{{- define "tenantquota.controller" -}}
tenantquota-controller
{{- end }}

{{- define "tenantquota.node" -}}
tenantquota-node
{{- end }}

{{/*
The node agents' user. In the node's PID namespace a process may do to others of its user what the kernel lets a user
do, so it is nobody else's: not 65532, which many images run as.
*/}}
{{- define "tenantquota.nodeUser" -}}
64021
{{- end }}

{{- define "tenantquota.selectorLabels" -}}
app.kubernetes.io/name: tenantquota
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* app.kubernetes.io/managed-by is Helm here; on objects that the controller makes it is tenantquota. */}}
{{- define "tenantquota.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "tenantquota.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tenantquota.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* JSON list of the namespaces that stay untouched. */}}
{{- define "tenantquota.excludedNamespaces" -}}
{{ concat (list "kube-system" "kube-public" "kube-node-lease" .Release.Namespace) .Values.admission.excludedNamespaces | uniq | toJson }}
{{- end }}
