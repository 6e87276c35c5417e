#!/usr/bin/env bash
# Every figure of benches/README.md. Takes about a quarter of an hour on a machine that should have nothing else to do.
set -euo pipefail
cd "$(dirname "$0")/.."
parts=${ROOMD_TEST_PARTS:-$HOME/.cache/roomd-test}
target=${CARGO_TARGET_DIR:-target}
export ROOMD_TEST_FILM=${ROOMD_TEST_FILM:-$parts/bigbuckbunny.mp4}

(cd web && npm run --silent build)
cargo build --release --locked
camera=$(mktemp -d)/camera.mp4
trap 'rm -rf "$(dirname "$camera")"' EXIT
"$parts/venv/bin/python" benches/camera_clip.py "$camera" 25
for film in "$ROOMD_TEST_FILM" "$camera"; do
  echo "== from frames in memory to encoded stream and MP4, against GStreamer: $film"
  ROOMD_TEST_FILM=$film cargo bench --locked --bench spine
done
cargo bench --locked --bench spine -- voice
echo "== the fleet's protocol"
cargo bench --locked --bench fleet
echo "== forwarding, against livekit-server"
ROOMD_TEST_LIVEKIT_SERVER=${ROOMD_TEST_LIVEKIT_SERVER:-$parts/livekit-server-1.13.5} cargo bench --locked --bench sfu
for source in test "file:$camera" "file:$ROOMD_TEST_FILM"; do
  echo "== a box in a call, source $source"
  "$parts/venv/bin/python" benches/call.py "$target/release/roomd" "$source" 20
done
echo "== three SDKs and a box in one room"
NODE_MODULES="$parts/browser/node_modules" "$parts/venv/bin/python" benches/sdks.py "$target/release/roomd" 60
