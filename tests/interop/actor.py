"""One participant of the unmodified Python SDK that does what it is told.

usage: actor.py URL TOKEN; each line of input is a JSON array of a word and what belongs to it, each line of output the
answer as a JSON object. The words: publish, frames COUNT, stats, say TEXT, call IDENTITY, mute, seen, quit.
"""

import asyncio
import json
import sys

import numpy as np
from livekit import rtc

WIDTH, HEIGHT, FPS, RATE = 320, 180, 10, 48_000


class Actor:
    def __init__(self):
        self.room, self.tasks, self.video = rtc.Room(), [], None
        self.videos, self.frames, self.heard = {}, {}, {}
        self.data, self.muted, self.left, self.reason = [], [], [], None
        self.room.on("track_subscribed", self.subscribed)
        self.room.on("data_received", lambda packet: self.data.append(packet.data.decode()))
        self.room.on("track_muted", lambda participant, publication: self.muted.append(participant.identity))
        self.room.on("participant_disconnected", lambda participant: self.left.append(participant.identity))
        self.room.on("disconnected", self.disconnected)

    def disconnected(self, reason):
        self.reason = int(reason)

    def subscribed(self, track, publication, participant):
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            self.videos[participant.identity] = track
        else:
            self.tasks.append(asyncio.ensure_future(self.listen(track, participant.identity)))

    async def stats(self):
        """What was sent and decoded; an SDK's own stream of frames leaves some out when its reader is late."""
        for identity, track in self.videos.items():
            for stats in await track.get_stats():
                if stats.WhichOneof("stats") == "inbound_rtp":
                    self.frames[identity] = stats.inbound_rtp.inbound.frames_decoded
        sent = 0
        for stats in await self.video.get_stats() if self.video else []:
            if stats.WhichOneof("stats") == "outbound_rtp":
                sent = stats.outbound_rtp.outbound.frames_sent
        return {"sent": sent, "frames": self.frames, "heard": self.heard}

    async def listen(self, track, identity):
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            peak = int(np.abs(np.frombuffer(event.frame.data, np.int16).astype(int)).max())
            self.heard[identity] = max(self.heard.get(identity, 0), peak)

    async def tone(self, source):
        samples = (np.sin(2 * np.pi * 440 * np.arange(480) / RATE) * 8000).astype(np.int16)
        while True:
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, 480))

    async def publish(self):
        self.camera, microphone = rtc.VideoSource(WIDTH, HEIGHT), rtc.AudioSource(RATE, 1)
        self.video = rtc.LocalVideoTrack.create_video_track("camera", self.camera)
        self.audio = rtc.LocalAudioTrack.create_audio_track("microphone", microphone)
        options = rtc.TrackPublishOptions(
            source=rtc.TrackSource.SOURCE_CAMERA, video_codec=rtc.VideoCodec.H264, simulcast=False
        )
        local = self.room.local_participant
        await local.publish_track(self.video, options)
        await local.publish_track(self.audio, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE))
        self.tasks.append(asyncio.ensure_future(self.tone(microphone)))
        local.register_rpc_method("greet", self.greet)

    async def greet(self, call):
        return f"{self.room.local_participant.identity} greets {call.caller_identity}: {call.payload}"

    async def frames_(self, count):
        picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        for n in range(count):
            picture[:] = (n * 3 % 256, 128, 255 - n * 3 % 256, 255)
            picture[:, (n * 8) % WIDTH : (n * 8) % WIDTH + 8] = 255
            self.camera.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.RGBA, picture.tobytes()))
            await asyncio.sleep(1 / FPS)
        return count

    async def do(self, word, *what):
        local = self.room.local_participant
        if word == "publish":
            return await self.publish()
        if word == "frames":
            return await self.frames_(*what)
        if word == "stats":
            return await self.stats()
        if word == "say":
            return await local.publish_data(what[0], reliable=True)
        if word == "call":
            return await local.perform_rpc(destination_identity=what[0], method="greet", payload="hello")
        if word == "mute":
            return self.audio.mute()
        if word == "seen":
            others = sorted(self.room.remote_participants)
            return {"others": others, "data": sorted(self.data), "muted": sorted(set(self.muted)),
                    "left": self.left, "reason": self.reason}
        raise ValueError(word)


async def main():
    actor = Actor()
    await actor.room.connect(sys.argv[1], sys.argv[2])
    print(json.dumps({"answer": "joined"}), flush=True)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while (line := await lines.readline()) and (words := json.loads(line)) != ["quit"]:
        print(json.dumps({"answer": await actor.do(*words)}), flush=True)
    for task in actor.tasks:
        task.cancel()
    await actor.room.disconnect()


asyncio.run(main())
