{{/* The file of `junctor operator --config`. */}}
{{- define "junctor.operatorConfiguration" -}}
apiVersion: config.junctor.dev/v1alpha1
kind: OperatorConfiguration
gateways:
{{- range (include "junctor.gateways" . | fromJson).items }}
  - name: {{ .name | quote }}
    namespace: {{ $.Release.Namespace | quote }}
    map: {{ .map | quote }}
    managementPort: 8322
    {{- with pick . "connectorSelector" "namespaceSelector" "defaultConnectorID" "idPolicies" "idQuarantineSeconds" "limits" }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
{{- with .Values.operator.networkPolicy }}
networkPolicy:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
