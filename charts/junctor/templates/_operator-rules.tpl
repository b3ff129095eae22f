{{/* Secrets of the whole cluster are read only where the values say so: (.Values.operator) */}}
{{- define "junctor.checkNamespaces" -}}
{{- if not (or .namespaces .allNamespaces) -}}
  {{- fail "operator: nobody said which namespaces the operator serves; set operator.namespaces to their names (recommended: it may read the Secrets of these and of its own namespace) or operator.allNamespaces to true (it may read every Secret of the cluster)" -}}
{{- end -}}
{{- if and .namespaces .allNamespaces -}}
  {{- fail "operator: namespaces and allNamespaces are both set; remove allNamespaces to serve the named namespaces only, or empty namespaces to serve all and let the operator read every Secret of the cluster" -}}
{{- end -}}
{{- end -}}

{{/* What the operator reads of its users, in the whole cluster or in each namespace. */}}
{{- define "junctor.inputRules" -}}
- apiGroups: [junctor.dev]
  resources: [mcpconnectors, mcpregistries]
  verbs: [list, watch]
# Of Secrets only those with the label junctor.dev/credentials are asked for; RBAC cannot express that.
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
{{- end -}}

{{/* Where the operator says what became of connectors and registries. */}}
{{- define "junctor.reportingRules" -}}
- apiGroups: [junctor.dev]
  resources: [mcpconnectors/status, mcpregistries/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}
