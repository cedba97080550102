# Fills the volumes of the stack before anything mounts them: history for each Prometheus, files for the dashboards. What a
# volume has already is left alone. Part of stack.sh: needs SEED and TESTBED_POOL.
# shellcheck shell=bash

# claim | directory in the volume | which blocks of the history: those at these places, oldest first
SEEDED=(
  "monitoring/prometheus-k8s-db-prometheus-k8s-0 | prometheus-db | 1,\$"
  "monitoring/prometheus-k8s-db-prometheus-k8s-1 | prometheus-db | 1,\$"
  "monitoring/prometheus-k8s-db-prometheus-k8s-2 | prometheus-db | 1,2"
  "legacy/prometheus-data                        | .             | 3,\$"
  "secure/prometheus-secure-db-prometheus-secure-0 | prometheus-db | 5,\$"
  "secure/guarded-data                           | .             | 6,\$"
)
DASHBOARDS=monitoring/dashboards

# Of each bound volume: its claim, and the directory of its data.
bound_volumes() {
  kubectl get pv -o 'jsonpath={range .items[*]}{.status.phase} {.spec.claimRef.namespace}/{.spec.claimRef.name} {.spec.csi.volumeHandle}{"\n"}{end}' |
    awk -v pool="$TESTBED_POOL/volumes" '$1 == "Bound" { print $2, pool "/" $3 }'
}

# find_volumes: sets VOLUMES, claim to directory; fails while one of those to be filled is missing.
declare -A VOLUMES=()
find_volumes() {
  local claim directory row
  while read -r claim directory; do VOLUMES[$claim]=$directory; done < <(bound_volumes)
  for row in "${SEEDED[@]}" "$DASHBOARDS"; do [[ -d ${VOLUMES[${row%% *}]:-} ]] || return 1; done
}

fill_volumes() {
  local row claim directory places
  wait_for 30 find_volumes || die "a claim of $STACK/claims.yaml is not bound; see: testbed shell, kubectl describe pvc -A"
  for row in "${SEEDED[@]}"; do
    IFS=' |' read -r claim directory places <<<"$row"
    seed_volume "${VOLUMES[$claim]}/$directory" "$places"
  done
  write_dashboards "${VOLUMES[$DASHBOARDS]}"
}

# A directory has its history when one of its blocks began more than two days ago.
has_history() {
  local meta began limit=$((($(date +%s) - 2 * 86400) * 1000))
  for meta in "$1"/*/meta.json; do
    [[ -f $meta ]] || continue
    began=$(sed -n 's/.*"minTime": *\([0-9]*\).*/\1/p' "$meta" | head -1)
    ((began > limit)) || return 0
  done
  return 1
}

seed_volume() { # seed_volume DIRECTORY PLACES
  local data=$1 places=$2 block
  if has_history "$data"; then return; fi
  install -d -o 1000 -g 2000 -m 2775 "$data"
  # A running Prometheus sees whole blocks only: they come under a name that it ignores.
  for block in $(ls "$SEED/blocks" | sed -n "${places}p"); do # named by ULID: in the order of their making, and of their time
    cp -r --no-preserve=mode "$SEED/blocks/$block" "$data/.seed-$block"
    chown -R 1000:2000 "$data/.seed-$block"
    chmod -R u=rwX,g=rwX "$data/.seed-$block"
    mv -T "$data/.seed-$block" "$data/$block"
  done
}

# A small file, and one of 256 KiB that no two testbeds share. Both are text, as tests read them through kubectl.
write_dashboards() {
  [[ ! -f $1/dashboards/overview.json ]] || return 0
  install -d -o 1000 -g 2000 -m 2775 "$1/dashboards"
  head -c 196608 /dev/urandom | base64 -w0 >"$1/library.txt"
  echo '{"title": "Overview", "panels": [{"title": "Requests", "expr": "sum(seed_requests_total)"}]}' >"$1/dashboards/overview.json"
  chown -R 1000:2000 "$1/library.txt" "$1/dashboards"
}
