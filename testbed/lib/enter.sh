# Runs commands inside a testbed's namespaces.
# shellcheck shell=bash

# inside_command DIRECTORY COMMAND...: sets INSIDE, the words that run the command in there. The command dies with the
# process that enters, and that one with this shell.
inside_command() {
  local directory=$1 pid
  shift
  pid=$(node_pid) || die "testbed '$NAME' is not up; start it with: testbed up --name $NAME"
  # shellcheck source=/dev/null
  . "$WORK/bin.env"
  INSIDE=(nsenter --target "$pid" --mount --net --pid env -C "$directory"
    KUBECONFIG="$WORK/kubeconfig" PATH="$BIN:$CACHE/pushgateway:$PATH"
    TESTBED_NAME="$NAME" TESTBED_DIR="$WORK" TESTBED_BIN="$BIN"
    TESTBED_POOL=/run/testbed/pool TESTBED_FAULTS="$WORK/faults"
    TESTBED_S3_DIR="$WORK/s3" TESTBED_S3_ENDPOINT=http://10.88.0.1:7070 TESTBED_S3_BUCKET=promsafe
    AWS_ENDPOINT_URL=http://10.88.0.1:7070 AWS_REGION=us-east-1
    AWS_ACCESS_KEY_ID="$S3_ACCESS_KEY" AWS_SECRET_ACCESS_KEY="$S3_SECRET_KEY"
    setpriv --pdeathsig KILL -- "$@")
}

inside() { # for this program's own use
  local INSIDE
  inside_command / "$@"
  "${INSIDE[@]}"
}

# forward SIGNAL: to the command itself, which is the entering process's child.
forward() {
  local children=
  read -r children 2>/dev/null <"/proc/$ENTERED/task/$ENTERED/children" || true
  # shellcheck disable=SC2086
  [[ -z $children ]] || kill -s "$1" $children 2>/dev/null || true
  SIGNALLED=yes
}

# run_inside COMMAND...: stdin, output, exit code and signals pass through.
run_inside() {
  local code=0
  inside_command "$PWD" "$@"
  for signal in TERM HUP USR1 USR2; do
    # shellcheck disable=SC2064
    trap "forward $signal" $signal
  done
  # A terminal sends these to the whole process group, so the command has them already.
  if [[ -t 0 || -t 1 || -t 2 ]]; then trap 'SIGNALLED=yes' INT QUIT; else trap 'forward INT' INT; trap 'forward QUIT' QUIT; fi
  # A shell starts background commands deaf to INT and QUIT, and without stdin.
  setpriv --pdeathsig KILL env --default-signal=INT,QUIT "${INSIDE[@]}" <&0 &
  ENTERED=$!
  while true; do
    SIGNALLED=no
    code=0
    wait "$ENTERED" 2>/dev/null || code=$? # silent where the shell would tell of a command's death
    [[ $SIGNALLED == yes ]] || exit "$code"
  done
}
