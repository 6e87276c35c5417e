#!/usr/bin/env bash
# One box on loopback, for trying out: a local MQTT broker, roomd with its room server, in the room `lobby`.
# Everything it makes is in .run/ (or $ROOMD_RUN_DIR); Ctrl-C stops it all.
set -euo pipefail
cd "$(dirname "$0")/.."
here=${ROOMD_RUN_DIR:-$PWD/.run}
bin=${CARGO_TARGET_DIR:-target}/${ROOMD_RUN_PROFILE:-release}
mkdir -p "$here/state"

# The port if nobody has it, else one that is free.
port() {
  python3 - "$1" "$2" <<'PY' 2>/dev/null || echo "$1"
import socket, sys
kind = socket.SOCK_DGRAM if sys.argv[2] == "udp" else socket.SOCK_STREAM
for wanted in (int(sys.argv[1]), 0):
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            continue
        print(probe.getsockname()[1])
        break
PY
}

pids=()
stop() {
  trap - EXIT INT TERM
  # roomd first: it tells the broker that it is offline.
  for pid in "${pids[@]}"; do
    kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true
  done
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The camera and the microphone if there are any, the test sources if not.
camera=test microphone=test
case $("$bin/roomd" devices --json --config /dev/null) in *'"path": "/dev/video'*) camera=auto ;; esac
# A line like `00-00: ALC257 Analog : : playback 1 : capture 1` is a device that can be heard.
grep -q capture /proc/asound/pcm 2>/dev/null && microphone=auto

broker=$(port 1883 tcp)
http=$(port 7880 tcp)
cat > "$here/mosquitto.conf" <<CONF
listener $broker 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
CONF
cat > "$here/roomd.toml" <<CONF
[box]
state_dir = "$here/state"
[control]
socket = "$here/control.sock"
[camera]
source = "$camera"
[microphone]
source = "$microphone"
[speaker]
sink = "file:$here/speaker.wav"
[server]
listen = "127.0.0.1:$http"
listen_tls = "${ROOMD_RUN_LISTEN_TLS:-127.0.0.1:$(port 7443 tcp)}"
rtc_udp = $(port 7882 udp)
rtc_tcp = $(port 7881 tcp)
[room]
name = "lobby"
[mqtt]
url = "mqtt://127.0.0.1:$broker"
[recording]
min_free = "200MiB"
CONF

mosquitto=$(command -v mosquitto || echo /usr/sbin/mosquitto)
# Each in a process group of its own: Ctrl-C must reach this script only, which stops them in order.
set -m
"$bin/roomd" run --config "$here/roomd.toml" 2> "$here/roomd.log" &
pids+=($!)
"$mosquitto" -c "$here/mosquitto.conf" > "$here/mosquitto.log" 2>&1 &
pids+=($!)
set +m

ctl() { "$bin/roomctl" --socket "$here/control.sock" "$@"; }
for _ in $(seq 100); do
  curl -sf "http://127.0.0.1:$http/readyz" >/dev/null && break
  kill -0 "${pids[0]}" 2>/dev/null || { echo "roomd did not start:" >&2; tail -5 "$here/roomd.log" >&2; exit 1; }
  sleep 0.1
done

cat <<TEXT

roomd is running (camera: $camera, microphone: $microphone); its log is $here/roomd.log

  this box, for its owner     $(ctl admin-link | head -1)
  the room, for a guest       $(ctl guest-link lobby | head -1)

  try:
    $bin/roomctl --socket $here/control.sock state
    $bin/roomctl --socket $here/control.sock record on      # files in $here/state/recordings
    mosquitto_sub -p $broker -t 'roomd/v1/#' -v
    $bin/roomctl --broker mqtt://127.0.0.1:$broker --box $(cat "$here/state/box-id") ping

Ctrl-C stops it.
TEXT
wait "${pids[0]}"
