# The figures of copied data: promsafe against what people would use instead, on the same data and the same S3 server, which
# runs on loopback over a directory. Sourced by `bench`.
# shellcheck shell=bash

DATA_GIB=${DATA_GIB:-1}
DATA_ROUNDS=${DATA_ROUNDS:-3}
# What promtool makes: blocks, series, and samples of each in a block. A sample takes one to two bytes, as Prometheus'
# documentation has it ("Storage"): most of what is measured changes little or not at all from one look to the next.
DATA_BLOCKS=46
DATA_SERIES=12000
DATA_STEP=15
# A length that promtool makes one block of.
DATA_BLOCK_SECONDS=21600
DATA_PORT=7071
DATA_KEY=promsafe
DATA_SECRET=promsafe-bench
DATA_READY=no
DATA_PIDS=()
# Milliseconds of each tool's work in a round, by TOOL-WORK.
declare -A TOOK=()

# One block's worth of samples as OpenMetrics: a third gauges, every tenth of them of random values, the others going up and
# down now and then; a third counters, every fourth of them busy; a third buckets of histograms, of every other service.
write_samples() {
  awk -v start="$1" -v end="$2" -v step=$DATA_STEP -v series=$DATA_SERIES -v seed="$1" '
    BEGIN {
      srand(seed)
      third = series / 3
      print "# TYPE bench_temperature gauge"
      for (i = 0; i < third; i++)
        if (i % 10 == 0)
          for (t = start; t < end; t += step) printf "bench_temperature{instance=\"i%d\"} %.9g %d\n", i, rand() * 100, t
        else {
          v = 100
          for (t = start; t < end; t += step) printf "bench_temperature{instance=\"i%d\"} %d %d\n", i, v += int(rand() * 1.2) * (int(rand() * 5) - 2), t
        }
      print "# TYPE bench_requests counter"
      for (i = 0; i < third; i++) {
        v = 0
        most = i % 4 == 0 ? 1000 : 1.2
        for (t = start; t < end; t += step) printf "bench_requests_total{instance=\"i%d\"} %d %d\n", i, v += int(rand() * most), t
      }
      print "# TYPE bench_latency_bucket gauge"
      for (i = 0; i < third; i++) {
        v = 0
        most = int(i / 10) % 2 ? 40 : 1.2
        for (t = start; t < end; t += step) printf "bench_latency_bucket{instance=\"i%d\",le=\"%d\"} %d %d\n", i / 10, i % 10, v += int(rand() * most), t
      }
      print "# EOF"
    }'
}

