"""A guest in the room, by the unmodified Python SDK: hears and sees the box, is heard by it, and tells what it met.

usage: guest.py URL TOKEN SECONDS [low]   ("low": asks for the low layer half way, and for the high one again)
Prints one JSON object.
"""

import asyncio
import json
import sys

import numpy as np
from livekit import rtc

from leaving import run

TONE_HZ, RATE = 1000, 48_000


async def talk(source):
    """A tone of 1 kHz, 20 ms at a time; the source paces it."""
    n = 0
    while True:
        t = (np.arange(960) + n) / RATE
        frame = rtc.AudioFrame.create(RATE, 1, 960)
        np.frombuffer(frame.data, dtype=np.int16)[:] = (np.sin(2 * np.pi * TONE_HZ * t) * 8000).astype(np.int16)
        n += 960
        await source.capture_frame(frame)


class Met:
    def __init__(self):
        self.participants, self.sizes, self.frames = [], [], 0
        self.audio_s, self.energy, self.mutes, self.disconnects = 0.0, [], [], 0
        self.speakers, self.gaps_ms, self.last = set(), [], None

    async def watch(self, track):
        async for event in rtc.VideoStream(track, format=rtc.VideoBufferType.I420):
            now = asyncio.get_running_loop().time()
            self.frames += 1
            if self.last is not None:
                self.gaps_ms.append((now - self.last) * 1000)
            self.last = now
            size = [event.frame.width, event.frame.height]
            if not self.sizes or self.sizes[-1] != size:
                self.sizes.append(size)

    async def listen(self, track):
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            pcm = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.float64)
            self.audio_s += len(pcm) / RATE
            self.energy.append(float(np.sqrt(np.mean(pcm**2))))


async def main():
    url, token, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    met, tasks, camera, sound = Met(), [], [], []
    room = rtc.Room()

    @room.on("track_subscribed")
    def subscribed(track, publication, participant):
        met.participants.append(participant.identity)
        if publication.kind == rtc.TrackKind.KIND_VIDEO:
            camera.append(publication)
            tasks.append(asyncio.create_task(met.watch(track)))
        else:
            sound.append(track)
            tasks.append(asyncio.create_task(met.listen(track)))

    @room.on("track_muted")
    def muted(participant, publication):
        met.mutes.append([publication.name, True])

    @room.on("track_unmuted")
    def unmuted(participant, publication):
        met.mutes.append([publication.name, False])

    @room.on("participant_disconnected")
    def disconnected(participant):
        met.disconnects += 1

    @room.on("active_speakers_changed")
    def speakers(speaking):
        met.speakers.update(participant.identity for participant in speaking)

    await room.connect(url, token)
    source = rtc.AudioSource(RATE, 1)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    await room.local_participant.publish_track(track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE))
    tasks.append(asyncio.create_task(talk(source)))
    print("joined", file=sys.stderr, flush=True)

    if "low" in sys.argv:
        await asyncio.sleep(seconds / 3)
        camera[0].set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_LOW)
        await asyncio.sleep(seconds / 3)
        camera[0].set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_HIGH)
        await asyncio.sleep(seconds / 3)
    else:
        await asyncio.sleep(seconds)

    gaps = sorted(met.gaps_ms)
    packets = 0
    for stats in await sound[0].get_stats() if sound else []:
        if stats.HasField("inbound_rtp"):
            packets += stats.inbound_rtp.received.packets_received
    print(
        json.dumps(
            {
                "participants": sorted(set(met.participants)),
                "present": sorted(p.identity for p in room.remote_participants.values()),
                "frames": met.frames,
                "sizes": met.sizes,
                "longest_gap_ms": gaps[-1] if gaps else None,
                "audio_s": met.audio_s,
                "audio_packets": packets,
                "audio_rms_max": max(met.energy, default=0.0),
                "mutes": met.mutes,
                "disconnects": met.disconnects,
                "speakers": sorted(met.speakers),
            }
        ),
        flush=True,
    )
    for task in tasks:
        task.cancel()
    await room.disconnect()


run(main)
