# Names, paths, messages, and waiting: what every part uses. Knows nothing of Kubernetes.
# shellcheck shell=bash disable=SC2034

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/promsafe-testbed
STATE=${XDG_STATE_HOME:-$HOME/.local/state}/promsafe-testbed
CGROUPS=(cpu cpuacct cpuset memory devices freezer blkio pids systemd)

NAME=default      # of the testbed, --name
WORK=             # its work directory
WITH_STACK=yes    # --no-stack: no
ARGUMENTS=()      # what follows --, or is no option

say() { printf 'testbed: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
die_usage() { say "$*"; exit 2; }

# parse_options COMMAND ARG...: sets NAME, WORK, WITH_STACK and ARGUMENTS.
parse_options() {
  local command=$1
  shift
  while (($#)); do
    case $1 in
      --name) [[ $# -ge 2 ]] || die_usage "--name needs a name"; NAME=$2; shift 2 ;;
      --name=*) NAME=${1#*=}; shift ;;
      --no-stack) WITH_STACK=no; shift ;;
      -h | --help) usage_of "$command"; exit 0 ;;
      --) shift; ARGUMENTS=("$@"); break ;;
      *) case $command:$1 in
           exec:*) ARGUMENTS=("$@"); break ;;
           image:[!-]*) ARGUMENTS+=("$1"); shift ;;
           *) die_usage "'$1' means nothing to $command; see: testbed $command --help" ;;
         esac ;;
    esac
  done
  [[ $NAME =~ ^[a-z0-9][a-z0-9-]{0,19}$ ]] ||
    die_usage "a testbed's name is 1 to 20 lower-case letters, digits and '-', not '$NAME'"
  WORK=$STATE/$NAME
}

# Seconds since the shell started, for "done in".
now() { local t=$EPOCHREALTIME; printf '%s' "${t/[.,]/}"; }
seconds_since() { local us=$(($(now) - $1)); printf '%d.%d s' $((us / 1000000)) $((us / 100000 % 10)); }

# wait_for SECONDS COMMAND...: tries ten times a second; fails at the deadline.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# with_lock FILE COMMAND...: one at a time. What the command leaves running must not inherit the lock: it closes fd 9.
with_lock() {
  local file=$1
  shift
  mkdir -p "$(dirname "$file")"
  exec 9>"$file"
  flock --nonblock 9 || { say "waiting for another testbed command to finish"; flock 9; }
  until [[ $file -ef /proc/self/fd/9 ]]; do # the one that had it removed the file
    exec 9>"$file"
    flock 9
  done
  "$@"
  exec 9>&-
}

is_locked() { [[ -e $1 ]] && ! flock --nonblock "$1" true; }

# A process is named by pid and start time, so a reused pid is never taken for it. The file holds both.
start_time_of() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -ra fields <<<"${stat##*) }" # from the third field on: the second may hold spaces
  [[ ${fields[0]} != Z ]] && echo "${fields[19]}"
}
recorded_pid() {
  local pid start
  read -r pid start 2>/dev/null <"$1" || return 1
  [[ $(start_time_of "$pid") == "$start" ]] && echo "$pid"
}

# as_root COMMAND: goes on as root, with this user's cache, state and PATH; needs sudo for anybody else.
as_root() {
  ((EUID == 0)) && return
  command -v sudo >/dev/null ||
    die "this needs root and there is no sudo: run it as root, or use a virtual machine of your own"
  local options=(--name "$NAME")
  [[ $WITH_STACK == yes ]] || options+=(--no-stack)
  exec sudo env HOME="$HOME" PATH="$PATH" XDG_CACHE_HOME="${CACHE%/*}" XDG_STATE_HOME="${STATE%/*}" \
    "$TESTBED_HOME/testbed" "$1" "${options[@]}" -- "${ARGUMENTS[@]}"
}
