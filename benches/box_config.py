"""The configuration of the box in these benches: `dir` is its folder, `source` a camera and microphone, `port` its HTTP."""

CONFIG = """
[box]
state_dir = "{dir}/state"
name = "bench"
[control]
socket = "{dir}/control.sock"
[camera]
source = "{source}"
[microphone]
source = "{source}"
[speaker]
sink = "file:{dir}/speaker.wav"
[server]
listen = "127.0.0.1:{port}"
listen_tls = ""
rtc_udp = 0
rtc_tcp = 0
node_ip = "127.0.0.1"
[room]
name = "lobby"
[recording]
min_free = "1MiB"
"""
