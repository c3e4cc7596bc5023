{{/*
Arithmetic of quantities in CEL, exact: CPU as int milli-CPU, memory as int bytes, both rounded up as the API server
rounds. operator/tenantquota/domain computes the same in Python.
*/}}

{{/*
CEL: the quantity in milli-CPU. asApproximateFloat alone would turn 0.29 into 289.99…; the comparison makes it exact:
truncation is at most one below the result. Argument: a CEL string expression that holds a quantity of at most 2^53 m.
*/}}
{{- define "tenantquota.milli" -}}
[int(quantity({{ . }}).asApproximateFloat() * 1000.0)].map(n, quantity(string(n) + 'm').isLessThan(quantity({{ . }})) ? n + 1 : n)[0]
{{- end }}

{{/* CEL: the quantity in bytes, likewise. */}}
{{- define "tenantquota.bytes" -}}
[int(quantity({{ . }}).asApproximateFloat())].map(n, quantity(string(n)).isLessThan(quantity({{ . }})) ? n + 1 : n)[0]
{{- end }}

{{/*
CEL: the lesser of a declared quantity and a cap, as int. It compares before it converts, so that a giant declared
value can't overflow. Arguments: declared (CEL string), cap (CEL int).
*/}}
{{- define "tenantquota.milliAtMost" -}}
quantity({{ .declared }}).compareTo(quantity(string({{ .cap }}) + 'm')) >= 0 ? {{ .cap }} : {{ include "tenantquota.milli" .declared }}
{{- end }}

{{- define "tenantquota.bytesAtMost" -}}
quantity({{ .declared }}).compareTo(quantity(string({{ .cap }}))) >= 0 ? {{ .cap }} : {{ include "tenantquota.bytes" .declared }}
{{- end }}

{{/* CEL variables: the quota's numbers. An absent request is -1. */}}
{{- define "tenantquota.quotaVariables" -}}
- name: quotaCPU
  expression: |-
    {{- include "tenantquota.milli" "string(params.spec.container.limits.cpu)" | nindent 4 }}
- name: quotaMemory
  expression: |-
    {{- include "tenantquota.bytes" "string(params.spec.container.limits.memory)" | nindent 4 }}
- name: quotaRequestCPU
  expression: |-
    has(params.spec.container.requests) && has(params.spec.container.requests.cpu) ?
      {{- include "tenantquota.milli" "string(params.spec.container.requests.cpu)" | nindent 6 }} : -1
- name: quotaRequestMemory
  expression: |-
    has(params.spec.container.requests) && has(params.spec.container.requests.memory) ?
      {{- include "tenantquota.bytes" "string(params.spec.container.requests.memory)" | nindent 6 }} : -1
{{- end }}

{{/*
CEL variable `offences`: what is wrong with the resources of `variables.containers`, a list of texts for people. Needs
`variables.containers` and tenantquota.quotaVariables.
*/}}
{{- define "tenantquota.offences" -}}
- name: ceilings
  expression: |-
    {'limits': {'cpu': string(variables.quotaCPU) + 'm', 'memory': string(variables.quotaMemory)},
     'requests': {'cpu': variables.quotaRequestCPU < 0 ? '' : string(variables.quotaRequestCPU) + 'm',
                  'memory': variables.quotaRequestMemory < 0 ? '' : string(variables.quotaRequestMemory)}}
- name: offences
  expression: |-
    variables.containers.map(c, ['limits', 'requests'].map(part, ['cpu', 'memory'].map(resource,
      !c.?resources[?part][?resource].hasValue() ? 'container ' + c.name + ' has no ' + part + '.' + resource :
      part == 'limits' && quantity(string(c.resources.limits[resource])).compareTo(quantity('0')) <= 0 ?
        'container ' + c.name + ' asks for limits.' + resource + ' 0, which means no limit' :
      variables.ceilings[part][resource] != '' && quantity(string(c.resources[part][resource])).isGreaterThan(quantity(variables.ceilings[part][resource])) ?
        'container ' + c.name + ' asks for ' + part + '.' + resource + ' ' + string(c.resources[part][resource]) +
        ' where at most ' + string(params.spec.container[part][resource]) + ' is allowed' :
      '').filter(text, text != ''))).flatten(2)
{{- end }}
