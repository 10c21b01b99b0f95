{{/* Names, labels, images: what everything else is built from. */}}

{{/* Prefix of every object: `mizzen`, or RELEASE-mizzen when the release's name doesn't say it. */}}
{{- define "mizzen.fullname" -}}
{{- if contains "mizzen" .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-mizzen" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{/* (root, component): mizzen-gateway. */}}
{{- define "mizzen.name" -}}
{{ printf "%s-%s" (include "mizzen.fullname" .root) .component }}
{{- end -}}

{{/* (root, component): what selects its pods and never changes. */}}
{{- define "mizzen.selector" -}}
app.kubernetes.io/name: mizzen
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* (root, component): labels of every object. */}}
{{- define "mizzen.labels" -}}
{{ include "mizzen.selector" . }}
app.kubernetes.io/part-of: mizzen
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* (root, image): REGISTRY/REPOSITORY:TAG, or @DIGEST. The chart-wide registry wins over the image's own. */}}
{{- define "mizzen.image" -}}
{{- $registry := .root.Values.image.registry | default (.image.registry | default "") -}}
{{- $repository := .image.repository -}}
{{- if $registry }}{{ $repository = printf "%s/%s" $registry $repository }}{{ end -}}
{{- if .image.digest -}}
{{ printf "%s@%s" $repository .image.digest }}
{{- else -}}
{{ printf "%s:%s" $repository (.image.tag | default .root.Values.image.tag | default .root.Chart.AppVersion) }}
{{- end -}}
{{- end -}}

{{/* (root, component): the section of a service, over what all services have. */}}
{{- define "mizzen.settings" -}}
{{ mustMergeOverwrite (deepCopy .root.Values.serviceDefaults) (deepCopy (index .root.Values .component)) | toYaml }}
{{- end -}}

{{- define "mizzen.definitionsNamespace" -}}
{{ .Values.definitions.namespace | default .Release.Namespace }}
{{- end -}}

{{/* Names of the Secrets: the given one, or the one that is made once. */}}
{{- define "mizzen.secret.identity" -}}
{{ .Values.secrets.identity | default (printf "%s-identity" (include "mizzen.fullname" .)) }}
{{- end -}}
{{- define "mizzen.secret.apiKey" -}}
{{ .Values.secrets.apiKey | default (printf "%s-api-key" (include "mizzen.fullname" .)) }}
{{- end -}}
{{- define "mizzen.secret.adminKey" -}}
{{ .Values.secrets.adminKey | default (printf "%s-admin-key" (include "mizzen.fullname" .)) }}
{{- end -}}
{{- define "mizzen.secret.valkey" -}}
{{ .Values.valkey.secret | default (printf "%s-valkey" (include "mizzen.fullname" .)) }}
{{- end -}}
{{- define "mizzen.secret.postgresql" -}}
{{ .Values.postgresql.secret | default (printf "%s-postgresql" (include "mizzen.fullname" .)) }}
{{- end -}}
{{- define "mizzen.secret.postgresqlOwner" -}}
{{ .Values.postgresql.ownerSecret | default (printf "%s-postgresql-owner" (include "mizzen.fullname" .)) }}
{{- end -}}

{{/* Ports of a component: name → number. The same as on a laptop. */}}
{{- define "mizzen.ports" -}}
{{- $ports := dict
  "gateway" (dict "http" 8080 "grpc" 8081 "ops" 8180)
  "features" (dict "grpc" 8101 "ops" 8181)
  "retrieval" (dict "grpc" 8102 "ops" 8182)
  "monitoring" (dict "grpc" 8103 "ops" 8183)
  "control" (dict "admin" 8088 "grpc" 8104 "ops" 8184)
  "inference" (dict "http1" 8090 "h2c" 9000 "metrics" 8002)
  "valkey" (dict "valkey" 6391)
  "postgresql" (dict "postgresql" 5433) -}}
{{ index $ports . | toYaml }}
{{- end -}}

{{/* Names of the ports that only Prometheus and the kubelet ask. */}}
{{- define "mizzen.opsPorts" -}}
[ops, metrics]
{{- end -}}
