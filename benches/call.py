"""What a whole box costs in a call: CPU by thread, memory, start, and latency by the timestamps in the pixels.

usage: call.py ROOMD SOURCE SECONDS     SOURCE: test, or file:PATH
Starts ROOMD (a release build) on loopback with SOURCE in the room `lobby`, joins it by the unmodified Python SDK as
one subscriber of the full layer and of the sound, and measures four times SECONDS: without, with, without and with a
recording. Prints one JSON object. With the test source it also measures how long the box takes to start.
"""

import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from livekit import api, rtc

from box_config import CONFIG

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests/interop"))
from leaving import run  # noqa: E402

ROOMD, SOURCE, SECONDS = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
STARTS, WINDOWS = 20, ("call", "call_and_recording") * 2


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
    """CPU seconds by thread name, from the scheduler's own clock."""
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


def spread(values):
    return {"median": round(statistics.median(values), 2), "lowest": round(min(values), 2), "highest": round(max(values), 2)}


def percentiles(values):
    ordered = sorted(values)
    return {f"p{of}": round(ordered[(len(ordered) - 1) * of // 100], 1) for of in (50, 95, 100)} if ordered else None


class Box:
    """A roomd in `folder`, ended when the block is left."""

    def __init__(self, folder, port):
        self.folder, self.port = Path(folder), port
        self.config, self.log = self.folder / "roomd.toml", self.folder / "roomd.log"
        self.config.write_text(CONFIG.format(dir=folder, source=SOURCE, port=port))

    def __enter__(self):
        with self.log.open("w") as stderr:
            self.exec_at = time.time()
            self.process = subprocess.Popen([ROOMD, "run", "--config", self.config], stderr=stderr)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ctl(self, *words):
        command = [ROOMD.parent / "roomctl", "--socket", self.folder / "control.sock", "--json", *words]
        done = subprocess.run(command, capture_output=True, text=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def logged_at(self, words):
        """When the first line with `words` was logged; None: not yet."""
        line = next((line for line in self.log.read_text().splitlines() if words in line), None)
        if line is None:
            return None
        whole, fraction = line.split()[0].rstrip("Z").split(".")
        whole = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
        return whole.timestamp() + float("0." + fraction)

    async def until_logged(self, words):
        for _ in range(1000):
            at = self.logged_at(words)
            if at is not None:
                return at
            await asyncio.sleep(0.01)
        raise RuntimeError(f"{words!r} not in the log:\n{self.log.read_text()}")

    def token(self):
        keys = (self.folder / "state/keys.toml").read_text()
        secret = re.search(r'^"?([\w-]+)"? = "([^"]+)"', keys, re.M).groups()
        grants = api.VideoGrants(room_join=True, room="lobby", can_publish=False)
        return api.AccessToken(*secret).with_identity("subscriber").with_grants(grants).to_jwt()

    async def join(self, on_video):
        room = rtc.Room()

        @room.on("track_subscribed")
        def on_track(track, *_):
            if track.kind == rtc.TrackKind.KIND_VIDEO:
                on_video(track)

        await room.connect(f"ws://127.0.0.1:{self.port}", self.token())
        return room


class Watcher:
    """Every picture of the subscriber, when it came out of the decoder."""

    def __init__(self):
        self.track, self.task, self.widths, self.latency_ms = None, None, [], []
        self.first = asyncio.Event()

    def start(self, track):
        self.track, self.task = track, asyncio.create_task(self.watch(track))

    async def watch(self, track):
        async for event in rtc.VideoStream(track, format=rtc.VideoBufferType.I420):
            now, frame = time.time(), event.frame
            self.first.set()
            self.widths.append(frame.width)
            if SOURCE == "test":
                luma = np.frombuffer(frame.data, dtype=np.uint8)[: frame.width * frame.height]
                at = shown(luma.reshape(frame.height, frame.width))
                if at is not None:
                    self.latency_ms.append((now - at / 10_000) * 1000)

    async def received(self):
        """libwebrtc's own sums of this track: seconds and frames."""
        for stats in await self.track.get_stats():
            if stats.WhichOneof("stats") == "inbound_rtp":
                inbound = stats.inbound_rtp.inbound
                return np.array([inbound.total_decode_time, inbound.frames_decoded,
                                 inbound.jitter_buffer_delay, inbound.jitter_buffer_emitted_count])
        return np.zeros(4)


async def window(box, watcher):
    """One measurement of SECONDS."""
    pid = box.process.pid
    watcher.latency_ms.clear()
    frames, received = len(watcher.widths), await watcher.received()
    before, began = thread_cpu(pid), time.monotonic()
    await asyncio.sleep(SECONDS)
    took, after = time.monotonic() - began, thread_cpu(pid)
    decode_s, decoded, waited_s, emitted = await watcher.received() - received
    return {
        "cpu": {name: (after[name] - before.get(name, 0)) / took * 100 for name in after},
        "frames_per_s": (len(watcher.widths) - frames) / took,
        "memory_mib": resident_mib(pid),
        "latency_ms": list(watcher.latency_ms),
        "decode_ms": decode_s / max(decoded, 1) * 1000,
        "jitter_buffer_ms": waited_s / max(emitted, 1) * 1000,
    }


def summary(windows):
    names = sorted({name for one in windows for name in one["cpu"]})
    counted = [sum(cpu for name, cpu in one["cpu"].items() if not name.startswith("capture")) for one in windows]
    recording = [sum(cpu for name, cpu in one["cpu"].items() if name.startswith("record")) for one in windows]
    return {
        "cpu_percent_of_a_core": {name: spread([one["cpu"].get(name, 0) for one in windows]) for name in names},
        "without_capture": spread(counted),
        "record_threads_percent_of_encode_full": spread(
            [share / one["cpu"]["encode-full"] * 100 for share, one in zip(recording, windows)]
        ),
        **{key: spread([one[key] for one in windows]) for key in ("frames_per_s", "memory_mib", "decode_ms", "jitter_buffer_ms")},
        "latency_ms": percentiles([one for window in windows for one in window["latency_ms"]]),
    }


async def call(box):
    watcher = Watcher()
    await box.until_logged("in the room")
    room = await box.join(watcher.start)
    await asyncio.sleep(5)
    windows = []
    for name in WINDOWS:
        if name == "call_and_recording":
            box.ctl("record", "on")
            await asyncio.sleep(3)
        windows.append(await window(box, watcher))
        if name == "call_and_recording":
            box.ctl("record", "off")
            await asyncio.sleep(1)
    await room.disconnect()
    result = {name: summary([one for of, one in zip(WINDOWS, windows) if of == name]) for name in dict.fromkeys(WINDOWS)}
    return {"width": watcher.widths[-1], **result}


async def start(folder, port):
    """From exec to the box being in its room, and to the first picture decoded by who joins as soon as it listens."""
    with Box(folder, port) as box:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                await asyncio.sleep(0.002)
        watcher = Watcher()
        joining = asyncio.create_task(box.join(watcher.start))
        await asyncio.wait_for(watcher.first.wait(), 10)
        seen = time.time() - box.exec_at
        joined = await box.until_logged("in the room") - box.exec_at
        await (await joining).disconnect()
        return joined, seen


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def main():
    with tempfile.TemporaryDirectory() as folder:
        with Box(folder, free_port()) as box:
            result = await call(box)
        if SOURCE == "test":
            starts = [await start(folder, free_port()) for _ in range(STARTS)]
            result["start_to_room_s"] = spread([joined for joined, _ in starts])
            result["start_to_first_picture_decoded_s"] = spread([seen for _, seen in starts])
        result["binary_mib"] = round(os.path.getsize(ROOMD) / 2**20, 2)
        print(json.dumps(result, indent=1))


run(main)
