# The service as it is installed, hardened, with a real camera and a real sound card: it is ready, it is stopped dead
# while recording, the watchdog ends it, and the next one goes on recording.
. /share/guest/guest.sh
# The watchdog alone takes half a minute.
patience=120

cp -r /share/tree/. /
systemd-sysusers
systemd-tmpfiles --create roomd.conf
systemctl daemon-reload
configuration box /var/lib/roomd /run/roomd/control.sock >/etc/roomd/roomd.toml <<CONF
[camera]
source = "/dev/video0"
size = "320x180"
fps = 10
[microphone]
source = "alsa:hw:CARD=Loopback,DEV=1"
[speaker]
sink = "alsa:hw:CARD=Loopback,DEV=1"
CONF
mkdir -p /tmp/box
ln -s /run/roomd/control.sock /tmp/box/control.sock
speak
systemctl start roomd
say "the service is ready"
follow box
wait_for "the camera" device_is box camera running
wait_for "the microphone" device_is box microphone running
wait_for "the speaker" device_is box speaker running
order box record on
sleep 5
kill -STOP "$(systemctl show -P MainPID roomd)"
say "it stands still"
restarted() { [ "$(systemctl show -P NRestarts roomd)" -ge 1 ] && systemctl is-active roomd; }
wait_for "the watchdog to have ended it and the next one to be ready" restarted
recording() { ctl box state | grep '"status":"recording"'; }
wait_for "it to record again" recording
sleep 5
order box record off
systemctl show roomd >"$results/unit"
systemctl stop roomd
journalctl -u roomd -o short-monotonic >"$results/journal.log"
cp /var/lib/roomd/recordings/box/*.mp4 "$results/"
