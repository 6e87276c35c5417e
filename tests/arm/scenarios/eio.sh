# The driver reports EIO while recording.
. /share/guest/guest.sh

record_the_camera
v4l2-ctl -d /dev/video0 -c inject_fatal_streaming_error=1
wait_for "the camera to be gone" device_was box camera failed
wait_for "the camera again" device_is box camera running
sleep 5
order box record off
