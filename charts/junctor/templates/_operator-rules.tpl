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
