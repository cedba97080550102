#!/usr/bin/env bash
# Applies or deletes the default stack. Runs inside the testbed's namespaces: stack.sh apply|delete|present
# Environment: that of `testbed exec`, and SEED, the directory of the history (apply only).
set -euo pipefail

STACK=$(cd "$(dirname "${BASH_SOURCE[0]}")/../stack" && pwd)
NAMESPACES=(prometheus-operator monitoring apps)
REPLICAS=(0 1)
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
apply() { kubectl apply --server-side --force-conflicts --validate=ignore "$@" >/dev/null; }

operator_crds() { kubectl get crd -o name | grep '\.monitoring\.coreos\.com$'; }

# --- apply

apply_operator() {
  sed 's/namespace: default/namespace: prometheus-operator/' "$OPERATOR/bundle.yaml" | apply -f -
  local file
  for file in "$OPERATOR"/example/rbac/prometheus/prometheus-{service-account,cluster-role,cluster-role-binding}.yaml; do
    sed 's/namespace: default/namespace: monitoring/' "$file"
    echo ---
  done | apply -n monitoring -f -
  kubectl wait --for=condition=Established --timeout=30s crd -l '!none' >/dev/null
}

# A namespace still being deleted refuses what is created in it.
no_namespace_is_terminating() {
  [[ $(kubectl get namespaces "${NAMESPACES[@]}" --ignore-not-found -o 'jsonpath={.items[*].status.phase}{.status.phase}') != *Terminating* ]]
}

make_claims() {
  wait_for 10 kubectl -n monitoring get serviceaccount default || die "the namespace monitoring got no service account"
  # Fails for those that exist, which are left as they are.
  kubectl create -f "$STACK/claims.yaml" >/dev/null 2>&1 || true
}

claim_of() { echo "prometheus-k8s-db-prometheus-k8s-$1"; }
volume_of() { # volume_of REPLICA: the directory of its data; fails when the claim is not bound
  local volume handle
  volume=$(kubectl -n monitoring get pvc "$(claim_of "$1")" -o 'jsonpath={.spec.volumeName}')
  [[ -n $volume ]] || return 1
  handle=$(kubectl get pv "$volume" -o 'jsonpath={.spec.csi.volumeHandle}')
  [[ -n $handle && -d $TESTBED_POOL/volumes/$handle ]] && echo "$TESTBED_POOL/volumes/$handle"
}

# A volume has its history when one of its blocks began more than ten days ago.
has_history() {
  local meta began limit=$((($(date +%s) - 10 * 86400) * 1000))
  for meta in "$1"/prometheus-db/*/meta.json; do
    [[ -f $meta ]] || continue
    began=$(sed -n 's/.*"minTime": *\([0-9]*\).*/\1/p' "$meta" | head -1)
    ((began > limit)) || return 0
  done
  return 1
}

seed_replica() {
  local volume data block
  wait_for 30 volume_of "$1" || die "the claim $(claim_of "$1") is not bound; see: testbed shell, kubectl -n monitoring describe pvc"
  volume=$(volume_of "$1")
  data=$volume/prometheus-db
  if has_history "$volume"; then return; fi
  install -d -o 1000 -g 2000 -m 2775 "$data"
  # A running Prometheus sees whole blocks only: they come under a name that it ignores.
  for block in "$SEED"/blocks/*/; do
    block=$(basename "$block")
    cp -r --no-preserve=mode "$SEED/blocks/$block" "$data/.seed-$block"
    chown -R 1000:2000 "$data/.seed-$block"
    chmod -R u=rwX,g=rwX "$data/.seed-$block"
    mv -T "$data/.seed-$block" "$data/$block"
  done
}

stack_is_ready() {
  [[ $(kubectl -n monitoring get prometheus/k8s alertmanager/main \
    -o 'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Available")].status}{.status.availableReplicas},{end}') == True2,True1, ]] &&
    [[ $(kubectl -n prometheus-operator get deployment prometheus-operator -o 'jsonpath={.status.readyReplicas}') == 1 ]]
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
  apply -f "$STACK/classes.yaml" -f "$STACK/namespaces.yaml"
  apply_operator &
  local operator=$!
  make_claims
  for replica in "${REPLICAS[@]}"; do seed_replica "$replica"; done
  wait "$operator" || die "the operator's manifests were refused; see above"
  say "classes, operator and seeded claims applied: $(seconds_since "$began")"
  apply -f "$STACK/prometheus.yaml" -f "$STACK/alertmanager.yaml" -f "$STACK/apps.yaml"
  wait_for 180 stack_is_ready || die "Prometheus or Alertmanager is not ready after 3 minutes; see: testbed status"
  say "operator, Prometheus and Alertmanager are ready: $(seconds_since "$began")"
  for replica in "${REPLICAS[@]}"; do
    wait_for 100 history_is_visible "$replica" "$SEED_END" || die "prometheus-k8s-$replica does not show its history"
  done
  { cat "$SEED/seed.env" && echo "SEED=$SEED"; } >"$TESTBED_DIR/seed.env"
  say "the history is visible in both replicas: $(seconds_since "$began")"
}

# --- delete

delete_stack() {
  local began=$SECONDS namespace
  # The operator first, or it makes again what is deleted. Pods with little grace, as Prometheus allows itself 10 minutes,
  # and what has finalizers now: the namespace controller looks only every few seconds, and sees an empty namespace then.
  kubectl -n prometheus-operator delete deployments --all --wait=false >/dev/null 2>&1 || true
  kubectl delete namespaces "${NAMESPACES[@]}" --ignore-not-found --wait=false >/dev/null
  for namespace in "${NAMESPACES[@]}"; do
    empty_namespace "$namespace" &
  done
  wait
  operator_crds | xargs -r kubectl delete --ignore-not-found --wait=false >/dev/null || true
  kubectl delete --ignore-not-found clusterrole/prometheus-operator clusterrolebinding/prometheus-operator \
    clusterrole/prometheus clusterrolebinding/prometheus >/dev/null
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
