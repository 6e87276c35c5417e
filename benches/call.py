"""What a whole box costs in a call: CPU by thread, memory, start, and latency by the timestamps in the pixels.

usage: call.py ROOMD SOURCE SECONDS     SOURCE: test, or file:PATH
Starts ROOMD (a release build) on loopback with SOURCE in the room `lobby`, joins it by the unmodified Python SDK as
one subscriber of the full layer and of the sound, measures SECONDS without and SECONDS with a recording, and prints
one JSON object.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import numpy as np
from livekit import api, rtc

ROOMD, SOURCE, SECONDS = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
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
listen = "127.0.0.1:0"
listen_tls = ""
rtc_udp = 0
node_ip = "127.0.0.1"
[room]
name = "lobby"
[recording]
min_free = "1MiB"
"""


def crc16(data):
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def shown(luma):
    """The time in the picture in units of 100 us (src/capture/timestamp.rs); None where it cannot be read."""
    cell = luma.shape[1] / 32
    bits = []
    for row in range(2):
        for column in range(32):
            top, left = int((row + 0.25) * cell), int((column + 0.25) * cell)
            size = max(1, int(cell / 2))
            bits.append(luma[top : top + size, left : left + size].mean() > 128)
    data = np.packbits(bits).tobytes()
    return int.from_bytes(data[:6], "big") if crc16(data[:6]) == int.from_bytes(data[6:], "big") else None


def thread_cpu(pid):
    """CPU seconds by thread name."""
    total = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name = (task / "comm").read_text().strip()
            seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
        except (OSError, IndexError):
            continue
        total[name] = total.get(name, 0) + seconds
    return total


def resident_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def start_s(log):
    """From the first line of the log to the line that says that the box is in its room."""
    stamps = {}
    for line in log.splitlines():
        at = datetime.fromisoformat(line.split()[0].split(".")[0]).timestamp() + float("0." + line.split(".")[1].split("Z")[0])
        for word in (": starting ", ": in the room "):
            if word in line:
                stamps.setdefault(word, at)
    return stamps[": in the room "] - stamps[": starting "]


async def watch(track, latencies, counts):
    async for event in rtc.VideoStream(track, format=rtc.VideoBufferType.I420):
        now = time.time()
        frame = event.frame
        counts.append(frame.width)
        if SOURCE == "test":
            luma = np.frombuffer(frame.data, dtype=np.uint8)[: frame.width * frame.height]
            at = shown(luma.reshape(frame.height, frame.width))
            if at is not None:
                latencies.append((now - at / 10_000) * 1000)


async def call(ctl, pid, address, secret):
    token = api.AccessToken(*secret).with_identity("subscriber")
    token = token.with_grants(api.VideoGrants(room_join=True, room="lobby", can_publish=False)).to_jwt()
    room, latencies, counts, tasks = rtc.Room(), [], [], []

    @room.on("track_subscribed")
    def on_track(track, *_):
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            tasks.append(asyncio.create_task(watch(track, latencies, counts)))

    await room.connect(f"ws://{address}", token)
    await asyncio.sleep(5)
    result = {"width": counts[-1]}
    for name in ("call", "call_and_recording"):
        if name == "call_and_recording":
            ctl("record", "on")
            await asyncio.sleep(3)
        latencies.clear()
        frames, before, began = len(counts), thread_cpu(pid), time.monotonic()
        await asyncio.sleep(SECONDS)
        took, after = time.monotonic() - began, thread_cpu(pid)
        cpu = {thread: round((after[thread] - before.get(thread, 0)) / took * 100, 2) for thread in sorted(after)}
        ordered = sorted(latencies) or [0]
        result[name] = {
            "cpu_percent_of_a_core": cpu,
            "without_capture": round(sum(value for thread, value in cpu.items() if not thread.startswith("capture")), 2),
            "frames_per_s": round((len(counts) - frames) / took, 2),
            "memory_mib": round(resident_mib(pid), 1),
            "latency_ms": {f"p{of}": round(ordered[min(len(ordered) - 1, len(ordered) * of // 100)], 1) for of in (50, 95, 100)},
        }
    ctl("record", "off")
    await room.disconnect()
    return result


def main():
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "roomd.toml"
        config.write_text(CONFIG.format(dir=folder, source=SOURCE))
        log = Path(folder) / "roomd.log"
        with log.open("w") as stderr:
            box = subprocess.Popen([ROOMD, "run", "--config", config], stderr=stderr)
        try:
            def ctl(*words):
                done = subprocess.run([ROOMD.parent / "roomctl", "--socket", f"{folder}/control.sock", "--json", *words],
                                      capture_output=True, text=True)
                return json.loads(done.stdout) if done.returncode == 0 else None

            for _ in range(200):
                state = ctl("state")
                if state and (state.get("room") or {}).get("status") == "joined":
                    break
                time.sleep(0.05)
            address = ctl("info")["addresses"]["http"]
            keys = (Path(folder) / "state/keys.toml").read_text()
            secret = re.search(r'^"?([\w-]+)"? = "([^"]+)"', keys, re.M).groups()
            result = asyncio.run(call(ctl, box.pid, address, secret))
            result["start_to_joined_s"] = round(start_s(log.read_text()), 3)
            result["binary_mib"] = round(os.path.getsize(ROOMD) / 2**20, 2)
            print(json.dumps(result, indent=1))
        finally:
            box.terminate()
            box.wait()


main()
