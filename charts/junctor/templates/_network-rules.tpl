{{/* What pods may reach: DNS, and what the values list: (dict "egress" $rules "value" "operator.egress") */}}
{{- define "junctor.egressRules" -}}
{{- if not .egress -}}
  {{- fail (printf "networkPolicies.limitEgress: %s is empty, so these pods could reach nothing, not even the API server; list there what they need" .value) -}}
{{- end -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{ toYaml .egress }}
{{- end -}}