# The block of this number, in a directory.
make_block() {
  local number=$1 to=$2 start scratch
  scratch=$(mktemp -d "$to.XXXXXX") || return
  start=$(((1700000000 / DATA_BLOCK_SECONDS + number) * DATA_BLOCK_SECONDS))
  write_samples $start $((start + DATA_BLOCK_SECONDS)) >"$scratch/samples" &&
    "$BIN/promtool" tsdb create-blocks-from openmetrics --quiet --max-block-duration=6h "$scratch/samples" "$scratch/block" >&2 &&
    mv "$scratch/block"/*/ "$to/" && rm -rf "$scratch"
}

# A data directory of a GiB, made by promtool once and kept in the cache; and beside it one more block.
make_data() {
  local blocks=$DATA_BLOCKS number=0 cores part key pid pids
  cores=$(nproc)
  key=$({ declare -f write_samples; echo "$DATA_SERIES $DATA_STEP $DATA_BLOCK_SECONDS"; } | sha256sum | cut -c1-16)
  DATA=${XDG_CACHE_HOME:-$HOME/.cache}/promsafe-testbed/bench-data-$key-1
  [[ ! -d $DATA ]] || return 0
  part=$DATA.part
  rm -rf "$part"
  mkdir -p "$part/data" "$part/next"
  make_block $blocks "$part/next" || die "promtool makes no block"
  while ((number < blocks)); do
    say "making blocks from $((number + 1)) of $blocks"
    pids=()
    while ((${#pids[@]} < cores && number < blocks)); do
      make_block $number "$part/data" &
      pids+=($!)
      number=$((number + 1))
    done
    for pid in "${pids[@]}"; do wait "$pid" || die "promtool makes no block"; done
  done
  mv "$part" "$DATA"
}

# More GiB are made of the first one: promtool would take ten minutes for each.
grow_data() {
  local variant=0 bytes missing
  mkdir -p "$WORK/all/data"
  cp -al "$DATA/." "$WORK/all/"
  ((DATA_GIB > 1)) || return 0
  bytes=$(du -sb --apparent-size "$DATA/data" | cut -f1)
  (cd "$ROOT" && cargo build --quiet --example more_blocks) >&2 || die "more blocks cannot be made"
  missing=$((DATA_GIB * 1024 * 1024 * 1024 * DATA_BLOCKS / bytes - DATA_BLOCKS))
  while ((missing > 0)); do
    variant=$((variant + 1))
    "$ROOT/target/debug/examples/more_blocks" "$DATA/data" "$WORK/all/data" $variant $missing || die "there are no more blocks"
    missing=$((missing - DATA_BLOCKS))
  done
  say "$DATA_GIB GiB: $(du -sb --apparent-size "$WORK/all/data" | cut -f1) bytes in $(find "$WORK/all/data" -name meta.json | wc -l) blocks"
}

find_rustic() {
  RUSTIC=$(command -v rustic || echo "${XDG_CACHE_HOME:-$HOME/.cache}/promsafe-testbed/rustic/bin/rustic")
  if [[ ! -x $RUSTIC ]]; then
    say "building rustic (about 15 min the first time, on 2 cores)"
    cargo install --quiet --root "${RUSTIC%/bin/rustic}" --no-default-features rustic-rs >&2 ||
      { say "rustic cannot be built here: the figures compare with restic alone"; RUSTIC=; }
  fi
}

prepare_data() {
  [[ $DATA_READY == no ]] || return 0
  local program
  BIN=$("$HERE/testbed" bin)
  for program in rclone restic; do
    command -v $program >/dev/null || { say "installing $program"; apt-get install -qq -y $program >&2; }
  done
  TOOLS=(promsafe)
  if wanted rclone; then TOOLS+=(rclone); fi
  if wanted restic || wanted deduplicator; then TOOLS+=(restic); fi
  if wanted deduplicator; then
    find_rustic
    TOOLS+=(${RUSTIC:+rustic})
  fi
  make_data
  grow_data
  DATA=$WORK/all
  mkdir -p "$WORK/s3/bucket"
  ROOT_ACCESS_KEY=$DATA_KEY ROOT_SECRET_KEY=$DATA_SECRET "$BIN/versitygw" --port 127.0.0.1:$DATA_PORT posix "$WORK/s3" >"$WORK/s3.log" 2>&1 &
  DATA_PIDS+=($!)
  export AWS_ACCESS_KEY_ID=$DATA_KEY AWS_SECRET_ACCESS_KEY=$DATA_SECRET AWS_REGION=us-east-1
  export PROMSAFE_S3_ENDPOINT=http://127.0.0.1:$DATA_PORT
  export RESTIC_PASSWORD=bench RESTIC_CACHE_DIR=$WORK/restic-cache RUSTIC_PASSWORD=bench
  # The server speaks plain HTTP, and rclone fails where this is set.
  unset AWS_CA_BUNDLE
  DATA_READY=yes
}

end_data() { ((${#DATA_PIDS[@]} == 0)) || kill "${DATA_PIDS[@]}" 2>/dev/null || true; }

# timed_here COMMAND...: wall milliseconds and peak KiB to WALL_MS and PEAK_KIB, output to $WORK/result.out.
timed_here() {
  local began=${EPOCHREALTIME/./}
  /usr/bin/time -q -f %M -o "$WORK/result.kib" "$@" >"$WORK/result.out" 2>"$WORK/result.err" ||
    { tail -n 3 "$WORK/result.err" >&2 && die "this failed: $*"; }
  WALL_MS=$(((${EPOCHREALTIME/./} - began) / 1000))
  PEAK_KIB=$(<"$WORK/result.kib")
}

rclone_remote() {
  echo ":s3,provider=Other,access_key_id=$DATA_KEY,secret_access_key=$DATA_SECRET,endpoint='$PROMSAFE_S3_ENDPOINT':bucket/$1"
}
restic_repository() { echo "s3:$PROMSAFE_S3_ENDPOINT/bucket/$1"; }
# timed_rustic TIMED COMMAND...: it takes the options of its store from a profile alone.
timed_rustic() {
  cat >"$WORK/rustic.toml" <<TOML
[repository]
repository = "opendal:s3"
cache-dir = "$WORK/rustic-cache"
[repository.options]
bucket = "bucket"
root = "/rustic"
endpoint = "$PROMSAFE_S3_ENDPOINT"
region = "us-east-1"
access_key_id = "$DATA_KEY"
secret_access_key = "$DATA_SECRET"
TOML
  "$1" "$RUSTIC" --use-profile "$WORK/rustic" --log-level error --no-progress "${@:2}"
}

# The bytes in the server under a prefix.
stored_bytes() { du -sb --apparent-size "$WORK/s3/bucket/$1" | cut -f1; }

# Whether a figure is asked for whose name holds this. What others do takes most of the time, and is done for their own alone.
wanted() { [[ -z $ONLY || $ONLY == *$1* ]]; }

# The quicker of two deduplicators, of which there may be one alone, in milliseconds.
quickest() { sort -n <<<"$1"$'\n'"${2:-$1}" | head -1; }

# --- what each tool does: copy_TOOL, and extract_TOOL brings it back

copy_promsafe() { timed_here "$PROMSAFE" copy "$WORK/data"; }
extract_promsafe() { timed_to_disk "$PROMSAFE" extract latest --to "$WORK/back"; }

copy_rclone() { timed_here rclone copy --config /dev/null "$WORK/data" "$(rclone_remote rclone)"; }
extract_rclone() { timed_to_disk rclone copy --config /dev/null "$(rclone_remote rclone)" "$WORK/back"; }

copy_restic() {
  [[ -e $WORK/s3/bucket/restic/config ]] || timed_here restic -r "$(restic_repository restic)" init
  timed_here restic -r "$(restic_repository restic)" backup "$WORK/data"
}
extract_restic() { timed_to_disk restic -r "$(restic_repository restic)" restore latest --target "$WORK/back"; }

copy_rustic() {
  [[ -e $WORK/s3/bucket/rustic/config ]] || timed_rustic timed_here init
  timed_rustic timed_here backup "$WORK/data"
}
extract_rustic() { timed_rustic timed_to_disk restore latest "$WORK/back"; }

# timed_to_disk COMMAND...: until what it wrote to $WORK/back is on disk. promsafe sees to that itself, as only then a disk
# tells of its errors; for the others it is waited for. What was written before is on disk first.
timed_to_disk() {
  local ended peak
  sync
  timed_here "$@"
  ended=$WALL_MS peak=$PEAK_KIB
  timed_here sync -f "$WORK/back"
  say "    ${1##*/} ended after $ended ms, and $WALL_MS ms later all was on disk"
  WALL_MS=$((ended + WALL_MS)) PEAK_KIB=$peak
}

