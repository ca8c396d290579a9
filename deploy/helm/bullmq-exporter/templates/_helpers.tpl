{{- define "bullmq-exporter.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "bullmq-exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "bullmq-exporter.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "bullmq-exporter.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "bullmq-exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bullmq-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "bullmq-exporter.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "bullmq-exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "bullmq-exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "bullmq-exporter.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "bullmq-exporter.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* The variable with the URL of a connection. */ -}}
{{- define "bullmq-exporter.urlVariable" -}}
REDIS_URL_{{ . | upper | replace "-" "_" }}
{{- end }}

{{- define "bullmq-exporter.passwordFolder" -}}
/run/secrets/bullmq-exporter
{{- end }}

{{- /* The exporter's configuration file: the values' config, with the connections and the shard. */ -}}
{{- define "bullmq-exporter.config" -}}
{{- $config := deepCopy .Values.config }}
{{- $connections := dict }}
{{- range $name, $connection := .Values.connections }}
{{- $entry := deepCopy ($connection.settings | default dict) }}
{{- if $connection.urlSecret }}
{{- $_ := set $entry "url" (printf "${%s}" (include "bullmq-exporter.urlVariable" $name)) }}
{{- else }}
{{- $_ := set $entry "url" $connection.url }}
{{- end }}
{{- if $connection.passwordSecret }}
{{- $_ := set $entry "password_file" (printf "%s/%s" (include "bullmq-exporter.passwordFolder" $) $name) }}
{{- end }}
{{- $_ := set $connections $name $entry }}
{{- end }}
{{- if $connections }}
{{- $_ := set $config "connections" $connections }}
{{- end }}
{{- if gt (int .Values.shards) 1 }}
{{- $queues := $config.queues | default dict }}
{{- $_ := set $queues "shard" "${POD_NAME}/${SHARDS}" }}
{{- $_ := set $config "queues" $queues }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{- /* The Secrets with passwords, as sources of a projected volume; empty without any. */ -}}
{{- define "bullmq-exporter.passwordSources" -}}
{{- range $name, $connection := .Values.connections }}
{{- with $connection.passwordSecret }}
- secret:
    name: {{ .name }}
    items:
      - key: {{ .key }}
        path: {{ $name }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The action of a probe of a path. The kubelet has no client certificate. */ -}}
{{- define "bullmq-exporter.probe" -}}
{{- $web := .root.Values.config.web | default dict }}
{{- $tls := $web.tls | default dict }}
{{- $scheme := .root.Values.probeScheme | default (ternary "HTTPS" "" (hasKey $tls "cert_file")) }}
{{- if $tls.client_ca_file -}}
tcpSocket:
  port: http
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  {{- with $scheme }}
  scheme: {{ . }}
  {{- end }}
{{- end }}
{{- end }}
