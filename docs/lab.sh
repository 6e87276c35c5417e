#!/usr/bin/env bash
# A new box from nothing to recording, all on this machine: broker, enrolment server, box. Needs roomd, roomctl, mosquitto.
set -euo pipefail
lab=$(realpath -m "${1:-/tmp/roomd-lab}") https=${HTTPS_PORT:-8443} mqtts=${MQTTS_PORT:-8883}
export ROOMD_BOX__STATE_DIR=$lab/box ROOMD_CONTROL__SOCKET=$lab/control.sock
trap 'kill $(jobs -p); wait' EXIT
roomctl enroll-server init "$lab/fleet" --host localhost --bind 127.0.0.1 --port "$https" --broker-port "$mqtts"
mosquitto -c "$lab/fleet/mosquitto.conf" &
roomctl enroll-server run "$lab/fleet" &
roomctl enroll-server token "$lab/fleet" --name "the lab's box" > "$lab/roomd-provision.json"
roomctl provision --file "$lab/roomd-provision.json"      # the key is made, the certificate fetched, the token gone
roomd run 2> "$lab/roomd.log" &
export ROOMCTL_BROKER=mqtts://localhost:$mqtts ROOMCTL_BOX=$(cat "$lab/box/box-id") ROOMCTL_CA_FILE=$lab/fleet/ca.crt \
  ROOMCTL_CERT_FILE=$lab/fleet/operator.crt ROOMCTL_KEY_FILE=$lab/fleet/operator.key
until roomctl --timeout 5 ping; do sleep 1; done          # over the broker, as whoever runs the fleet
roomctl record on
sleep 5
roomctl record off
ls -l "$lab"/box/recordings/*/*.mp4
