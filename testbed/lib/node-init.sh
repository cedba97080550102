#!/usr/bin/env bash
# The node: pid 1 of its own pid, mount and network namespaces, started by lib/node.sh. Everything dies with it.
# Environment: NAME, WORK (work directory), BIN (binaries), TESTBED_HOME (this checkout's testbed/).
set -euo pipefail

# Before /proc is mounted anew it shows the pids that the outside sees.
read -r stat </proc/self/stat
read -ra fields <<<"${stat##*) }"
echo "${stat%% *} ${fields[19]}" >"$WORK/init.pid"

NODE_IP=10.88.0.1
DRIVER=btrfs.csi.promsafe.test
OTHER_DRIVER=other.csi.promsafe.test
RUN=/run/testbed # the work directory under a short name: a unix socket's path ends at 108 bytes
LOGS=$WORK/logs

run() { # run NAME COMMAND...: a component of the node, with its log
  local log=$LOGS/$1.log
  shift
  "$@" >>"$log" 2>&1 </dev/null &
}
wait_for() { # wait_for SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)); then echo "gave up waiting for: $*" >&2; exit 1; fi
    sleep 0.05
  done
}
kubectl() { "$BIN/kubectl" --kubeconfig "$WORK/kubeconfig" "$@"; }
render() { sed -e "s|@RUN@|$RUN|g" -e "s|@WORK@|$WORK|g" -e "s|@NAME@|$NAME|g" -e "s|@NODE_IP@|$NODE_IP|g" "$1"; }

