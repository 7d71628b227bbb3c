{{- define "smallmind.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "smallmind.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "smallmind.labels" -}}
{{ include "smallmind.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* Whether an init container gets the model. */}}
{{- define "smallmind.pulls" -}}
{{- if and (contains ":" .Values.model.ref) (not .Values.model.claim) }}yes{{ end }}
{{- end }}

{{/* Nothing may be left open, nothing needs a right. */}}
{{- define "smallmind.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Requests are limits. */}}
{{- define "smallmind.resources" -}}
resources:
  requests: {cpu: {{ .cpu | quote }}, memory: {{ .memory }}}
  limits: {cpu: {{ .cpu | quote }}, memory: {{ .memory }}}
{{- end }}

{{- define "smallmind.image" -}}
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}
