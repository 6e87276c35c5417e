#!/usr/bin/env bash
# Runs every fuzz target, or those named, for so long each; on stable Rust (no sanitizer: there is no `unsafe` but in
# `sys`). What it has learned stays beside the build; a crash is told with the file that holds its input.
#
#   fuzz/run.sh SECONDS [TARGET...]
set -euo pipefail
cd "$(dirname "$0")"
seconds=$1
shift
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../target}/fuzz
# The same versions as in the product; cargo adds libFuzzer's to them.
cp ../Cargo.lock .
targets=${*:-$(cargo fuzz list)}
cargo fuzz build --sanitizer none
for target in $targets; do
  echo "== $target"
  corpus=$CARGO_TARGET_DIR/corpus/$target
  mkdir -p "$corpus" "$CARGO_TARGET_DIR/found"
  "$CARGO_TARGET_DIR"/*/release/"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -print_final_stats=1 -artifact_prefix="$CARGO_TARGET_DIR/found/$target-" "$corpus" "seeds/$target" 2>&1 |
    grep -v '^#\|NEW_FUNC' || { echo "$target: see $CARGO_TARGET_DIR/found" >&2; exit 1; }
done
