"""One participant of the unmodified Python SDK that does what it is told.

usage: actor.py URL TOKEN; each line of input is a JSON array of a word and what belongs to it, each line of output the
answer as a JSON object. The words: publish [WIDTH HEIGHT], frames COUNT [FPS], draw FPS, rest, share, unshare,
stats, say TEXT, call IDENTITY, mute, seen, quit. What may not be published is answered with what the SDK says, {"refused": …}.
"""

import asyncio
import json
import sys

import numpy as np
from livekit import rtc

from leaving import run

RATE = 48_000
SOURCES = {rtc.TrackSource.SOURCE_CAMERA: "camera", rtc.TrackSource.SOURCE_MICROPHONE: "microphone",
           rtc.TrackSource.SOURCE_SCREENSHARE: "screen"}


class Pictures:
    """A video track whose pictures are drawn when they are asked for."""

    def __init__(self, name, width, height):
        self.size, self.source = (width, height), rtc.VideoSource(width, height)
        self.track = rtc.LocalVideoTrack.create_video_track(name, self.source)

    async def draw(self, count, fps):
        width, height = self.size
        picture = np.zeros((height, width, 4), np.uint8)
        for n in range(count):
            picture[:] = (n * 3 % 256, 128, 255 - n * 3 % 256, 255)
            picture[:, (n * 8) % width : (n * 8) % width + 8] = 255
            self.source.capture_frame(rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, picture.tobytes()))
            await asyncio.sleep(1 / fps)


class Actor:
    def __init__(self):
        self.room, self.tasks = rtc.Room(), []
        self.camera, self.screen, self.sharing = None, None, None
        self.videos, self.heard = {}, {}
        self.data, self.muted, self.left, self.reason = [], [], [], None
        self.room.on("track_subscribed", self.subscribed)
        self.room.on("track_unsubscribed", self.unsubscribed)
        self.room.on("data_received", lambda packet: self.data.append(packet.data.decode()))
        self.room.on("track_muted", lambda participant, publication: self.muted.append(participant.identity))
        self.room.on("participant_disconnected", lambda participant: self.left.append(participant.identity))
        self.room.on("disconnected", self.disconnected)

    def disconnected(self, reason):
        self.reason = int(reason)

    def subscribed(self, track, publication, participant):
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            self.videos[participant.identity, SOURCES[publication.source]] = track
        else:
            self.tasks.append(asyncio.ensure_future(self.listen(track, participant.identity)))

    def unsubscribed(self, track, publication, participant):
        self.videos.pop((participant.identity, SOURCES[publication.source]), None)

    async def stats(self):
        """What was sent and decoded; an SDK's own stream of frames leaves some out when its reader is late."""
        met = {"sent": 0, "frames": {}, "screens": {}, "freezes": {}, "heard": self.heard}
        for (identity, source), track in list(self.videos.items()):
            for stats in await track.get_stats():
                if stats.WhichOneof("stats") == "inbound_rtp":
                    inbound = stats.inbound_rtp.inbound
                    met["frames" if source == "camera" else "screens"][identity] = inbound.frames_decoded
                    if source == "camera":
                        met["freezes"][identity] = inbound.freeze_count
        for stats in await self.camera.track.get_stats() if self.camera else []:
            if stats.WhichOneof("stats") == "outbound_rtp":
                met["sent"] = stats.outbound_rtp.outbound.frames_sent
        return met

    async def listen(self, track, identity):
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            peak = int(np.abs(np.frombuffer(event.frame.data, np.int16).astype(int)).max())
            self.heard[identity] = max(self.heard.get(identity, 0), peak)

    async def tone(self, source):
        samples = (np.sin(2 * np.pi * 440 * np.arange(480) / RATE) * 8000).astype(np.int16)
        while True:
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, 480))

    async def publish_video(self, pictures, source):
        options = rtc.TrackPublishOptions(source=source, video_codec=rtc.VideoCodec.H264, simulcast=False)
        return await self.room.local_participant.publish_track(pictures.track, options)

    async def publish(self, width=320, height=180):
        camera, microphone = Pictures("camera", width, height), rtc.AudioSource(RATE, 1)
        self.audio = rtc.LocalAudioTrack.create_audio_track("microphone", microphone)
        local = self.room.local_participant
        try:
            await self.publish_video(camera, rtc.TrackSource.SOURCE_CAMERA)
        except rtc.participant.PublishTrackError as error:
            return {"refused": str(error)}
        self.camera = camera
        await local.publish_track(self.audio, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE))
        self.tasks.append(asyncio.ensure_future(self.tone(microphone)))
        local.register_rpc_method("greet", self.greet)

    async def share(self):
        screen = Pictures("screen", 320, 180)
        self.screen = await self.publish_video(screen, rtc.TrackSource.SOURCE_SCREENSHARE)
        self.sharing = asyncio.ensure_future(screen.draw(10_000, 10))

    async def unshare(self):
        self.sharing.cancel()
        await self.room.local_participant.unpublish_track(self.screen.sid)

    async def greet(self, call):
        return f"{self.room.local_participant.identity} greets {call.caller_identity}: {call.payload}"

    async def do(self, word, *what):
        local = self.room.local_participant
        if word in ("publish", "share", "unshare", "stats"):
            return await getattr(self, word)(*what)
        if word == "draw":
            self.drawing = asyncio.ensure_future(self.camera.draw(1_000_000, *what))
            return None
        if word == "rest":
            self.drawing.cancel()
            return None
        if word == "frames":
            count, fps = (*what, 10)[:2]
            return await self.camera.draw(count, fps)
        if word == "say":
            return await local.publish_data(what[0], reliable=True)
        if word == "call":
            return await local.perform_rpc(destination_identity=what[0], method="greet", payload="hello")
        if word == "mute":
            return self.audio.mute()
        if word == "seen":
            others = sorted(self.room.remote_participants)
            tracks = [f"{other.identity} {SOURCES[track.source]}" for other in self.room.remote_participants.values()
                      for track in other.track_publications.values() if track.subscribed]
            return {"others": others, "tracks": sorted(tracks), "data": sorted(self.data),
                    "muted": sorted(set(self.muted)), "left": self.left, "reason": self.reason}
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
    for task in actor.tasks + [actor.sharing] * bool(actor.sharing):
        task.cancel()
    await actor.room.disconnect()


run(main)
