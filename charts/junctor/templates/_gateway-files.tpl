{{/*
Refuses a gateway that cannot work, in words that the schema has none for: (dict of one gateway, its defaults filled in)
*/}}
{{- define "junctor.checkGateway" -}}
{{- $callers := .callers | default dict -}}
{{- if not $callers.mode -}}
  {{- fail (printf "gateways: nobody said who may call %q; set gatewayDefaults.callers.mode to kubernetes (tokens of this cluster), apikeys (keys of junctor apikey in a Secret) or none (everybody who reaches the Service)" .name) -}}
{{- end -}}
{{- if and (eq $callers.mode "apikeys") (not $callers.keysSecretRef) -}}
  {{- fail (printf "gateways: callers of %q have mode apikeys; set callers.keysSecretRef.name and .key to the Secret with the entries that junctor apikey made" .name) -}}
{{- end -}}
{{- if and (ne $callers.mode "apikeys") $callers.keysSecretRef -}}
  {{- fail (printf "gateways: callers of %q have mode %s and a keysSecretRef, which is for mode apikeys only; change one of them" .name $callers.mode) -}}
{{- end -}}
{{- $name := .name -}}
{{- range $number, $upstream := .upstreams -}}
  {{- range $header, $value := $upstream.headers -}}
    {{- if eq (lower $header) "authorization" -}}
      {{- fail (printf "gateways: upstreams[%d] of %q has a header %s, and values are no place for a key; put it into a Secret and name that in keySecretRef" $number $name $header) -}}
    {{- end -}}
    {{- if has (lower $header) (list "accept-encoding" "connection" "content-length" "content-type" "cookie" "host" "keep-alive" "te" "trailer" "transfer-encoding" "upgrade") -}}
      {{- fail (printf "gateways: upstreams[%d] of %q has a header %s, which the gateway sets itself; remove it" $number $name $header) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether a gateway needs a file of `junctor gateway --config`; empty when it does not. */}}
{{- define "junctor.hasConfiguration" -}}
{{- if or .upstreams .networkPolicy }}true{{ end -}}
{{- end -}}

{{/* The file of `junctor gateway --config`; keys are files beside it. */}}
{{- define "junctor.gatewayConfiguration" -}}
apiVersion: config.junctor.dev/v1alpha1
kind: GatewayConfiguration
{{- with .networkPolicy }}
networkPolicy:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .upstreams }}
upstreams:
{{- end }}
{{- range .upstreams }}
  {{- $upstream := omit . "keySecretRef" }}
  {{- with .keySecretRef }}
    {{- $_ := set $upstream "keyFile" (include "junctor.keyPath" .) }}
  {{- end }}
  {{- list $upstream | toYaml | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where the value of a Secret's key is, seen from the configuration file. */}}
{{- define "junctor.keyPath" -}}
keys/{{ .name }}/{{ .key }}
{{- end -}}

{{/*
What is mounted at /etc/junctor, as the sources of one projected volume; empty when a gateway needs no files. Only the keys that are named
are taken from the Secrets. The kubelet replaces all of it at once when one of them changes.
*/}}
{{- define "junctor.gatewayFiles" -}}
{{- if include "junctor.hasConfiguration" . }}
- configMap: {name: {{ .fullname }}}
{{- end }}
{{- if eq .callers.mode "apikeys" }}
- secret:
    name: {{ .callers.keysSecretRef.name | quote }}
    items:
      - {key: {{ .callers.keysSecretRef.key | quote }}, path: {{ printf "callers/%s" .callers.keysSecretRef.key | quote }}}
{{- end }}
{{- $paths := list }}
{{- range .upstreams }}
{{- with .keySecretRef }}
{{- $path := include "junctor.keyPath" . }}
{{- if not (has $path $paths) }}
{{- $paths = append $paths $path }}
- secret:
    name: {{ .name | quote }}
    items:
      - {key: {{ .key | quote }}, path: {{ $path | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
