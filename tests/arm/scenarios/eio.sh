# The driver reports EIO while recording.
. /share/guest/guest.sh

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
v4l2-ctl -d /dev/video0 -c inject_fatal_streaming_error=1
wait_for "the camera to be gone" device_was box camera failed
wait_for "the camera again" device_is box camera running
sleep 5
order box record off
