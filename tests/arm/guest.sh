# Sourced by every scenario, in the guest. A scenario orders, waits for what must become true and brings the evidence
# to $results; `check.py` judges it on the host. Nothing here depends on how fast the emulated machine is.
set -eu
PATH=/tmp/bin:/bin
results=/share/results
# How long anything may take, in seconds: far more than it does.
patience=60
roomds=""

say() { echo "$(cut -d' ' -f1 /proc/uptime) $*"; }
fail() {
  say "FAILED: $*"
  exit 1
}

# roomd NAME <CONFIGURATION: starts one and waits until it answers. Its log and every version of its state go to
# $results/NAME.log and NAME.states.
start_roomd() {
  name=$1 dir=/tmp/$1
  mkdir -p "$dir"
  {
    cat <<CONF
[box]
id = "$name"
state_dir = "$dir/state"
[control]
socket = "$dir/control.sock"
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
  } >"$dir/roomd.toml"
  roomd run --config "$dir/roomd.toml" 2>"$results/$name.log" &
  roomds="$roomds $!"
  wait_for "$name to answer" ctl "$name" info
  ctl "$name" state --watch >"$dir/states" &
  say "$name runs"
}

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
# Somebody speaks into the microphone: the tone is played, over and over, for as long as the card is there.
speak() { while aplay -q -D plughw:Loopback,0 /share/tone.wav; do :; done & }

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
