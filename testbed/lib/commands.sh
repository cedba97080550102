# The commands, one function each, and their help.
# shellcheck shell=bash

declare -A SUMMARY=(
  [check]="say whether this machine can run a testbed"
  [build]="build all binaries into the cache (14 minutes the first time, at once when nothing changed)"
  [bin]="print the directory of the binaries, building them if need be"
  [up]="start a testbed: node, CSI, S3 and the default stack; returns when all is ready"
  [stack]="apply the default stack again and seed its history; brings it back after a disaster"
  [unstack]="delete the whole default stack: the disaster. Snapshot contents stay"
  [image]="make a container image archive known to the node, for pods to use"
  [down]="end a testbed and remove all it made"
  [status]="show what runs"
  [shell]="an interactive shell inside, with kubectl set up"
  [exec]="run a command inside; stdin, output, exit code and signals pass through"
)
COMMANDS=(check build bin up stack unstack image down status shell exec)

usage() {
  local command
  echo "usage: testbed COMMAND [--name NAME]"
  echo
  for command in "${COMMANDS[@]}"; do printf '  %-8s %s\n' "$command" "${SUMMARY[$command]}"; done
  echo
  echo "NAME is 'default' unless said otherwise; testbeds of different names run side by side."
  echo "Everything lies in $STATE and, built once, in $CACHE."
}

usage_of() {
  case $1 in
    check | build | bin) echo "usage: testbed $1" ;;
    up) echo "usage: testbed up [--name NAME] [--no-stack]" ;;
    image) echo "usage: testbed image ARCHIVE [--name NAME]" ;;
    exec) echo "usage: testbed exec [--name NAME] -- COMMAND ARG..." ;;
    *) echo "usage: testbed $1 [--name NAME]" ;;
  esac
  echo
  echo "${SUMMARY[$1]}."
  case $1 in
    up) echo "With --no-stack there are no classes, no operator and no Prometheus. Needs root or sudo, loop devices and cgroup v1." ;;
    image)
      echo "The archive is what \`mkimg\` or \`docker save\` write. Pods use it by the name in it; with the tag latest they need"
      echo "imagePullPolicy: Never, as there is nothing to pull from."
      ;;
    exec)
      echo "The command runs in the caller's directory, as root. Its environment has KUBECONFIG, AWS_* and"
      echo "TESTBED_{NAME,DIR,BIN,POOL,FAULTS,S3_DIR,S3_ENDPOINT,S3_BUCKET}; docs/testing.md says what they are."
      ;;
  esac
}

command_check() {
  check_machine
  ((EUID == 0)) || command -v sudo >/dev/null ||
    die "a testbed needs root and there is no sudo: run it as root, or use a virtual machine of your own"
}

command_build() {
  [[ -x /bin/busybox ]] || install_packages
  unpack_older_prometheus
  build_all
  say "everything is built: $BIN"
}

command_bin() {
  unpack_older_prometheus
  build_all
  echo "$BIN"
}

command_up() {
  check_machine
  install_packages
  unpack_pushgateway
  build_all
  as_root up
  with_lock "$STATE/.lock-$NAME" bring_up
}

bring_up() {
  if node_is_up; then
    if [[ $WITH_STACK == no ]] || inside "$TESTBED_HOME/lib/stack.sh" present; then
      say "'$NAME' is up already"
      return
    fi
  else
    if [[ -d $WORK ]]; then
      say "'$NAME' was left half up: clearing it first"
      stop_node
    fi
    if [[ $WITH_STACK == yes ]]; then make_seed; fi
    say "starting '$NAME'"
    mkdir -p "$WORK"
    echo "BIN=$BIN" >"$WORK/bin.env"
    start_node
  fi
  if [[ $WITH_STACK == yes ]]; then apply_stack; fi
  say "'$NAME' is up; look around with: testbed shell --name $NAME"
}

