# The device says ENODEV until everybody has let go of it, without leaving its socket: a cable with a bad contact.
. /share/guest/guest.sh

record_the_camera
v4l2-ctl -d /dev/video0 -c disconnect=1
wait_for "the camera to be gone" device_was box camera failed
wait_for "the camera again" device_is box camera running
sleep 5
order box record off
