# Fourteen days of history, made once a day and kept in the cache: blocks that end three hours before now, so that
# they never overlap what a Prometheus started now collects. stack/seed.awk is what the values are.
# shellcheck shell=bash

SEED_STEP=300
SEED_DAYS=14

# make_seed: sets SEED, a directory with blocks/ and seed.env.
make_seed() {
  local key
  key=$({ cat "$TESTBED_HOME/stack/seed.awk"; declare -f generate_seed; echo $SEED_STEP $SEED_DAYS; } | hash_of)
  SEED=$CACHE/seed-$key
  seed_is_fresh || with_lock "$CACHE/.seed-lock" generate_seed
}

seed_is_fresh() { [[ -n $(find "$SEED/seed.env" -mmin -1440 2>/dev/null) ]]; }

generate_seed() {
  seed_is_fresh && return
  local began end start part=$SEED.part
  began=$(now)
  end=$((($(date +%s) - 3 * 3600) / SEED_STEP * SEED_STEP))
  start=$((end - SEED_DAYS * 86400))
  rm -rf "$part"
  mkdir -p "$part"
  awk -v start=$start -v end=$end -v step=$SEED_STEP -f "$TESTBED_HOME/stack/seed.awk" >"$part/seed.om"
  # Blocks as long as Prometheus itself would merge them for this retention, so that it leaves them alone.
  "$BIN/promtool" tsdb create-blocks-from openmetrics --quiet --max-block-duration=54h "$part/seed.om" "$part/blocks" >"$part/log" 2>&1 ||
    { tail -n 3 "$part/log" >&2; die "promtool could not make the history; see $part/log"; }
  rm "$part/seed.om"
  printf 'SEED_START=%d\nSEED_END=%d\nSEED_STEP=%d\n' $start $end $SEED_STEP >"$part/seed.env"
  rm -rf "$SEED"
  mv "$part" "$SEED"
  say "made $SEED_DAYS days of history: $(seconds_since "$began")"
}
