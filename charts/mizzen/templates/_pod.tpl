{{/* One pod for everything that runs. Arguments:
  root, component     component names the labels, the default ServiceAccount and the NetworkPolicy
  name                container
  image               section with repository, tag, digest
  user                uid and gid, 10001 by default
  token               mount the ServiceAccount's token (only who asks the Kubernetes API)
  command, args, env, ports, resources, probes, preStop, terminationSeconds, restartPolicy
  mounts, volumes     lists; every pod also has an emptyDir at /tmp
  init                more containers that run first: (name, image, command, args, env, resources, mounts)
  spread, nodeSelector, tolerations, priorityClassName, labels, annotations, serviceAccount
*/}}
{{- define "mizzen.pod" -}}
{{- $user := .user | default 10001 -}}
metadata:
  labels:
    {{- include "mizzen.labels" . | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ .serviceAccount | default (include "mizzen.name" .) }}
  automountServiceAccountToken: {{ .token | default false }}
  enableServiceLinks: false
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ $user }}
    runAsGroup: {{ $user }}
    fsGroup: {{ $user }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with .terminationSeconds }}
  terminationGracePeriodSeconds: {{ . }}
  {{- end }}
  {{- with .priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .spread }}
  topologySpreadConstraints:
    {{- $pod := . }}
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: {{ $pod.spread }}
      labelSelector:
        matchLabels:
          {{- include "mizzen.selector" $pod | nindent 10 }}
          {{- with $pod.labels }}
          {{- toYaml . | nindent 10 }}
          {{- end }}
      # Without it the pods of the old version count, and a rollout piles up on one node.
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  {{- with .init }}
  initContainers:
    {{- range . }}
    {{- include "mizzen.container" (merge (dict "root" $.root "user" $user) .) | nindent 4 }}
    {{- end }}
  {{- end }}
  containers:
    {{- include "mizzen.container" . | nindent 4 }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 512Mi}
    {{- with .volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* One container, as list item; arguments as above. */}}
{{- define "mizzen.container" -}}
- name: {{ .name }}
  image: {{ include "mizzen.image" . }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  {{- with .command }}
  command:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .args }}
  args:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .env }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .ports }}
  ports:
    {{- range $name, $port := . }}
    - {name: {{ $name }}, containerPort: {{ $port }}, protocol: TCP}
    {{- end }}
  {{- end }}
  {{- with .probes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if .preStop }}
  lifecycle:
    preStop:
      sleep: {seconds: {{ .preStop }}}
  {{- end }}
  resources:
    {{- toYaml (.resources | default (dict "requests" (dict "cpu" "50m" "memory" "128Mi") "limits" (dict "memory" "128Mi"))) | nindent 4 }}
  securityContext:
    {{- include "mizzen.restricted" . | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    {{- with .mounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Pod Security "restricted", and a root that can't be written. */}}
{{- define "mizzen.restricted" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {{ .user | default 10001 }}
runAsGroup: {{ .user | default 10001 }}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* (settings, path, port): a long start, then a quick readiness and a slow, process-only liveness. */}}
{{- define "mizzen.probes" -}}
startupProbe:
  httpGet: {path: {{ .startup }}, port: {{ .port }}}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: {{ div .startupSeconds 2 }}
readinessProbe:
  httpGet: {path: {{ .ready }}, port: {{ .port }}}
  periodSeconds: {{ .readinessSeconds }}
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: {{ .live }}, port: {{ .port }}}
  periodSeconds: {{ .livenessSeconds }}
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{/* (root, claims: list of claims to mount read-only, writable: list of claims): the state directory and what lies in it. */}}
{{- define "mizzen.stateMounts" -}}
- {name: state, mountPath: /var/lib/mizzen}
{{- range .readOnly }}
- {name: {{ . }}, mountPath: /var/lib/mizzen/volumes/{{ . }}, readOnly: true}
{{- end }}
{{- range .writable }}
- {name: {{ . }}, mountPath: /var/lib/mizzen/volumes/{{ . }}}
{{- end }}
{{- end -}}

{{- define "mizzen.stateVolumes" -}}
- name: state
  emptyDir: {sizeLimit: 1Gi}
{{- range concat (.readOnly | default list) (.writable | default list) }}
- name: {{ . }}
  persistentVolumeClaim: {claimName: {{ . }}}
{{- end }}
{{- end -}}

{{/* (name, items: list of (secret, key, path)): a volume `keys`, or of another name, of files that are each from one key of a Secret. */}}
{{- define "mizzen.keyVolume" -}}
- name: {{ .name | default "keys" }}
  projected:
    defaultMode: 0440
    sources:
      {{- range .items }}
      - secret:
          name: {{ .secret }}
          items:
            - {key: {{ .key }}, path: {{ .path }}}
      {{- end }}
{{- end -}}
