{{/* The environment of services and jobs, and the key files and claims that go with it. */}}

{{/* (root, component): list of env entries that services and jobs share. */}}
{{- define "mizzen.environment" -}}
{{- $root := .root -}}
{{- $reads := include "mizzen.uses" .component | fromYaml -}}
- {name: MIZZEN_STATE, value: /var/lib/mizzen}
- {name: MIZZEN_DEFINITIONS, value: {{ printf "kubernetes:%s" (include "mizzen.definitionsNamespace" $root) | quote }}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- if $reads.valkey }}
- {name: MIZZEN_ONLINE_URL, value: {{ include "mizzen.valkeyUrl" (dict "root" $root "stream" false) | quote }}}
- {name: MIZZEN_STREAM_URL, value: {{ include "mizzen.valkeyUrl" (dict "root" $root "stream" true) | quote }}}
{{- if include "mizzen.valkeyHasPassword" $root }}
- {name: MIZZEN_ONLINE_PASSWORD_FILE, value: /etc/mizzen/keys/valkey.password}
- {name: MIZZEN_STREAM_PASSWORD_FILE, value: /etc/mizzen/keys/valkey.password}
{{- end }}
{{- end }}
{{- if $reads.postgresql }}
- {name: MIZZEN_POSTGRES_URL, value: {{ include "mizzen.postgresUrl" $root | quote }}}
- {name: MIZZEN_POSTGRES_PASSWORD_FILE, value: /etc/mizzen/keys/postgres.password}
{{- end }}
- {name: MIZZEN_LOG_LEVEL, value: {{ $root.Values.telemetry.logLevel }}}
- {name: MIZZEN_TENANT_LABELS, value: {{ join "," $root.Values.telemetry.tenantLabels | quote }}}
{{- with $root.Values.telemetry.otlpEndpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- end -}}

{{/* (root, component, settings): list of env entries of a service. What `settings` names takes the place of what is rendered. */}}
{{- define "mizzen.serviceEnvironment" -}}
{{- $set := .settings.settings -}}
{{- range include "mizzen.renderedEnvironment" . | fromYamlArray }}
{{- if not (hasKey $set .name) }}
- {{ toJson . }}
{{- end }}
{{- end }}
{{- range $name, $value := $set }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end -}}

{{- define "mizzen.renderedEnvironment" -}}
{{- $root := .root -}}
{{- $uses := include "mizzen.uses" .component | fromYaml -}}
{{- $lifecycle := .settings.lifecycle -}}
{{ include "mizzen.environment" . }}
- {name: MIZZEN_HOST, value: {{ .settings.host | quote }}}
- {name: MIZZEN_SERVER, value: {{ .settings.server }}}
- {name: MIZZEN_DRAIN_S, value: {{ $lifecycle.drainSeconds | quote }}}
- {name: MIZZEN_GRACE_S, value: {{ $lifecycle.graceSeconds | quote }}}
- {name: MIZZEN_IDENTITY_PUBLIC_KEY_FILE, value: /etc/mizzen/keys/identity.pub}
- {name: MIZZEN_SERVICE_SECRET_FILE, value: /etc/mizzen/keys/service.secret}
{{- range $upstream := list "features" "retrieval" "monitoring" "control" }}
{{- if index $uses $upstream }}
- name: MIZZEN_{{ upper $upstream }}_ADDRESSES
  value: endpointslice:{{ $root.Release.Namespace }}/{{ include "mizzen.name" (dict "root" $root "component" $upstream) }}:grpc
{{- end }}
{{- end }}
{{- if $uses.inference }}
- {name: MIZZEN_INFERENCE_ADDRESSES, value: {{ printf "endpointslice:%s/{name}-predictor:h2c" $root.Release.Namespace | quote }}}
{{- end }}
{{- if eq .component "gateway" }}
- {name: MIZZEN_GATEWAY_IDENTITY_KEY_FILE, value: /etc/mizzen/keys/identity.key}
- {name: MIZZEN_GATEWAY_API_KEYS_FILE, value: /etc/mizzen/keys/api-keys}
{{- with .settings.grpc }}
- {name: MIZZEN_GATEWAY_PUBLIC_SERVER, value: {{ .server }}}
- {name: MIZZEN_GATEWAY_MAX_CONNECTION_AGE_S, value: {{ .maxConnectionAgeSeconds | quote }}}
{{- if .tls.secret }}
- {name: MIZZEN_GATEWAY_TLS_CERTIFICATE_FILE, value: /etc/mizzen/keys/grpc.crt}
- {name: MIZZEN_GATEWAY_TLS_KEY_FILE, value: /etc/mizzen/keys/grpc.key}
{{- if .tls.clientCertificates }}
- {name: MIZZEN_GATEWAY_TLS_CLIENT_CA_FILE, value: /etc/mizzen/keys/grpc-clients.crt}
{{- end }}
{{- end }}
{{- end }}
{{- else if eq .component "control" }}
- {name: MIZZEN_CONTROL_ADMIN_KEY_FILE, value: /etc/mizzen/keys/admin.key}
{{- else if eq .component "monitoring" }}
- {name: MIZZEN_VOLUMES, value: /var/lib/mizzen/volumes}
- {name: MIZZEN_MONITORING_RECORDS, value: /var/lib/mizzen/volumes/{{ $root.Values.volumes.records.claim }}}
- {name: MIZZEN_MONITORING_CONSUMER, value: $(POD_NAME)}
{{- else if eq .component "retrieval" }}
{{- with $root.Values.retrieval.llm }}
{{- if .url }}
- {name: MIZZEN_RETRIEVAL_LLM_URL, value: {{ .url | quote }}}
- {name: MIZZEN_RETRIEVAL_LLM_MODEL, value: {{ .model | quote }}}
{{- if .secret }}
- {name: MIZZEN_RETRIEVAL_LLM_KEY_FILE, value: /etc/mizzen/keys/llm.key}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a component asks besides definitions; the call table says the same (tests/charts compares them). */}}
{{- define "mizzen.uses" -}}
{{- $uses := dict
  "gateway" (dict "features" true "retrieval" true "monitoring" true "control" true "inference" true "valkey" true)
  "features" (dict "valkey" true)
  "retrieval" (dict "postgresql" true "inference" true)
  "monitoring" (dict "postgresql" true "valkey" true)
  "control" (dict "postgresql" true)
  "jobs" (dict "postgresql" true "valkey" true) -}}
{{ index $uses . | toYaml }}
{{- end -}}

