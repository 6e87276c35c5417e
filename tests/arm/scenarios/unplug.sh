# The camera is pulled out while recording, and put back five seconds later.
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
camera unbind
wait_for "the camera to be gone" device_is box camera failed
sleep 5
camera bind
wait_for "the camera again" device_is box camera running
sleep 5
order box record off
