{{- define "trustkit.name" -}}
{{- printf "%s-trustkit-admission" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "trustkit.selector" -}}
app.kubernetes.io/name: trustkit-admission
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "trustkit.labels" -}}
{{ include "trustkit.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "trustkit.secret" -}}
{{- if .Values.tls.certManager -}}
{{ include "trustkit.name" . }}-tls
{{- else -}}
{{ required "tls.secretName has to name a Secret where tls.certManager is false" .Values.tls.secretName }}
{{- end -}}
{{- end -}}

{{- define "trustkit.configuration" -}}
name: {{ include "trustkit.name" . }}
labels:
  {{- include "trustkit.labels" . | nindent 2 }}
{{- end -}}

{{- define "trustkit.webhook" -}}
admissionReviewVersions: ["v1"]
sideEffects: None
failurePolicy: Fail
matchPolicy: Equivalent
timeoutSeconds: {{ .Values.timeoutSeconds }}
namespaceSelector:
  matchExpressions:
    - key: kubernetes.io/metadata.name
      operator: NotIn
      values: {{ concat (list "kube-system" .Release.Namespace) .Values.exemptNamespaces | uniq | toJson }}
{{- end -}}

{{- define "trustkit.client" -}}
service:
  name: {{ include "trustkit.name" . }}
  namespace: {{ .Release.Namespace }}
  port: 443
{{- end -}}

{{- define "trustkit.container" -}}
image: {{ .Values.image | quote }}
imagePullPolicy: IfNotPresent
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{- define "trustkit.pod" -}}
automountServiceAccountToken: false
serviceAccountName: {{ include "trustkit.name" . }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end -}}
