{{/* Every pod looks up names. */}}
{{- define "junctor.dnsRule" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}
