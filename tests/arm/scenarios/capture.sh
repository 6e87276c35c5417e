# Ten seconds of a real camera and a real sound card in a file.
. /share/guest/guest.sh

speak
start_roomd box <<CONF
[camera]
source = "/dev/video0"
size = "320x180"
fps = 10
[microphone]
source = "alsa:hw:CARD=Loopback,DEV=1"
[speaker]
sink = "none"
CONF
wait_for "the camera" device_is box camera running
wait_for "the microphone" device_is box microphone running
order box record on
sleep 10
order box record off
