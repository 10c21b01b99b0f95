{{/* NetworkPolicies from the call table: for each component, who comes in and where it may go. */}}

{{/* (root, component): what selects its pods. KServe's pods carry KServe's label; ours without KServe carry it too. */}}
{{- define "mizzen.podsOf" -}}
{{- if eq .component "inference" -}}
matchExpressions:
  - {key: serving.kserve.io/inferenceservice, operator: Exists}
{{- else -}}
matchLabels:
  {{- include "mizzen.selector" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* (component, caller): the data ports that this caller asks, as list of NetworkPolicy ports. People are not let near what services
ask control, nor services near its admin API. */}}
{{- define "mizzen.portsFor" -}}
{{- $others := include "mizzen.opsPorts" . | fromYamlArray -}}
{{- if eq .component "control" }}
{{- $others = append $others (ternary "grpc" "admin" (eq .caller "admins")) }}
{{- end }}
{{- range $name, $number := include "mizzen.ports" .component | fromYaml }}
{{- if not (has $name $others) }}
- {protocol: TCP, port: {{ $number }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* (root, component): its whole policy. */}}
{{- define "mizzen.networkPolicy" -}}
{{- $root := .root -}}
{{- $component := .component -}}
{{- $policy := $root.Values.networkPolicy -}}
{{- $table := $root.Values.allowedClients -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "mizzen.name" . }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "mizzen.labels" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  podSelector:
    {{- include "mizzen.podsOf" . | nindent 4 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- if hasKey $table $component }}
    {{- range $caller := index $table $component }}
    {{- /* Peers that name nobody would let in everybody. */}}
    {{- if not (and (eq $caller "admins") (empty $policy.admins)) }}
    - from:
        {{- if has $caller (list "clients" "admins") }}
        {{- toYaml (index $policy $caller) | nindent 8 }}
        {{- else }}
        - podSelector:
            {{- include "mizzen.podsOf" (dict "root" $root "component" $caller) | nindent 12 }}
        {{- end }}
      ports:
        {{- include "mizzen.portsFor" (dict "component" $component "caller" $caller) | nindent 8 }}
    {{- end }}
    {{- end }}
    {{- range $name, $number := include "mizzen.ports" $component | fromYaml }}
    {{- if has $name (include "mizzen.opsPorts" . | fromYamlArray) }}
    - from:
        {{- toYaml $policy.prometheus | nindent 8 }}
      ports:
        - {protocol: TCP, port: {{ $number }}}
    {{- end }}
    {{- end }}
    {{- else }}
    []
    {{- end }}
  egress:
    - to:
        {{- toYaml $policy.dns | nindent 8 }}
      ports:
        - {protocol: UDP, port: 53}
        - {protocol: TCP, port: 53}
    {{- range $callee, $callers := $table }}
    {{- if has $component $callers }}
    - to:
        {{- $store := has $callee (list "valkey" "postgresql") }}
        {{- if and $store (eq (index $root.Values $callee).mode "external") }}
        {{- $outside := (index $root.Values $callee).external }}
        {{- if not $outside.peers }}
        {{- fail (printf "%s.external.peers: say where the NetworkPolicy lets callers go" $callee) }}
        {{- end }}
        {{- toYaml $outside.peers | nindent 8 }}
      ports:
        - {protocol: TCP, port: {{ $outside.port }}}
        {{- else }}
        - podSelector:
            {{- include "mizzen.podsOf" (dict "root" $root "component" $callee) | nindent 12 }}
      ports:
        {{- include "mizzen.portsFor" (dict "component" $callee "caller" $component) | nindent 8 }}
        {{- end }}
    {{- end }}
    {{- end }}
    {{- if has $component (list "gateway" "features" "retrieval" "monitoring" "control" "jobs" "secrets") }}
    - to:
        {{- range $policy.kubernetesApi.cidrs }}
        - ipBlock: {cidr: {{ . }}}
        {{- end }}
      ports:
        {{- range $policy.kubernetesApi.ports }}
        - {protocol: TCP, port: {{ . }}}
        {{- end }}
    {{- end }}
    {{- if and $policy.otlp.peers (has $component (list "gateway" "features" "retrieval" "monitoring" "control")) }}
    - to:
        {{- toYaml $policy.otlp.peers | nindent 8 }}
      ports:
        - {protocol: TCP, port: {{ $policy.otlp.port }}}
    {{- end }}
    {{- if and (eq $component "retrieval") $root.Values.retrieval.llm.peers }}
    - to:
        {{- toYaml $root.Values.retrieval.llm.peers | nindent 8 }}
      ports:
        - {protocol: TCP, port: {{ $root.Values.retrieval.llm.port }}}
    {{- end }}
    {{- if and (eq $component "inference") $root.Values.inference.storageInitializer.peers }}
    - to:
        {{- toYaml $root.Values.inference.storageInitializer.peers | nindent 8 }}
      ports:
        - {protocol: TCP, port: 443}
    {{- end }}
{{- end -}}
