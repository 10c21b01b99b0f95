{{/* Predictors: one container for KServe's ServingRuntimes and for Deployments. */}}

{{/* (root, runtime): mizzen-triton-cpu → cpu. */}}
{{- define "mizzen.runtimeKind" -}}
{{- trimPrefix "mizzen-triton-" . -}}
{{- end -}}

{{/* (root, kind: cpu|gpu, resources, env, args): the container of a predictor, as fields of `mizzen.container`. */}}
{{- define "mizzen.predictorContainer" -}}
{{- $inference := .root.Values.inference -}}
{{- $resources := deepCopy (.resources | default (dict "requests" (dict "cpu" "500m" "memory" "512Mi") "limits" (dict "memory" "1Gi"))) -}}
{{- if eq .kind "gpu" }}
{{- $gpu := $inference.runtimes.gpu }}
{{- $_ := set $resources "limits" (merge (dict $gpu.resource (int $gpu.count)) ($resources.limits | default dict)) }}
{{- end -}}
{{- $gpuKind := eq .kind "gpu" }}
{{- $flags := list
  (ternary "--model-repository=/mnt/serving/0" "--model-repository=/mnt/models" $gpuKind)
  "--grpc-address=0.0.0.0" "--grpc-port=9000"
  "--http-address=0.0.0.0" "--http-port=8090"
  "--metrics-address=0.0.0.0" "--metrics-port=8002"
  "--model-control-mode=none"
  "--exit-on-error=true"
  "--strict-readiness=true"
  "--disable-auto-complete-config"
  "--exit-timeout-secs=15"
  "--log-format=ISO8601" -}}
{{- $probes := dict "startupSeconds" $inference.startupSeconds "readinessSeconds" 2 "livenessSeconds" 10
  "startup" "/v2/health/ready" "ready" "/v2/health/ready" "live" "/v2/health/live" "port" "http1" -}}
name: kserve-container
image:
  {{- toYaml (index $inference.runtimes .kind).image | nindent 2 }}
{{- if eq .kind "gpu" }}
# NVIDIA's image has no reader of packages: an init container of the CPU runtime's image copies and examines what is served here.
command:
  - bash
  - -c
  - '[ -d /mnt/serving/0 ] || { echo "no examined model in /mnt/serving: the InferenceService needs the init container examine-model (docs/install.md)" >&2; exit 1; }; exec tritonserver "$@"'
  - tritonserver
{{- end }}
args:
  {{- toYaml (concat $flags (.args | default list)) | nindent 2 }}
{{- $examination := ternary list (include "mizzen.examination" .root | fromYamlArray) $gpuKind }}
{{- with concat $examination (.env | default list) }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- include "mizzen.ports" "inference" | nindent 2 }}
probes:
  {{- include "mizzen.probes" $probes | nindent 2 }}
preStop: 6
resources:
  {{- toYaml $resources | nindent 2 }}
mounts:
  # Tensors travel through it between Triton and its Python backends.
  - {name: shared-memory, mountPath: /dev/shm}
  # Examined copies of the model's files, which nobody else writes to.
  - {name: serving, mountPath: /mnt/serving{{ if $gpuKind }}, readOnly: true{{ end }}}
{{- end -}}

{{/* What the examination of packages is told. */}}
{{- define "mizzen.examination" -}}
- {name: MIZZEN_INFERENCE_SERVING, value: /mnt/serving}
{{- with .Values.inference.allowCode }}
- {name: MIZZEN_INFERENCE_ALLOW_CODE, value: {{ join "," . | quote }}}
{{- end }}
{{- end -}}

{{/* (root, mount, resources): copies and examines a GPU predictor's model, as the CPU runtime does by itself; fields of `mizzen.container`. */}}
{{- define "mizzen.examineModel" -}}
name: examine-model
image:
  {{- toYaml .root.Values.inference.runtimes.cpu.image | nindent 2 }}
command: [python3, -m, inference.staging, /mnt/serving, /mnt/models]
env:
  {{- include "mizzen.examination" .root | nindent 2 }}
{{- with .resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
mounts:
  - {{ toYaml .mount | nindent 4 }}
  - {name: serving, mountPath: /mnt/serving}
{{- end -}}

{{- define "mizzen.predictorVolumes" -}}
- name: serving
  emptyDir: {sizeLimit: {{ .root.Values.inference.servingSize }}}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ ternary .root.Values.inference.runtimes.gpu.sharedMemory .root.Values.inference.sharedMemory (eq .kind "gpu") }}}
{{- end -}}

