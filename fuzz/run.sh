#!/usr/bin/env bash
# Runs every entry of src/fuzz, or those named, for so long each; on stable Rust, without a sanitizer: `unsafe` stands in `sys`
# only. What was learned stays beside the build; a crash is told with the file that holds its input, and the others go on.
#
#   fuzz/run.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")"
seconds=$1
shift
targets=${*:-$(ls seeds)}
# The same versions as in the product; cargo adds libFuzzer's to them.
cp ../Cargo.lock .
export CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-${CARGO_TARGET_DIR:-$PWD/../target}/fuzz} RUSTC_WRAPPER=$PWD/rustc.sh
cargo build --quiet
mkdir -p "$CARGO_TARGET_DIR/found"
failed=
for target in $targets; do
  echo "== $target"
  corpus=$CARGO_TARGET_DIR/corpus/$target
  mkdir -p "$corpus"
  FUZZ_TARGET=$target "$CARGO_TARGET_DIR/debug/roomd-fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 \
    -print_final_stats=1 -artifact_prefix="$CARGO_TARGET_DIR/found/$target-" "$corpus" "seeds/$target" \
    >"$CARGO_TARGET_DIR/found/$target.log" 2>&1 || {
    tail -n 40 "$CARGO_TARGET_DIR/found/$target.log" >&2
    failed="$failed $target"
    continue
  }
  grep -E 'DONE|stat::number_of_executed_units' "$CARGO_TARGET_DIR/found/$target.log"
done
[ -z "$failed" ] || { echo "failed:$failed" >&2; exit 1; }
