{{/* (root, component, port, command, args, env, mounts, volumes, init, path, probe): a bundled store, one pod with a volume. */}}
{{- define "mizzen.store" -}}
{{- $root := .root -}}
{{- $settings := index $root.Values .component -}}
{{- $name := include "mizzen.name" . -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" . | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $name }}
  selector:
    matchLabels:
      {{- include "mizzen.selector" . | nindent 6 }}
  persistentVolumeClaimRetentionPolicy: {whenDeleted: Retain, whenScaled: Retain}
  template:
    {{- $mounts := concat (list (dict "name" "data" "mountPath" "/data")) .mounts }}
    {{- $pod := dict
      "root" $root "component" .component "name" .component "image" $settings.image "user" (int $settings.runAsUser)
      "ports" (include "mizzen.ports" .component | fromYaml) "resources" $settings.resources "terminationSeconds" 60
      "command" .command "args" .args "env" .env "probes" .probes "mounts" $mounts "volumes" .volumes "annotations" .annotations
    }}
    {{- include "mizzen.pod" $pod | nindent 4 }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels:
          {{- include "mizzen.selector" . | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $settings.persistence.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ $settings.persistence.size }}}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" . | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "mizzen.selector" . | nindent 4 }}
  ports:
    {{- range $port, $number := include "mizzen.ports" .component | fromYaml }}
    - {name: {{ $port }}, port: {{ $number }}, targetPort: {{ $port }}}
    {{- end }}
---
{{ include "mizzen.disruptionBudget" (dict "root" $root "component" .component "name" $name "maxUnavailable" 1) }}
---
{{ include "mizzen.account" . }}
{{- end -}}

{{/* (name, files): a ConfigMap of this store. */}}
{{- define "mizzen.storeProbes" -}}
startupProbe:
  {{- toYaml .check | nindent 2 }}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 300
readinessProbe:
  {{- toYaml .check | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  tcpSocket: {port: {{ .port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}
