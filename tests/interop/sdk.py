"""The unmodified Python SDK: two participants in one room; publish, subscribe, data, metadata of tracks.
usage: sdk.py <ws url> <token a> <token b>; prints one line of JSON."""
import asyncio
import json
import math
import sys

import numpy as np
from livekit import rtc

from leaving import run

URL, TOKEN_A, TOKEN_B = sys.argv[1:4]
WIDTH, HEIGHT = 640, 360


async def until(what, condition, limit_s=15.0):
    for _ in range(int(limit_s * 20)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise SystemExit(f"never: {what}")


async def pictures(source, stop):
    """A moving picture at 15 frames a second."""
    frame = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for n in range(10_000):
        if stop.is_set():
            return
        frame[:] = (n * 3 % 256, 128, 255 - n * 3 % 256, 255)
        frame[:, (n * 8) % WIDTH : (n * 8) % WIDTH + 8] = 255
        source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.RGBA, frame.tobytes()))
        await asyncio.sleep(1 / 15)


async def tone(source, stop):
    """440 Hz, 10 ms at a time."""
    for n in range(100_000):
        if stop.is_set():
            return
        t = np.arange(n * 480, (n + 1) * 480) / 48_000
        samples = (np.sin(2 * math.pi * 440 * t) * 12_000).astype(np.int16)
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), 48_000, 1, 480))


async def main():
    seen = {"video": 0, "audio_peak": 0, "data": [], "tracks": [], "speakers": [], "left": [], "muted": []}
    a, b = rtc.Room(), rtc.Room()

    async def watch(track):
        async for event in rtc.VideoStream(track):
            seen["video"] += 1
            seen["size"] = [event.frame.width, event.frame.height]

    async def listen(track):
        async for event in rtc.AudioStream(track):
            samples = np.frombuffer(event.frame.data, np.int16)
            seen["audio_peak"] = max(seen["audio_peak"], int(abs(samples.astype(int)).max()))

    @b.on("track_subscribed")
    def _(track, publication, participant):
        seen["tracks"].append([participant.identity, publication.name])
        asyncio.ensure_future(watch(track) if track.kind == rtc.TrackKind.KIND_VIDEO else listen(track))

    @b.on("data_received")
    def _(packet):
        seen["data"].append([packet.participant.identity, packet.data.decode(), packet.topic])

    @b.on("active_speakers_changed")
    def _(speakers):
        seen["speakers"] += [s.identity for s in speakers]

    @b.on("track_muted")
    def _(participant, publication):
        seen["muted"].append([participant.identity, publication.name])

    @b.on("participant_disconnected")
    def _(participant):
        seen["left"].append(participant.identity)

    await a.connect(URL, TOKEN_A)
    await b.connect(URL, TOKEN_B)
    seen["others"] = [p.identity for p in b.remote_participants.values()]

    stop = asyncio.Event()
    camera, microphone = rtc.VideoSource(WIDTH, HEIGHT), rtc.AudioSource(48_000, 1)
    video = rtc.LocalVideoTrack.create_video_track("camera", camera)
    audio = rtc.LocalAudioTrack.create_audio_track("microphone", microphone)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, video_codec=rtc.VideoCodec.H264)
    tasks = [asyncio.ensure_future(pictures(camera, stop)), asyncio.ensure_future(tone(microphone, stop))]
    await a.local_participant.publish_track(video, options)
    published = await a.local_participant.publish_track(
        audio, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE))
    await until("20 pictures decoded", lambda: seen["video"] >= 20)
    await until("the tone heard", lambda: seen["audio_peak"] > 6_000)
    await until("the speaker named", lambda: "python-a" in seen["speakers"])
    await a.local_participant.publish_data(b"hello", reliable=True, topic="greeting")
    await a.local_participant.publish_data(b"fast", reliable=False)
    await a.local_participant.publish_data(b"not for b", reliable=True, destination_identities=["nobody"])
    await until("both messages", lambda: len(seen["data"]) >= 2)
    audio.mute()
    await until("the mute", lambda: seen["muted"])
    await a.local_participant.unpublish_track(published.sid)
    stop.set()
    await asyncio.gather(*tasks)
    await a.disconnect()
    await until("the leave", lambda: seen["left"])
    await b.disconnect()
    print(json.dumps(seen))


run(main)
