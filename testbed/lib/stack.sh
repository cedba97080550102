#!/usr/bin/env bash
# Applies or deletes the default stack. Runs inside the testbed's namespaces: stack.sh apply|delete|present
# Environment: that of `testbed exec`, and SEED, the directory of the history (apply only).
set -euo pipefail

STACK=$(cd "$(dirname "${BASH_SOURCE[0]}")/../stack" && pwd)
NAMESPACES=(prometheus-operator monitoring apps teams legacy secure)
REPLICAS=(0 1)
# What runs, with the replicas that must be available: Deployments, and the operator's instances.
RUNNING=(prometheus-operator/{prometheus-operator,prometheus-operator-admission-webhook}=1
  monitoring/{k8s=2,main=1,dashboards=1} legacy/{prometheus,scratch}=1 secure/{secure,guarded}=1)
# shellcheck source=/dev/null
. "$TESTBED_BIN/paths.env"

say() { printf 'testbed: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
seconds_since() { printf '%d s' $((SECONDS - $1)); }
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}
# shellcheck source=/dev/null
. "$(dirname "${BASH_SOURCE[0]}")/volumes.sh"
apply() { kubectl apply --server-side --force-conflicts --validate=ignore "$@" >/dev/null; }

operator_crds() { kubectl get crd -o name | grep '\.monitoring\.coreos\.com$'; }

# --- apply

apply_operator() {
  # The operator looks once, when it starts, which of its definitions are served.
  apply -f "$OPERATOR/example/prometheus-operator-crd"
  kubectl wait --for=condition=Established --timeout=30s crd -l '!none' >/dev/null
  sed 's/namespace: default/namespace: prometheus-operator/' "$OPERATOR/bundle.yaml" | apply -f -
  local file
  for file in "$OPERATOR"/example/rbac/prometheus/prometheus-{service-account,cluster-role,cluster-role-binding}.yaml; do
    sed 's/namespace: default/namespace: monitoring/' "$file"
    echo ---
  done | apply -n monitoring -f -
}

# A namespace still being deleted refuses what is created in it.
no_namespace_is_terminating() {
  [[ $(kubectl get namespaces "${NAMESPACES[@]}" --ignore-not-found -o 'jsonpath={.items[*].status.phase}{.status.phase}') != *Terminating* ]]
}