{{/* (root, kind): KServe's ServingRuntime. */}}
{{- define "mizzen.servingRuntime" -}}
{{- $gpu := .root.Values.inference.runtimes.gpu -}}
apiVersion: serving.kserve.io/v1alpha1
kind: ServingRuntime
metadata:
  name: mizzen-triton-{{ .kind }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" . | nindent 4 }}
spec:
  supportedModelFormats:
    # Chosen by name (`runtime:`) only, so that KServe's own Triton runtime isn't replaced behind anyone's back.
    - {name: triton, version: "2", autoSelect: false}
    - {name: onnx, version: "1", autoSelect: false}
  protocolVersions: [v2, grpc-v2]
  annotations:
    prometheus.kserve.io/port: "8002"
    prometheus.kserve.io/path: /metrics
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- if eq .kind "gpu" }}
  {{- with $gpu.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $gpu.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    {{- include "mizzen.container" (merge (dict "root" .root) (include "mizzen.predictorContainer" . | fromYaml)) | nindent 4 }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 512Mi}
    {{- include "mizzen.predictorVolumes" . | nindent 4 }}
{{- end -}}

{{/* One of inference.services as KServe's InferenceService; nothing in it depends on this chart. */}}
{{- define "mizzen.inferenceService" -}}
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {{ .name }}
  {{- with .models }}
  annotations:
    mizzen.dev/models: {{ join "," . }}
  {{- end }}
spec:
  predictor:
    minReplicas: {{ .minReplicas | default 1 }}
    {{- with .maxReplicas }}
    maxReplicas: {{ . }}
    {{- end }}
    # A predictor asks the Kubernetes API nothing.
    automountServiceAccountToken: false
    {{- with .terminationSeconds }}
    terminationGracePeriodSeconds: {{ . }}
    {{- end }}
    {{- with .nodeSelector }}
    nodeSelector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .tolerations }}
    tolerations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .serviceAccount }}
    serviceAccountName: {{ . }}
    {{- end }}
    model:
      modelFormat: {name: triton, version: "2"}
      protocolVersion: v2
      runtime: {{ .runtime }}
      storageUri: {{ .storageUri }}
      {{- with .args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}

{{/* (root, service): the same pod as Deployment and Service, under the names that KServe gives. */}}
{{- define "mizzen.predictor" -}}
{{- $root := .root -}}
{{- $service := .service -}}
{{- $inference := $root.Values.inference -}}
{{- $kind := include "mizzen.runtimeKind" $service.runtime -}}
{{- $name := printf "%s-predictor" $service.name -}}
{{- $names := dict "root" $root "component" "inference" -}}
{{- $kserve := dict "serving.kserve.io/inferenceservice" $service.name -}}
{{- $container := include "mizzen.predictorContainer" (dict "root" $root "kind" $kind "resources" $service.resources "env" $service.env "args" $service.args) | fromYaml -}}
{{- $gpu := ternary $inference.runtimes.gpu dict (eq $kind "gpu") -}}
{{- $volumes := include "mizzen.predictorVolumes" (dict "root" $root "kind" $kind) | fromYamlArray -}}
{{- $mount := dict "name" "model" "mountPath" "/mnt/models" "readOnly" true -}}
{{- $init := list -}}
{{- if hasPrefix "pvc://" $service.storageUri }}
{{- $parts := splitn "/" 2 (trimPrefix "pvc://" $service.storageUri) }}
{{- $_ := set $mount "subPath" (trimSuffix "/" $parts._1) }}
{{- $volumes = append $volumes (dict "name" "model" "persistentVolumeClaim" (dict "claimName" $parts._0 "readOnly" true)) }}
{{- /* A subPath that isn't there yet would be made, empty: wait until the model was published. */}}
{{- $init = list (dict "name" "await-model" "image" (index $inference.runtimes $kind).image
  "command" (list "bash" "-c" (printf "until [ -n \"$(ls -A '/claim/%s' 2>/dev/null)\" ]; do sleep 1; done" (trimSuffix "/" $parts._1)))
  "mounts" (list (dict "name" "model" "mountPath" "/claim" "readOnly" true))) }}
{{- else }}
{{- $volumes = append $volumes (dict "name" "model" "emptyDir" (dict "sizeLimit" "20Gi")) }}
{{- $init = list (dict "name" "storage-initializer" "image" $inference.storageInitializer.image
  "args" (list $service.storageUri "/mnt/models")
  "resources" (dict "requests" (dict "cpu" "100m" "memory" "256Mi") "limits" (dict "memory" "1Gi"))
  "mounts" (list (dict "name" "model" "mountPath" "/mnt/models"))) }}
{{- end -}}
{{- if eq $kind "gpu" }}
{{- $init = append $init (include "mizzen.examineModel" (dict "root" $root "mount" $mount "resources" $service.resources) | fromYaml) }}
{{- end -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" $names | nindent 4 }}
    serving.kserve.io/inferenceservice: {{ $service.name }}
  annotations:
    mizzen.dev/storage-uri: {{ $service.storageUri }}
spec:
  replicas: {{ $service.minReplicas | default 1 }}
  revisionHistoryLimit: 5
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels:
      {{- include "mizzen.selector" $names | nindent 6 }}
      serving.kserve.io/inferenceservice: {{ $service.name }}
  template:
    {{- include "mizzen.pod" (merge (dict
      "root" $root "component" "inference" "labels" $kserve "init" $init
      "serviceAccount" ($service.serviceAccount | default $inference.storageInitializer.serviceAccount)
      "mounts" (append $container.mounts $mount) "volumes" $volumes
      "terminationSeconds" ($service.terminationSeconds | default 40) "spread" $root.Values.serviceDefaults.spread
      "nodeSelector" ($service.nodeSelector | default $gpu.nodeSelector) "tolerations" ($service.tolerations | default $gpu.tolerations)
    ) $container) | nindent 4 }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" $names | nindent 4 }}
    serving.kserve.io/inferenceservice: {{ $service.name }}
spec:
  # Headless: callers balance over the pods themselves.
  clusterIP: None
  selector:
    {{- include "mizzen.selector" $names | nindent 4 }}
    serving.kserve.io/inferenceservice: {{ $service.name }}
  ports:
    - {name: http1, port: 80, targetPort: http1}
    - {name: h2c, port: 9000, targetPort: h2c, appProtocol: kubernetes.io/h2c}
---
{{ include "mizzen.disruptionBudget" (dict "root" $root "component" "inference" "name" $name "maxUnavailable" 1 "labels" $kserve) }}
{{- end -}}