apply_stack() {
  # shellcheck source=/dev/null
  . "$WORK/bin.env" # the binaries that it was started with
  make_seed
  inside env SEED="$SEED" "$TESTBED_HOME/lib/stack.sh" apply
}

need_up() { node_is_up || die "testbed '$NAME' is not up; start it with: testbed up --name $NAME"; }

command_stack() {
  as_root stack
  need_up
  with_lock "$STATE/.lock-$NAME" apply_stack
}

command_unstack() {
  as_root unstack
  need_up
  with_lock "$STATE/.lock-$NAME" inside "$TESTBED_HOME/lib/stack.sh" delete
}

command_image() {
  ((${#ARGUMENTS[@]} == 1)) || die_usage "image needs one archive: testbed image ARCHIVE"
  local archive=${ARGUMENTS[0]}
  [[ -r $archive && -f $archive ]] || die_usage "there is no file '$archive' to read"
  as_root image
  need_up
  # By its content: the node has directories of its own, and the file may lie below one of them.
  inside ctr -n k8s.io images import - <"$archive" >&2 || die "containerd does not take '$archive': is it an image archive?"
}

command_down() {
  as_root down
  with_lock "$STATE/.lock-$NAME" take_down
  rm -f "$STATE/.lock-$NAME"
}

take_down() {
  if [[ ! -d $WORK ]] && cgroups_are_absent; then
    say "'$NAME' is not up; there is nothing of it"
    return
  fi
  local began
  began=$(now)
  stop_node
  say "'$NAME' is gone: $(seconds_since "$began")"
}

cgroups_are_absent() { [[ -z $(compgen -G "/sys/fs/cgroup/*/promsafe-$NAME") ]]; }

command_status() {
  local name file
  if node_is_up; then
    echo "testbed '$NAME' is up"
    echo "  work directory  $WORK"
    echo "  binaries        $(sed 's/^BIN=//' "$WORK/bin.env")"
    echo "  kubeconfig      $WORK/kubeconfig (10.88.0.1:6443, from inside)"
    echo "  S3              http://10.88.0.1:7070, bucket promsafe, files in $WORK/s3"
    if ((EUID == 0)); then
      echo "  pods ready"
      inside kubectl get pods -A --no-headers 2>/dev/null | awk '
        { split($3, ready, "/"); total[$1]++; good[$1] += ready[1] == ready[2] }
        END { for (n in total) printf "    %-20s %d/%d\n", n, good[n], total[n] }' | sort
    fi
  elif is_locked "$STATE/.lock-$NAME"; then
    echo "testbed '$NAME' is being started or ended by another command"
  elif [[ -d $WORK ]]; then
    echo "testbed '$NAME' is half up: 'testbed up --name $NAME' starts it anew, 'testbed down --name $NAME' clears it"
  else
    echo "testbed '$NAME' is not up"
  fi
  for file in "$STATE"/*/; do
    [[ -d $file ]] || continue
    name=$(basename "$file")
    if [[ -f $file/ready ]] && recorded_pid "$file/init.pid" >/dev/null; then echo "running: $name"; else echo "half up: $name"; fi
  done
}

command_exec() {
  ((${#ARGUMENTS[@]})) || die_usage "exec needs a command: testbed exec -- COMMAND ARG..."
  as_root exec
  need_up
  run_inside "${ARGUMENTS[@]}"
}

command_shell() {
  as_root shell
  need_up
  {
    echo "You are inside the testbed '$NAME': kubectl, promtool, amtool and ctr are at hand, and this machine's files."
    echo "Prometheus: kubectl -n monitoring get pods -o wide, then http://POD-IP:9090. S3: $WORK/s3 (AWS_* are set)."
    echo "Faults: echo 'error no space' > \$TESTBED_FAULTS/create-snapshot; docs/testing.md has more. Leave with exit."
  } >&2
  inside_command "$PWD" env PS1="($NAME) \w # " bash --norc
  exec "${INSIDE[@]}"
}
