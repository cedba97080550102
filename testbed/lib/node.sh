# Starts and stops a node from the outside: checks, packages, the namespaces, and what is left of them.
# shellcheck shell=bash

S3_ACCESS_KEY=promsafe
S3_SECRET_KEY=promsafe-testbed

# command or file -> Debian package
REQUIRED=(containerd:containerd runc:runc /usr/lib/cni/ptp:containernetworking-plugins nft:nftables iptables:iptables
  ip:iproute2 mkfs.btrfs:btrfs-progs /bin/busybox:busybox-static openssl:openssl)

install_packages() {
  local entry missing=()
  for entry in "${REQUIRED[@]}"; do
    command -v "${entry%:*}" >/dev/null || missing+=("${entry#*:}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "these Debian packages are needed and there is no apt-get: install ${missing[*]}"
  say "installing the Debian packages ${missing[*]}"
  local root=()
  ((EUID == 0)) || root=(sudo)
  { "${root[@]}" apt-get -qq update &&
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get -qq install -y --no-install-recommends "${missing[@]}"; } >&2 ||
    die "apt-get could not install ${missing[*]}: install them by hand and try again"
}

# unpack PACKAGE DIRECTORY PROGRAM...: programs of a Debian package into a directory of the cache. Unpacked, not installed:
# installed it would start a service on this machine.
unpack() {
  local package=$1 directory=$CACHE/$2 part=$CACHE/$2.part
  shift 2
  [[ ! -x $directory/$1 ]] || return 0
  say "unpacking the Debian package $package"
  rm -rf "$part"
  mkdir -p "$part"
  (
    cd "$part"
    apt-get -qq -o APT::Sandbox::User=root download "$package"
    dpkg-deb --fsys-tarfile ./*.deb | tar -x --strip-components=3 "${@/#/./usr/bin/}"
    rm ./*.deb
  ) >&2 || die "the Debian package $package could not be had: try again after apt-get update"
  rm -rf "$directory"
  mv -T "$part" "$directory"
}

unpack_pushgateway() { unpack prometheus-pushgateway pushgateway prometheus-pushgateway; }

# A Prometheus 2.x, whose data directories tests read.
unpack_older_prometheus() { unpack prometheus older-prometheus prometheus; }

check_machine() {
  local controller
  [[ $(uname -s) == Linux ]] || die "the testbed needs Linux: run it in a Linux virtual machine"
  [[ -e /dev/loop-control ]] || die "there are no loop devices here: load the module loop, or run it in a virtual machine"
  grep -qw overlay /proc/filesystems || die "the kernel has no overlay file system: load the module overlay"
  grep -qw btrfs /proc/filesystems || die "the kernel has no btrfs: load the module btrfs, or run it in a virtual machine"
  for controller in "${CGROUPS[@]}"; do
    [[ -d /sys/fs/cgroup/$controller ]] ||
      die "the testbed needs cgroup v1 and there is no /sys/fs/cgroup/$controller: boot with systemd.unified_cgroup_hierarchy=0, or use a virtual machine"
  done
}

node_pid() { recorded_pid "$WORK/init.pid"; }
node_is_up() { [[ -f $WORK/ready ]] && node_pid >/dev/null; }

# The node's own subtree in every hierarchy; its pods run in it.
make_cgroups() {
  local controller file
  for controller in "${CGROUPS[@]}"; do mkdir -p "/sys/fs/cgroup/$controller/promsafe-$NAME"; done
  for file in cpuset.cpus cpuset.mems; do
    cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/promsafe-$NAME/$file"
  done
}

start_node() {
  local began
  began=$(now)
  mkdir -p "$WORK"
  make_cgroups
  # The launched shell records itself before anything else, so that nothing started is ever unknown to `down`.
  export NAME WORK BIN TESTBED_HOME S3_ACCESS_KEY S3_SECRET_KEY
  # shellcheck disable=SC2016
  setsid bash -c '
    read -r stat </proc/self/stat
    read -ra fields <<<"${stat##*) }"
    echo "${stat%% *} ${fields[19]}" >"$WORK/node.pid"
    exec unshare --mount --net --pid --fork --kill-child --propagation private "$TESTBED_HOME/lib/node-init.sh"
  ' >"$WORK/node.log" 2>&1 </dev/null 9>&- &
  wait_for 5 test -s "$WORK/node.pid" || die "the node did not start; see $WORK/node.log"
  local deadline=$((SECONDS + 90))
  until [[ -f $WORK/ready ]]; do
    if ! recorded_pid "$WORK/node.pid" >/dev/null || ((SECONDS > deadline)); then
      tail -n 5 "$WORK/node.log" >&2
      die "the node did not come up; the whole story is in $WORK/node.log and $WORK/logs"
    fi
    sleep 0.1
  done
  say "node, CSI and S3 are up: $(seconds_since "$began")"
}

# stop_node: ends every process of the testbed and takes away all it made. Does the same to half a testbed.
stop_node() {
  local file pid
  for file in node.pid init.pid; do
    pid=$(recorded_pid "$WORK/$file") && kill -KILL "$pid" 2>/dev/null
  done
  for file in node.pid init.pid; do
    wait_for 20 process_is_gone "$WORK/$file" || die "a process of '$NAME' does not die; see $WORK/$file"
  done
  unmount_below "$WORK"
  detach_loop_devices
  remove_cgroups
  rm -rf --one-file-system "$WORK"
}

process_is_gone() { ! recorded_pid "$1"; }

unmount_below() {
  local mountpoint
  while read -r mountpoint; do umount -l "$mountpoint"; done < <(
    awk -v below="$1/" 'index($2, below) == 1 { print $2 }' /proc/self/mounts | sort -r)
}

# The loop device goes by itself with the last mount of it; one that does not is helped.
pool_is_detached() { [[ -z $(losetup -j "$WORK/pool.img") ]]; }
detach_loop_devices() {
  [[ -f $WORK/pool.img ]] || return 0
  wait_for 5 pool_is_detached && return
  losetup -j "$WORK/pool.img" -n -O NAME | xargs -r -n1 losetup -d
  wait_for 5 pool_is_detached || die "the loop device of $WORK/pool.img does not go; see losetup -a"
}

# In every hierarchy, also those that the container runtime added to ours. Only empty directories can be removed, deepest
# first; processes that are just dying make it wait.
cgroups_are_removed() {
  local directory
  for directory in /sys/fs/cgroup/*/promsafe-"$NAME"; do
    [[ -d $directory ]] || continue
    find "$directory" -depth -type d -exec rmdir {} + || true
  done
  [[ -z $(compgen -G "/sys/fs/cgroup/*/promsafe-$NAME") ]]
}
remove_cgroups() { wait_for 10 cgroups_are_removed || die "cgroups of '$NAME' are still in use; see /sys/fs/cgroup/*/promsafe-$NAME"; }
