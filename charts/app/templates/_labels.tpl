{{- define "app.labels" -}}
app.kubernetes.io/name: {{ .Values.app.name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