# --- rounds

# The data directory as it was before it grew.
lay_out_data() {
  rm -rf "$WORK/data"
  mkdir -p "$WORK/data"
  cp -al "$DATA/data/." "$WORK/data/"
}
grow_by_a_block() { cp -al "$DATA/next/." "$WORK/data/"; }

# note TOOL WORK: what was timed last.
note() {
  TOOK[$1-$2]=$WALL_MS
  say "  $2: $1 $WALL_MS ms"
}

first_copy() {
  cat "$WORK"/data/*/*/* "$WORK"/data/*/index >/dev/null # all read from memory, if there is as much
  "copy_$1"
  note "$1" copy
  if [[ $1 == promsafe ]]; then record copy-peak-memory "$PEAK_KIB * 1024 / 1000000" 1; fi
}

# What the first copy wrote is on disk before: else its writing is measured once more.
next_copy() {
  local before new
  before=$(stored_bytes "$1")
  sync
  "copy_$1"
  note "$1" next
  [[ $1 == promsafe ]] || return 0
  new=$(du -sb --apparent-size "$DATA/next" | cut -f1)
  record next-copy-bytes "($(stored_bytes promsafe) - $before) / $new" 3
}

bring_back() {
  wanted extract || wanted stored || return 0
  rm -rf "$WORK/back"
  mkdir -p "$WORK/back"
  "extract_$1"
  note "$1" extract
  [[ $1 == promsafe ]] || return 0
  record extract-peak-memory "$PEAK_KIB * 1024 / 1000000" 1
  diff -r "$WORK/data" "$WORK/back" >&2 || die "what was extracted differs"
  # Its blocks are read as Prometheus reads them, from the store.
  timed_here "$PROMSAFE" verify latest --level tsdb
  say "  verify --level tsdb of the backup: $WALL_MS ms"
  record stored-peak-memory "$PEAK_KIB * 1024 / 1000000" 1
}

# Where memory holds the stores of all of them the tools take turns at each work, in another order each round; else one
# does all its work and its store goes before the next begins, or what is measured is reading a disk.
measure_data() {
  prepare_data
  local round tool
  export PROMSAFE_STORE=s3://bucket/promsafe
  for ((round = 1; round <= DATA_ROUNDS; round++)); do
    say "copies of $DATA_GIB GiB, round $round of $DATA_ROUNDS: ${TOOLS[*]}"
    rm -rf "${WORK:?}/s3/bucket" "$WORK"/*-cache
    mkdir -p "$WORK/s3/bucket"
    if ((DATA_GIB > 1)); then
      for tool in "${TOOLS[@]}"; do
        lay_out_data
        first_copy "$tool"
        grow_by_a_block
        next_copy "$tool"
        bring_back "$tool"
        rm -rf "${WORK:?}/s3/bucket/$tool" "$WORK/back"
      done
    else
      lay_out_data
      for tool in "${TOOLS[@]}"; do first_copy "$tool"; done
      grow_by_a_block
      for tool in "${TOOLS[@]}"; do next_copy "$tool"; done
      for tool in "${TOOLS[@]}"; do bring_back "$tool"; done
      TOOLS=("${TOOLS[@]:1}" "${TOOLS[0]}")
    fi
    record_round
  done
}

record_round() {
  local work
  for work in copy extract; do
    [[ -n ${TOOK[promsafe-$work]:-} ]] || continue
    ! wanted rclone || record $work-vs-rclone "${TOOK[promsafe-$work]} / ${TOOK[rclone-$work]}" 2
    wanted deduplicator || continue
    record $work-vs-deduplicator "$(quickest "${TOOK[restic-$work]}" "${TOOK[rustic-$work]:-}") / ${TOOK[promsafe-$work]}" 2
  done
  wanted restic || return 0
  record next-copy-vs-restic "${TOOK[restic-next]} / ${TOOK[promsafe-next]}" 2
}

# promtool's look at every block, as people run it; and the bytes through crc32c alone, both on one core.
measure_verify() {
  prepare_data
  local round own
  (cd "$ROOT" && cargo build --quiet --example crc32c) >&2 || die "the pass of crc32c does not build"
  for ((round = 1; round <= DATA_ROUNDS; round++)); do
    timed_here "$PROMSAFE" verify "$DATA/data"
    own=$WALL_MS
    record verify-peak-memory "$PEAK_KIB * 1024 / 1000000" 1
    analyze_blocks
    say "  verify: promsafe $own ms, promtool tsdb analyze $WALL_MS ms"
    record verify-vs-promtool "$WALL_MS / $own" 1
    analyze_blocks --extended
    say "  verify: promtool tsdb analyze --extended $WALL_MS ms"
    record verify-vs-extended "$WALL_MS / $own" 1
    timed_here taskset -c 0 "$PROMSAFE" verify "$DATA/data"
    own=$WALL_MS
    timed_here taskset -c 0 "$ROOT/target/debug/examples/crc32c" "$DATA/data"
    say "  verify: on one core promsafe $own ms, crc32c $WALL_MS ms"
    record verify-vs-crc32c "$WALL_MS / $own" 2
  done
}

# analyze_blocks [OPTION]: of each block alone, as promtool takes one; their wall milliseconds together to WALL_MS.
analyze_blocks() {
  local block sum=0
  for block in "$DATA/data"/*/; do
    timed_here "$BIN/promtool" tsdb analyze "$@" "$DATA/data" "$(basename "$block")"
    sum=$((sum + WALL_MS))
  done
  WALL_MS=$sum
}