make_mounts() {
  mount --make-rprivate / # nothing goes out
  mount --make-rshared /  # pods may ask for mount propagation
  mount -t proc proc /proc
  local directory
  for directory in var/lib var/log; do # what the kubelet and CNI keep at fixed places stays in here
    mkdir -p "$WORK/private/$directory/"{upper,work}
    mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$WORK/private/$directory/upper,workdir=$WORK/private/$directory/work" "/$directory"
  done
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p $RUN /run/netns /run/lock
  mount --bind "$WORK" $RUN
  # The kubelet insists on some global settings: it is shown what it wants, the machine keeps its own.
  mask_sysctl vm/overcommit_memory 1
  mask_sysctl vm/panic_on_oom 0
  mask_sysctl kernel/panic 10
  mask_sysctl kernel/panic_on_oops 1
}
mask_sysctl() {
  local shown=/run/sysctl-${1//\//-}
  echo "$2" >"$shown"
  mount --bind "$shown" "/proc/sys/$1"
}

make_network() { # no way out: no default route
  ip link set lo up
  ip link add node0 type veth peer name node1
  ip link set node0 up
  ip link set node1 up
  ip address add $NODE_IP/24 dev node0
  echo 1 >/proc/sys/net/ipv4/ip_forward
  ip route add 10.96.0.0/16 dev node0 src $NODE_IP # the API server calls webhooks and APIServices at Service addresses
}

make_keys_and_kubeconfigs() {
  openssl genrsa -out "$WORK/service-account.key" 2048 2>/dev/null
  openssl rsa -in "$WORK/service-account.key" -pubout -out "$WORK/service-account.pub" 2>/dev/null
  cp "$TESTBED_HOME/node/tokens.csv" "$WORK/tokens.csv"
  local user
  for user in controller-manager scheduler proxy node; do
    sed -e "s|@TOKEN@|$user-token|" -e "s|@TRUST@|insecure-skip-tls-verify: true|" "$TESTBED_HOME/node/kubeconfig.yaml" >"$WORK/$user.kubeconfig"
  done
}
make_admin_kubeconfig() { # needs the certificate that the API server makes
  local authority
  authority=$(base64 -w0 "$WORK/apiserver/apiserver.crt")
  sed -e "s|@TOKEN@|admin-token|" -e "s|@TRUST@|certificate-authority-data: $authority|" \
    "$TESTBED_HOME/node/kubeconfig.yaml" >"$WORK/kubeconfig.part"
  mv "$WORK/kubeconfig.part" "$WORK/kubeconfig"
}

start_containerd() {
  mkdir -p "$WORK/cni"
  render "$TESTBED_HOME/node/cni.conflist" >"$WORK/cni/10-pods.conflist"
  render "$TESTBED_HOME/node/containerd.toml" >"$WORK/containerd.toml"
  run containerd containerd -c "$WORK/containerd.toml"
}
import_images() {
  wait_for 20 ctr version
  local image imports=()
  for image in pause operator reloader admission-webhook prometheus alertmanager busybox; do
    ctr -n k8s.io images import "$BIN/images/$image.tar" &
    imports+=($!)
  done
  for image in "${imports[@]}"; do wait "$image"; done
}

start_control_plane() {
  run etcd "$BIN/etcd" "$WORK/etcd"
  run kube-apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir="$WORK/apiserver" \
    --advertise-address=$NODE_IP --bind-address=0.0.0.0 --secure-port=6443 --service-cluster-ip-range=10.96.0.0/16 \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$WORK/service-account.pub" \
    --service-account-signing-key-file="$WORK/service-account.key" --token-auth-file="$WORK/tokens.csv" \
    --authorization-mode=Node,RBAC --allow-privileged=true --kubelet-preferred-address-types=InternalIP \
    --delete-collection-workers=8
  wait_for 60 test -s "$WORK/apiserver/apiserver.crt"
  make_admin_kubeconfig
  wait_for 60 kubectl get --raw /readyz
  # Quick namespace deletion and much concurrency: tests delete and create whole stacks.
  run kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$WORK/controller-manager.kubeconfig" \
    --service-account-private-key-file="$WORK/service-account.key" --root-ca-file="$WORK/apiserver/apiserver.crt" \
    --use-service-account-credentials --leader-elect=false --bind-address=127.0.0.1 --cert-dir="$WORK/controller-manager" \
    --kube-api-qps=200 --kube-api-burst=400 --concurrent-namespace-syncs=20 --namespace-sync-period=2s \
    --concurrent-gc-syncs=40 --pvclaimbinder-sync-period=2s
  render "$TESTBED_HOME/node/scheduler.yaml" >"$WORK/scheduler.yaml"
  run kube-scheduler "$BIN/kube-scheduler" --config="$WORK/scheduler.yaml" --bind-address=127.0.0.1
}

start_kubelet_and_proxy() {
  render "$TESTBED_HOME/node/kubelet.yaml" >"$WORK/kubelet.yaml"
  run kubelet "$BIN/kubelet" --config="$WORK/kubelet.yaml" --kubeconfig="$WORK/node.kubeconfig" --hostname-override=node1 \
    --node-ip=$NODE_IP --root-dir=$RUN/kubelet --cert-dir=$RUN/kubelet-pki
  render "$TESTBED_HOME/node/proxy.yaml" >"$WORK/proxy.yaml"
  run kube-proxy "$BIN/kube-proxy" --config="$WORK/proxy.yaml"
}

make_pool() {
  mkdir -p "$WORK/pool"
  truncate -s 20G "$WORK/pool.img"
  mkfs.btrfs -q "$WORK/pool.img"
  mount -o loop,noatime "$WORK/pool.img" $RUN/pool
  btrfs quota enable $RUN/pool
}

# start_driver NAME POOL FAULTS [OPTION...]: a CSI driver that makes volumes.
start_driver() {
  local name=$1 pool=$2 faults=$3 socket=$RUN/kubelet/plugins/$1/csi.sock
  shift 3
  run "csi-$name" "$BIN/csi-btrfs" -name "$name" -node node1 -pool "$pool" -socket "$socket" -faults "$faults" \
    -register "$RUN/kubelet/plugins_registry/$name-reg.sock" "$@"
  wait_for 10 test -S "$socket"
  run "csi-provisioner-$name" "$BIN/csi-provisioner" --kubeconfig="$WORK/kubeconfig" --csi-address="$socket" --extra-create-metadata \
    --retry-interval-start=200ms --retry-interval-max=5s --kube-api-qps=100 --kube-api-burst=200
}

# The driver of the stack, and another for those who move: it cannot snapshot, and its volumes have 3 GiB or a multiple.
start_csi() {
  start_driver $DRIVER $RUN/pool "$WORK/faults"
  mkdir -p $RUN/pool/other
  start_driver $OTHER_DRIVER $RUN/pool/other "$WORK/no-faults" -step $((3 << 30))
  run csi-snapshotter "$BIN/csi-snapshotter" --kubeconfig="$WORK/kubeconfig" --csi-address=$RUN/kubelet/plugins/$DRIVER/csi.sock \
    --extra-create-metadata --retry-interval-start=500ms --retry-interval-max=5s --kube-api-qps=100 --kube-api-burst=200
  run snapshot-controller "$BIN/snapshot-controller" --kubeconfig="$WORK/kubeconfig" \
    --retry-interval-start=200ms --retry-interval-max=5s --kube-api-qps=100 --kube-api-burst=200
}

start_s3() {
  mkdir -p "$WORK/s3/promsafe" "$WORK/s3-versions"
  ROOT_ACCESS_KEY=$S3_ACCESS_KEY ROOT_SECRET_KEY=$S3_SECRET_KEY \
    run versitygw "$BIN/versitygw" --port $NODE_IP:7070 posix --versioning-dir "$WORK/s3-versions" "$WORK/s3"
}

drivers_are_there() {
  local there
  there=$(kubectl get csinode node1 -o 'jsonpath={.spec.drivers[*].name}')
  [[ $there == *"$DRIVER"* && $there == *"$OTHER_DRIVER"* ]]
}

node_is_ready() {
  [[ $(kubectl get node node1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]] &&
    kubectl -n default get serviceaccount default &&
    drivers_are_there
}

main() {
  mkdir -p "$LOGS" "$WORK/faults" "$WORK/kubelet" "$WORK/etcd"
  make_mounts
  make_network
  start_containerd
  import_images &
  local images=$!
  make_pool &
  local pool=$!
  make_keys_and_kubeconfigs
  start_s3
  start_control_plane
  # shellcheck source=/dev/null
  . "$BIN/paths.env"
  kubectl apply --server-side -f "$TESTBED_HOME/node/objects.yaml" -f "$SNAPSHOT_CRDS"
  start_kubelet_and_proxy
  wait "$pool"
  start_csi
  wait_for 30 node_is_ready
  wait "$images"
  wait_for 10 bash -c "</dev/tcp/$NODE_IP/7070"
  touch "$WORK/ready"
}

main
while true; do # stay: this process is the node, and bash reaps what is orphaned in it
  sleep 3600 &
  wait $! || true
done