{{/* Not empty unless the Valkey is somebody else's and none was named. */}}
{{- define "mizzen.valkeyHasPassword" -}}
{{- if or (eq .Values.valkey.mode "bundled") .Values.valkey.secret }}yes{{ end -}}
{{- end -}}

{{/* (root, stream): redis://…, without a password. */}}
{{- define "mizzen.valkeyUrl" -}}
{{- $valkey := .root.Values.valkey -}}
{{- if eq $valkey.mode "bundled" -}}
redis://{{ include "mizzen.name" (dict "root" .root "component" "valkey") }}:6391/0
{{- else -}}
{{- $host := required "valkey.external.host: valkey.mode is external, so say which host" $valkey.external.host -}}
{{- if .stream }}{{ $host = $valkey.external.streamHost | default $host }}{{ end -}}
{{ ternary "rediss" "redis" $valkey.external.tls }}://{{ $host }}:{{ $valkey.external.port }}/{{ $valkey.external.database }}
{{- end -}}
{{- end -}}

{{- define "mizzen.postgresUrl" -}}
{{- if eq .Values.postgresql.mode "bundled" -}}
postgresql://mizzen@{{ include "mizzen.name" (dict "root" . "component" "postgresql") }}:5433/mizzen
{{- else -}}
{{- $it := .Values.postgresql.external -}}
{{- $host := required "postgresql.external.host: postgresql.mode is external, so say which host" $it.host -}}
postgresql://{{ $it.user }}@{{ $host }}:{{ $it.port }}/{{ $it.database }}?sslmode={{ $it.sslMode }}
{{- end -}}
{{- end -}}

{{/* Role that owns the tables; empty: the one that serves does. */}}
{{- define "mizzen.postgresOwner" -}}
{{- $it := .Values.postgresql -}}
{{- if eq $it.mode "bundled" -}}
mizzen_owner
{{- else if and $it.ownerSecret (not $it.external.owner) -}}
{{- fail "postgresql.external.owner: postgresql.ownerSecret is set, so say whose password it has" -}}
{{- else if $it.external.owner -}}
{{- $_ := required "postgresql.ownerSecret: postgresql.external.owner is set, so name the Secret with its password" $it.ownerSecret -}}
{{ $it.external.owner }}
{{- end -}}
{{- end -}}

{{/* (root, component): list of (secret, key, path) of the files a component may see, and no other. */}}
{{- define "mizzen.keyItems" -}}
{{- $root := .root -}}
{{- $uses := include "mizzen.uses" .component | fromYaml -}}
{{- $identity := include "mizzen.secret.identity" $root -}}
{{- if ne .component "jobs" }}
- {secret: {{ $identity }}, key: identity.pub, path: identity.pub}
- {secret: {{ $identity }}, key: service.secret, path: service.secret}
{{- end }}
{{- if eq .component "gateway" }}
- {secret: {{ $identity }}, key: identity.key, path: identity.key}
- {secret: {{ $identity }}, key: api-keys, path: api-keys}
{{- with $root.Values.gateway.grpc.tls }}
{{- if .secret }}
- {secret: {{ .secret }}, key: tls.crt, path: grpc.crt}
- {secret: {{ .secret }}, key: tls.key, path: grpc.key}
{{- if .clientCertificates }}
- {secret: {{ .secret }}, key: ca.crt, path: grpc-clients.crt}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $uses.valkey (include "mizzen.valkeyHasPassword" $root) }}
- {secret: {{ include "mizzen.secret.valkey" $root }}, key: password, path: valkey.password}
{{- end }}
{{- if $uses.postgresql }}
- {secret: {{ include "mizzen.secret.postgresql" $root }}, key: password, path: postgres.password}
{{- end }}
{{- if eq .component "control" }}
- {secret: {{ include "mizzen.secret.adminKey" $root }}, key: api-key, path: admin.key}
{{- end }}
{{- if eq .component "jobs" }}
- {secret: {{ include "mizzen.secret.apiKey" $root }}, key: api-key, path: api-key}
{{- end }}
{{- if and (eq .component "retrieval") $root.Values.retrieval.llm.secret }}
- {secret: {{ $root.Values.retrieval.llm.secret }}, key: api-key, path: llm.key}
{{- end }}
{{- end -}}
