{{- /*
What the operator may do where it watches, and nothing else: it reads no Secret, writes no CustomResourceDefinition,
and never writes a BatchedLLM, only its status.
*/ -}}
{{- define "batchedllm.rules" -}}
- apiGroups: [batchedllm.dev]
  resources: [batchedllms]
  verbs: [get, list, watch]
- apiGroups: [batchedllm.dev]
  resources: [batchedllms/status]
  verbs: [patch]
# Owner references that block deletion need this where OwnerReferencesPermissionEnforcement is on (OpenShift).
- apiGroups: [batchedllm.dev]
  resources: [batchedllms/finalizers]
  verbs: [update]
# The children, and the pods that inspect models. Server-side apply of one that is not there yet needs create and patch.
# Pods of replicas are patched with their deletion cost before a scale-in.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts, configmaps, pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
# Why a replica does not start.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
{{- end }}

{{- /* The subject of every binding. */ -}}
{{- define "batchedllm.subjects" -}}
- kind: ServiceAccount
  name: {{ include "batchedllm.serviceAccount" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* Whether dcgm-exporters are read: an operator for some namespaces has to be told where they are. */ -}}
{{- define "batchedllm.readsDcgmExporter" -}}
{{- and .Values.dcgmExporter.enabled (or (eq .Values.watch.scope "cluster") (ne .Values.dcgmExporter.namespace "")) -}}
{{- end }}
