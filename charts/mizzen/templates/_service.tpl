{{/* (root, component): everything one of our services is made of. */}}
{{- define "mizzen.service" -}}
{{- $root := .root -}}
{{- $settings := include "mizzen.settings" . | fromYaml -}}
{{- $names := dict "root" $root "component" .component -}}
{{- $name := include "mizzen.name" $names -}}
{{- $scaled := $settings.autoscaling.enabled -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" $names | nindent 4 }}
spec:
  {{- if not $scaled }}
  replicas: {{ $settings.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "mizzen.selector" $names | nindent 6 }}
  template:
    {{- include "mizzen.servicePod" (dict "root" $root "component" .component "settings" $settings) | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" $names | nindent 4 }}
  {{- with dig "service" "annotations" nil $settings }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if eq .component "gateway" }}
  type: {{ $settings.service.type }}
  {{- else }}
  # Headless: callers balance over the pods themselves.
  clusterIP: None
  {{- end }}
  selector:
    {{- include "mizzen.selector" $names | nindent 4 }}
  ports:
    {{- range $port, $number := include "mizzen.ports" .component | fromYaml }}
    {{- if not (and (eq $.component "gateway") (eq $port "ops")) }}
    - name: {{ $port }}
      port: {{ $number }}
      targetPort: {{ $port }}
      {{- if eq $port "grpc" }}
      appProtocol: kubernetes.io/h2c
      {{- end }}
    {{- end }}
    {{- end }}
{{- if eq .component "gateway" }}
---
# Apart from the public Service, whatever its type is.
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}-ops
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" $names | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "mizzen.selector" $names | nindent 4 }}
  ports:
    - {name: ops, port: 8180, targetPort: ops}
{{- end }}
{{- if $settings.disruption.enabled }}
---
{{ include "mizzen.disruptionBudget" (dict "root" $root "component" .component "name" $name "maxUnavailable" $settings.disruption.maxUnavailable) }}
{{- end }}
{{- if $scaled }}
---
{{ include "mizzen.autoscaler" (dict "root" $root "component" .component "name" $name "scaling" $settings.autoscaling) }}
{{- end }}
---
{{ include "mizzen.account" (dict "root" $root "component" .component) }}
{{- end -}}

{{/* (root, component, settings): the pod of one of our services. */}}
{{- define "mizzen.servicePod" -}}
{{- $volumes := .root.Values.volumes -}}
{{- $claims := dict "root" .root -}}
{{- if eq .component "monitoring" }}
{{- $claims = dict "readOnly" (list $volumes.models.claim) "writable" (list $volumes.records.claim) }}
{{- end }}
{{- $keys := dict "items" (include "mizzen.keyItems" . | fromYamlArray) -}}
{{- $owner := list -}}
{{- $init := list -}}
{{- if and (include "mizzen.uses" .component | fromYaml).postgresql (include "mizzen.postgresOwner" .root) }}
{{- $owner = include "mizzen.keyVolume" (dict "name" "owner" "items" (list (dict "secret" (include "mizzen.secret.postgresqlOwner" .root) "key" "password" "path" "postgres-owner.password"))) | fromYamlArray }}
{{- $init = list (include "mizzen.migrate" . | fromYaml) }}
{{- end }}
{{- $ports := include "mizzen.ports" .component | fromYaml -}}
{{- $probes := merge (dict "startup" "/healthz" "ready" "/readyz" "live" "/healthz" "port" "ops") .settings.probes -}}
{{- include "mizzen.pod" (dict
  "root" .root
  "component" .component
  "name" .component
  "image" .settings.image
  "token" true
  "init" $init
  "env" (include "mizzen.serviceEnvironment" . | fromYamlArray)
  "ports" $ports
  "resources" .settings.resources
  "probes" (include "mizzen.probes" $probes | fromYaml)
  "preStop" .settings.lifecycle.preStopSeconds
  "terminationSeconds" .settings.lifecycle.terminationSeconds
  "mounts" (concat (list (dict "name" "keys" "mountPath" "/etc/mizzen/keys" "readOnly" true)) (include "mizzen.stateMounts" $claims | fromYamlArray))
  "volumes" (concat (include "mizzen.keyVolume" $keys | fromYamlArray) $owner (include "mizzen.stateVolumes" $claims | fromYamlArray))
  "spread" .settings.spread
  "nodeSelector" .settings.nodeSelector
  "tolerations" .settings.tolerations
  "priorityClassName" .settings.priorityClassName
  "annotations" .settings.podAnnotations
) -}}
{{- end -}}

{{/* (root, component, settings): the container that brings the tables to this version. Only it has the password of their owner. */}}
{{- define "mizzen.migrate" -}}
name: migrate
image: {{ toJson .settings.image }}
command: [python3, -m, {{ .component }}.migrate]
resources: {{ toJson .settings.resources }}
env:
  {{- include "mizzen.serviceEnvironment" . | nindent 2 }}
  - {name: MIZZEN_POSTGRES_OWNER, value: {{ include "mizzen.postgresOwner" .root | quote }}}
  - {name: MIZZEN_POSTGRES_OWNER_PASSWORD_FILE, value: /etc/mizzen/owner/postgres-owner.password}
mounts:
  - {name: owner, mountPath: /etc/mizzen/owner, readOnly: true}
{{- end -}}

{{/* (root, component, name, maxUnavailable, labels): an unhealthy pod never holds up a drain. */}}
{{- define "mizzen.disruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "mizzen.selector" . | nindent 6 }}
      {{- with .labels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end -}}

{{/* (root, component, name, scaling): by CPU or requests in flight; or KEDA's ScaledObject. */}}
{{- define "mizzen.autoscaler" -}}
{{- $scaling := .scaling -}}
{{- if eq $scaling.metric "keda" -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {name: {{ .name }}}
  minReplicaCount: {{ $scaling.minReplicas }}
  maxReplicaCount: {{ $scaling.maxReplicas }}
  cooldownPeriod: {{ $scaling.scaleDownSeconds }}
  fallback: {failureThreshold: 3, replicas: {{ $scaling.fallbackReplicas }}}
  triggers:
    - type: prometheus
      metadata:
        serverAddress: {{ $scaling.prometheusAddress | quote }}
        query: sum(mizzen_chassis_server_in_flight{namespace="{{ .root.Release.Namespace }}",job="{{ .component }}"})
        threshold: {{ $scaling.inFlight | quote }}
{{- else -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .name }}}
  minReplicas: {{ $scaling.minReplicas }}
  maxReplicas: {{ $scaling.maxReplicas }}
  metrics:
    {{- if eq $scaling.metric "cpu" }}
    - type: Resource
      resource:
        name: cpu
        target: {type: Utilization, averageUtilization: {{ $scaling.cpuPercent }}}
    {{- else }}
    - type: Pods
      pods:
        metric: {name: mizzen_chassis_server_in_flight}
        target: {type: AverageValue, averageValue: {{ $scaling.inFlight | quote }}}
    {{- end }}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
    scaleDown:
      stabilizationWindowSeconds: {{ $scaling.scaleDownSeconds }}
{{- end -}}
{{- end -}}

{{/* (root, component): its ServiceAccount and the rights it needs, none by default. */}}
{{- define "mizzen.account" -}}
{{- $root := .root -}}
{{- $component := .component -}}
{{- $name := include "mizzen.name" . -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" . | nindent 4 }}
automountServiceAccountToken: false
{{- range list "addresses" "definitions" }}
{{- $rules := include (printf "mizzen.rules.%s" .) $component | fromYamlArray }}
{{- if $rules }}
{{- $namespace := ternary $root.Release.Namespace (include "mizzen.definitionsNamespace" $root) (eq . "addresses") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}-{{ . }}
  namespace: {{ $namespace }}
  labels:
    {{- include "mizzen.labels" $ | nindent 4 }}
rules:
  {{- toYaml $rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}-{{ . }}
  namespace: {{ $namespace }}
  labels:
    {{- include "mizzen.labels" $ | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}-{{ . }}}
subjects:
  - {kind: ServiceAccount, name: {{ $name }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* Who finds pods by EndpointSlices: those who call others. */}}
{{- define "mizzen.rules.addresses" -}}
{{- if has . (list "gateway" "retrieval") }}
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
{{- else }}
[]
{{- end }}
{{- end -}}

{{/* Who reads definitions. control alone writes them; the status of a kind is written by the service that the kind belongs to, and by
the jobs on their progress. */}}
{{- define "mizzen.rules.definitions" -}}
{{- if has . (list "gateway" "features" "retrieval" "monitoring" "control" "jobs") }}
{{- $verbs := list "get" "list" "watch" }}
{{- if eq . "control" }}
{{- $verbs = concat $verbs (list "create" "update" "delete") }}
{{- end }}
- apiGroups: [mizzen.dev]
  resources: [featureviews, endpoints, collections]
  verbs: {{ toJson $verbs }}
- apiGroups: [serving.kserve.io]
  resources: [inferenceservices]
  verbs: {{ toJson $verbs }}
- apiGroups: [""]
  resources: [configmaps]
  # InferenceServices of a cluster without KServe.
  resourceNames: [mizzen-inference-services]
  verbs: [get, list, watch]
{{- $owned := dict "gateway" (list "endpoints/status") "features" (list "featureviews/status") "retrieval" (list "collections/status") }}
{{- $_ := set $owned "jobs" (list "featureviews/status" "endpoints/status" "collections/status") }}
{{- with get $owned . }}
- apiGroups: [mizzen.dev]
  resources:
    {{- toYaml . | nindent 4 }}
  verbs: [get, patch]
{{- end }}
{{- else }}
[]
{{- end }}
{{- end -}}
