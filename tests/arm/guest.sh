# Sourced by every scenario, in the guest. A scenario orders, waits for what must become true and brings the evidence
# to $results; `check.py` judges it on the host. Nothing here depends on how fast the emulated machine is.
set -eu
PATH=/tmp/bin:/bin:/usr/bin
results=/share/results
# How long anything may take, in seconds: far more than it does.
patience=60
roomds=""

say() { echo "$(cut -d' ' -f1 /proc/uptime) $*"; }
fail() {
  say "FAILED: $*"
  exit 1
}

# configuration ID STATE_DIR SOCKET <MORE: what an emulated machine can keep up with.
configuration() {
  cat <<CONF
[box]
id = "$1"
state_dir = "$2"
[control]
socket = "$3"
[video]
simulcast = false
bitrate_kbps = 300
[audio]
echo_cancellation = false
noise_suppression = false
gain_control = false
[recording]
min_free = "10MiB"
CONF
  cat
}

# start_roomd NAME <CONFIGURATION: starts one and waits until it answers. Its log goes to $results/NAME.log.
start_roomd() {
  mkdir -p "/tmp/$1"
  configuration "$1" "/tmp/$1/state" "/tmp/$1/control.sock" >"/tmp/$1/roomd.toml"
  roomd run --config "/tmp/$1/roomd.toml" 2>"$results/$1.log" &
  roomds="$roomds $!"
  wait_for "$1 to answer" ctl "$1" info
  follow "$1"
}

# follow NAME: from now on every version of its state goes to /tmp/NAME/states.
follow() { while :; do ctl "$1" state --watch; sleep 1; done >>"/tmp/$1/states" & }

# ctl NAME ORDER...: roomctl for that one; prints its JSON.
ctl() {
  box=$1
  shift
  roomctl --socket "/tmp/$box/control.sock" --json "$@" 2>&1
}

# wait_for WHAT COMMAND...: until the command succeeds.
wait_for() {
  what=$1 left=$((patience * 5))
  shift
  until "$@" >/tmp/tried 2>&1; do
    for pid in $roomds; do
      kill -0 "$pid" 2>/dev/null || fail "waiting for $what: a roomd has ended"
    done
    left=$((left - 1))
    [ "$left" -gt 0 ] || fail "waited $patience s for $what: $(tail -n 3 /tmp/tried)"
    sleep 0.2
  done
  say "$what"
}

# device_is NAME camera|microphone|speaker STATUS: whether the newest state says so.
device_is() { tail -n 1 "/tmp/$1/states" | grep "\"$2\":{[^}]*\"status\":\"$3\""; }
# Whether any state ever said so: for what may be over before one looks.
device_was() { grep "\"$2\":{[^}]*\"status\":\"$3\"" "/tmp/$1/states"; }
# room_is NAME STATUS
room_is() { tail -n 1 "/tmp/$1/states" | grep "\"room\":{[^}]*\"status\":\"$2\""; }

# order NAME ORDER...: which must be done.
order() {
  answer=$(ctl "$@") || fail "roomctl $*: $answer"
  say "$*: done"
}

# vivid, the camera, out of its socket and in again.
camera() { echo -n vivid.0 >"/sys/bus/platform/drivers/vivid/$1"; }
# snd-aloop, the sound card: what is played into its device 0 is captured from its device 1, and the other way round.
card() { echo -n snd_aloop.0 >"/sys/bus/platform/drivers/snd_aloop/$1"; }
# Somebody speaks into the microphone: the tone is played, over and over, whenever the card is there.
speak() { while :; do aplay -q -D plughw:Loopback,0 /share/tone.wav || sleep 0.5; done 2>/dev/null & }

# Ends every roomd as a service manager would, and brings home what they have made.
finish() {
  status=$?
  for pid in $roomds; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" || { say "FAILED: roomd ended with $?"; status=1; }
  done
  for states in /tmp/*/states; do
    [ ! -e "$states" ] || cp "$states" "$results/$(basename "${states%/states}").states"
  done
  cp /tmp/*/state/recordings/box/*.mp4 /tmp/*.wav "$results/" 2>/dev/null || true
  dmesg >"$results/dmesg"
  exit "$status"
}
trap finish EXIT

# The box records its camera.
record_the_camera() {
  start_roomd box <<CONF
[camera]
source = "/dev/video0"
size = "320x180"
fps = 10
[microphone]
source = "test"
[speaker]
sink = "none"
CONF
  wait_for "the camera" device_is box camera running
  order box record on
  sleep 5
}
