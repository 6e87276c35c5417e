# The camera is pulled out while recording, and put back five seconds later.
. /share/guest/guest.sh

record_the_camera
camera unbind
wait_for "the camera to be gone" device_is box camera failed
sleep 5
camera bind
wait_for "the camera again" device_is box camera running
sleep 5
order box record off