# make_certificate NAMESPACE SECRET HOST...: a Secret with a certificate that vouches for itself. One that is there stays.
make_certificate() {
  local namespace=$1 secret=$2 names directory
  shift 2
  ! kubectl -n "$namespace" get secret "$secret" >/dev/null 2>&1 || return 0
  names=$(printf ',DNS:%s' "$@")
  directory=$(mktemp -d)
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=$1" \
    -addext "subjectAltName=${names#,}" -keyout "$directory/tls.key" -out "$directory/tls.crt" 2>/dev/null
  kubectl -n "$namespace" create secret generic "$secret" --from-file="$directory" >/dev/null
  rm -rf "$directory"
}

# All that needs no definition of the operator's.
apply_pods_without_operator() {
  local webhook=prometheus-operator-admission-webhook.prometheus-operator.svc
  make_certificate prometheus-operator admission-webhook-certs "$webhook" "$webhook.cluster.local"
  make_certificate secure secure-tls localhost
  make_certificate secure guarded-tls localhost guarded.secure.svc
  apply -f "$STACK/webhook.yaml" -f "$STACK/legacy.yaml" -f "$STACK/scratch.yaml" -f "$STACK/guarded.yaml" \
    -f "$STACK/dashboards.yaml" -f "$STACK/unreferenced.yaml"
}

apply_custom_resources() {
  apply -f "$STACK/prometheus.yaml" -f "$STACK/alertmanager.yaml" -f "$STACK/secure.yaml"
  # Refused until the webhook runs where its configuration was left.
  wait_for 60 apply -f "$STACK/apps.yaml" -f "$STACK/teams.yaml" || apply -f "$STACK/apps.yaml" -f "$STACK/teams.yaml"
}

apply_webhook_configurations() {
  local certificate
  certificate=$(kubectl -n prometheus-operator get secret admission-webhook-certs -o 'jsonpath={.data.tls\.crt}')
  sed "s|@CA_BUNDLE@|$certificate|" "$STACK/webhook-configurations.yaml" | apply -f -
}

stack_is_ready() {
  local available one
  available=$(kubectl get deployments,prometheuses,alertmanagers -A -o 'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Available")].status} {.metadata.namespace}/{.metadata.name}={.status.availableReplicas}{"\n"}{end}')
  for one in "${RUNNING[@]}"; do [[ $'\n'$available$'\n' == *$'\n'"True $one"$'\n'* ]] || return 1; done
}

# history_is_visible REPLICA TIME: the replica has all 300 seeded series at that time.
history_is_visible() {
  local query='count%28%7B__name__%3D~%22seed_.%2B%22%7D%29' # count({__name__=~"seed_.+"})
  local prometheus=/api/v1/namespaces/monitoring/pods/prometheus-k8s-$1:9090/proxy
  [[ $(kubectl get --raw "$prometheus/api/v1/query?query=$query&time=$2") == *'"300"'* ]]
}

apply_stack() {
  local began=$SECONDS replica
  # shellcheck source=/dev/null
  . "$SEED/seed.env"
  wait_for 120 no_namespace_is_terminating || die "a namespace of the stack is stuck in deletion; see: kubectl get namespaces -o yaml"
  apply -f "$STACK/classes.yaml" -f "$STACK/namespaces.yaml" -f "$STACK/cluster.yaml"
  apply_operator &
  local operator=$!
  # Fails for those that exist, which are left as they are.
  kubectl create -f "$STACK/claims.yaml" >/dev/null 2>&1 || true
  fill_volumes
  apply_pods_without_operator
  wait "$operator" || die "the operator's manifests were refused; see above"
  say "operator, volumes and plain pods applied: $(seconds_since "$began")"
  apply_custom_resources
  wait_for 180 stack_is_ready || die "not all that should run is ready after 3 minutes; see: testbed status"
  apply_webhook_configurations
  say "all pods are ready: $(seconds_since "$began")"
  for replica in "${REPLICAS[@]}"; do
    wait_for 100 history_is_visible "$replica" "$SEED_END" || die "prometheus-k8s-$replica does not show its history"
  done
  { cat "$SEED/seed.env" && echo "SEED=$SEED"; } >"$TESTBED_DIR/seed.env"
  say "the history is visible in both replicas of k8s: $(seconds_since "$began")"
  tell_what_is_there
}

# A line for each namespace: what runs in it, and how many claims hold its data.
tell_what_is_there() {
  kubectl get prometheuses,alertmanagers,deployments,persistentvolumeclaims -A --no-headers \
    -o custom-columns=:.metadata.namespace,:.kind,:.metadata.name |
    awk -v names="${NAMESPACES[*]}" '
      !index(" " names " ", " " $1 " ") { next }
      $2 == "PersistentVolumeClaim" { claims[$1]++; next }
      { runs[$1] = runs[$1] (runs[$1] ? ", " : "") $2 " " $3 }
      END { for (n in runs) printf "testbed:   %s: %s%s\n", n, runs[n], claims[n] ? "; claims: " claims[n] : "" }' | sort >&2
}

# --- delete

delete_stack() {
  local began=$SECONDS namespace
  # The operator first, or it makes again what is deleted. Pods with little grace, as Prometheus allows itself 10 minutes,
  # and what has finalizers now: the namespace controller looks only every few seconds, and sees an empty namespace then.
  kubectl -n prometheus-operator delete deployments --all --wait=false >/dev/null 2>&1 || true
  kubectl delete --ignore-not-found -f "$STACK/webhook-configurations.yaml" >/dev/null
  kubectl delete namespaces "${NAMESPACES[@]}" --ignore-not-found --wait=false >/dev/null
  for namespace in "${NAMESPACES[@]}"; do
    empty_namespace "$namespace" &
  done
  wait
  operator_crds | xargs -r kubectl delete --ignore-not-found --wait=false >/dev/null || true
  kubectl delete --ignore-not-found clusterrole/prometheus-operator clusterrolebinding/prometheus-operator \
    clusterrole/prometheus clusterrolebinding/prometheus >/dev/null
  kubectl delete --ignore-not-found -f "$STACK/cluster.yaml" >/dev/null
  volumes_of_stack Retain | xargs -r kubectl delete pv --ignore-not-found --wait=false >/dev/null
  wait_for 120 stack_is_gone || die "the stack is not gone after 2 minutes; see: kubectl get namespaces,crd,pv"
  # The classes last: deleting a volume or snapshot may look into its class.
  kubectl delete --ignore-not-found -f "$STACK/classes.yaml" >/dev/null
  say "the stack is gone: $(seconds_since "$began")"
}

empty_namespace() {
  kubectl -n "$1" delete statefulsets,volumesnapshots,persistentvolumeclaims --all --wait=false >/dev/null 2>&1 || true
  kubectl -n "$1" delete pods --all --grace-period=1 --wait=false >/dev/null 2>&1 || true
}

# volumes_of_stack POLICY: names of the volumes with that reclaim policy whose claims are or were in the stack's namespaces.
volumes_of_stack() {
  kubectl get pv -o 'jsonpath={range .items[*]}{.metadata.name} {.spec.claimRef.namespace} {.spec.persistentVolumeReclaimPolicy}{"\n"}{end}' |
    awk -v names="${NAMESPACES[*]}" -v policy="$1" 'index(" " names " ", " " $2 " ") && $3 == policy { print $1 }'
}

stack_is_gone() {
  [[ -z $(kubectl get namespaces "${NAMESPACES[@]}" --ignore-not-found -o name) ]] || return 1
  ! operator_crds >/dev/null || return 1
  [[ -z $(volumes_of_stack Retain) && -z $(volumes_of_stack Delete) ]]
}

# --- present

stack_is_present() {
  kubectl get -f "$STACK" >/dev/null 2>&1 && stack_is_ready
}

case ${1:-} in
  apply) apply_stack ;;
  delete) delete_stack ;;
  present) stack_is_present ;;
  *) die "usage: stack.sh apply|delete|present" ;;
esac
