{{/* Short enough for "<fullname>-gateway-<name>" and "<fullname>-<name>-connectors" with a gateway's name of 20 letters. */}}
{{- define "junctor.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 30 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 30 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 30 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* ClusterRoles have no namespace of their own: two releases of one name in two namespaces are kept apart. */}}
{{- define "junctor.clusterName" -}}
{{ .Release.Namespace }}-{{ include "junctor.fullname" . }}
{{- end -}}

{{/* The labels by which Deployments and Services find their pods: (dict "root" $ "component" "operator") */}}
{{- define "junctor.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .gateway }}
junctor.dev/gateway: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* Labels and annotations of an object: (dict "root" $ "component" "operator"), and "labels" and "annotations" of its own. */}}
{{- define "junctor.metadata" -}}
labels:
  {{- with merge (dict) (.labels | default dict) .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- include "junctor.selector" (pick . "root" "component") | nindent 2 }}
  app.kubernetes.io/part-of: junctor
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "junctor.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the pods of operator and gateways have in common: (dict "root" $ "values" $values) */}}
{{- define "junctor.podSettings" -}}
automountServiceAccountToken: true
# A Service named junctor would otherwise put JUNCTOR_PORT=tcp://... into the environment, which is an option of the gateway.
enableServiceLinks: false
# The image's user is not root; the number is left to it, and to platforms that choose one.
securityContext:
  runAsNonRoot: true
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "junctor.containerSettings" -}}
image: {{ include "junctor.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- with .values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
The gateways with their defaults filled in, as JSON {"items": [...]}: include can only return text. A key of an entry replaces the default's
whole value: a merge could neither set 0 nor empty a map.
*/}}
{{- define "junctor.gateways" -}}
{{- $fullname := include "junctor.fullname" . -}}
{{- $items := list -}}
{{- $names := list -}}
{{- $maps := list -}}
{{- range .Values.gateways -}}
  {{- $gateway := deepCopy $.Values.gatewayDefaults -}}
  {{- range $key, $value := . -}}
    {{- $_ := set $gateway $key $value -}}
  {{- end -}}
  {{- $_ := set $gateway "fullname" (printf "%s-gateway-%s" $fullname .name) -}}
  {{- if not $gateway.map -}}
    {{- $_ := set $gateway "map" (eq .name "default" | ternary (printf "%s-connectors" $fullname) (printf "%s-%s-connectors" $fullname .name)) -}}
  {{- end -}}
  {{- if has .name $names -}}
    {{- fail (printf "gateways: two are named %q; give each its own name" .name) -}}
  {{- end -}}
  {{- if has $gateway.map $maps -}}
    {{- fail (printf "gateways: two share the map %q; give each its own map" $gateway.map) -}}
  {{- end -}}
  {{- $selector := .namespaceSelector | default dict -}}
  {{- $_ := set $gateway "selectsNamespaces" (or (not (empty $selector.matchLabels)) (not (empty $selector.matchExpressions))) -}}
  {{- if and $gateway.selectsNamespaces $.Values.operator.namespaces -}}
    {{- fail (printf "gateways: %q has a namespaceSelector, which reads the labels of all namespaces, so it cannot be used with operator.namespaces; remove it, or set operator.allNamespaces instead" .name) -}}
  {{- end -}}
  {{- include "junctor.checkGateway" $gateway -}}
  {{- $names = append $names .name -}}
  {{- $maps = append $maps $gateway.map -}}
  {{- $items = append $items $gateway -}}
{{- end -}}
{{- include "junctor.checkNamespaces" .Values.operator -}}
{{- dict "items" $items | toJson -}}
{{- end -}}

{{/* The names of the Secrets with the credentials of a map, as a YAML list. */}}
{{- define "junctor.credentialSecrets" -}}
{{- range $number := until 16 }}
- {{ $ }}-credentials-{{ $number }}
{{- end }}
{{- end -}}
