# What one box says in a room comes out of the sound card of another.
. /share/guest/guest.sh

secret=a-secret-of-the-board-and-of-nobody-else
(umask 077 && printf '[keys]\nboard = "%s"\n' "$secret" >/tmp/keys.toml && echo "$secret" >/tmp/secret)
start_roomd speaking <<CONF
[camera]
source = "none"
[microphone]
source = "test"
[speaker]
sink = "none"
[server]
listen_tls = ""
keys_file = "/tmp/keys.toml"
[room]
name = "lobby"
CONF
wait_for "it to be in its room" room_is speaking joined
start_roomd hearing <<CONF
[camera]
source = "none"
[microphone]
source = "none"
[speaker]
sink = "alsa:hw:CARD=Loopback,DEV=0"
[server]
enabled = false
[room]
name = "lobby"
url = "ws://127.0.0.1:7880"
api_key = "board"
api_secret_file = "/tmp/secret"
CONF
wait_for "the other to be in it too" room_is hearing joined
wait_for "the speaker" device_is hearing speaker running
arecord -q -D plughw:Loopback,1 -f S16_LE -r 48000 -c 1 -d 10 /tmp/heard.wav
say "recorded"
