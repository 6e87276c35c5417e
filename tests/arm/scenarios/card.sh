# The sound card is pulled out while recording, and put back five seconds later.
. /share/guest/guest.sh

speak
start_roomd box <<CONF
[camera]
source = "test"
size = "320x180"
fps = 10
[microphone]
source = "alsa:hw:CARD=Loopback,DEV=1"
[speaker]
sink = "alsa:hw:CARD=Loopback,DEV=1"
CONF
wait_for "the microphone" device_is box microphone running
wait_for "the speaker" device_is box speaker running
order box record on
sleep 5
# The driver waits until everybody has let go of the card.
{ card unbind; touch /tmp/unbound; } &
wait_for "the microphone to be gone" device_is box microphone failed
wait_for "the speaker to be gone" device_is box speaker failed
wait_for "everybody to have let go of the card" test -e /tmp/unbound
sleep 5
card bind
wait_for "the microphone again" device_is box microphone running
wait_for "the speaker again" device_is box speaker running
sleep 5
order box record off
