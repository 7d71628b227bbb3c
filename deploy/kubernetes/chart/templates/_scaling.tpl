{{/* Up at once, down slowly: a pod that goes takes its cached prefixes along. */}}
{{- define "smallmind.behavior" -}}
behavior:
  scaleUp:
    stabilizationWindowSeconds: 0
    policies: [{type: Percent, value: 100, periodSeconds: 30}]
  scaleDown:
    stabilizationWindowSeconds: 300
    policies: [{type: Pods, value: 1, periodSeconds: 60}]
{{- end }}

{{/* What is looked at, with each pod's target: a list for both autoscalers. */}}
{{- define "smallmind.targets" -}}
{{- with .Values.autoscaling }}
smallmind_requests_queued: {{ .queued }}
smallmind_requests_running: {{ .running }}
{{- if .tokensPerSecond }}
smallmind_generated_tokens_per_second: {{ .tokensPerSecond }}
{{- end }}
{{- end }}
{{- end }}
