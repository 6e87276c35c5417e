"""Clients that are no LiveKit SDKs: aiortc watches by WHEP what aiortc, and then FFmpeg's muxer, publish by WHIP.
usage: whip.py <http url> <token of aiortc's camera> <of FFmpeg's camera> <of the viewer>
prints one line of JSON: what the viewer decoded of each."""
import asyncio
import datetime
import fractions
import json
import sys
import tempfile
import threading
import time

import aiohttp
import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamError, VideoStreamTrack
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

URL, CAMERA, FFMPEG, VIEWER = sys.argv[1:5]
# By its size the viewer knows whose picture it is.
SIZES = {"aiortc": (320, 180), "ffmpeg": (640, 360)}
FRAMES, LOUD = 60, 1000


def picture(size, n):
    width, height = size
    return av.VideoFrame.from_ndarray(np.full((height, width, 3), n * 4 % 256, np.uint8), format="rgb24")


def tone(start, samples, rate, layout):
    t = np.arange(start, start + samples)
    wave = (np.sin(t * 2 * np.pi * 440 / rate) * 8000).astype(np.int16)
    channels = 2 if layout == "stereo" else 1
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, channels)[None, :], format="s16", layout=layout)
    frame.pts, frame.sample_rate, frame.time_base = start, rate, fractions.Fraction(1, rate)
    return frame


class Picture(VideoStreamTrack):
    n = 0

    async def recv(self):
        pts, time_base = await self.next_timestamp()
        self.n += 1
        frame = picture(SIZES["aiortc"], self.n)
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    n = 0

    async def recv(self):
        await super().recv()
        self.n += 160
        return tone(self.n - 160, 160, 8000, "mono")


def peer():
    # No STUN server: everything is on this machine.
    return RTCPeerConnection(RTCConfiguration([]))


async def begin(http, way, token, pc):
    await pc.setLocalDescription(await pc.createOffer())
    headers = {"authorization": f"Bearer {token}", "content-type": "application/sdp"}
    async with http.post(f"{URL}/{way}/v1", data=pc.localDescription.sdp, headers=headers) as answer:
        text = await answer.text()
        if answer.status != 201:
            raise SystemExit(f"{way}: {answer.status} {text}")
        await pc.setRemoteDescription(RTCSessionDescription(text, "answer"))
        return answer.headers["location"]


async def end(http, session, token):
    async with http.delete(URL + session, headers={"authorization": f"Bearer {token}"}) as answer:
        return answer.status


class Viewer:
    """Counts the pictures of each publisher, and hears how loud it is."""

    def __init__(self, pc):
        self.frames, self.peak = {name: 0 for name in SIZES}, 0
        pc.on("track", lambda track: asyncio.ensure_future(self.take(track)))

    async def take(self, track):
        try:
            while True:
                frame = await track.recv()
                if track.kind == "audio":
                    self.peak = max(self.peak, int(np.abs(frame.to_ndarray()).max()))
                else:
                    for name, size in SIZES.items():
                        self.frames[name] += size == (frame.width, frame.height)
        except MediaStreamError:
            pass

    async def seen(self, name, failed=lambda: None):
        """Until it has seen and heard enough of a publisher: how much."""
        self.peak = 0
        for _ in range(1200):
            if self.frames[name] >= FRAMES and self.peak >= LOUD:
                return {"frames": self.frames[name], "loud": True}
            if failed():
                raise SystemExit(f"{name}: {failed()}")
            await asyncio.sleep(0.05)
        raise SystemExit(f"never enough of {name}: {self.frames}, peak {self.peak}")


def identity(folder):
    """A certificate on P-256, which RFC 8827 asks for: FFmpeg's own may be on another curve."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    made = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    own = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for path, data in ((f"{folder}/cert.pem", made), (f"{folder}/key.pem", own)):
        with open(path, "wb") as file:
            file.write(data)
    return {"cert_file": f"{folder}/cert.pem", "key_file": f"{folder}/key.pem"}


class Ffmpeg(threading.Thread):
    """FFmpeg's WHIP muxer, 25 pictures a second, until it is stopped."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stopped, self.error = threading.Event(), None

    def run(self):
        try:
            with tempfile.TemporaryDirectory() as folder:
                self.publish(identity(folder))
        except Exception as error:
            self.error = repr(error)

    def publish(self, options):
        width, height = SIZES["ffmpeg"]
        out = av.open(f"{URL}/whip/v1", "w", format="whip", options={"authorization": FFMPEG, **options})
        coding = {"profile": "baseline", "preset": "ultrafast", "tune": "zerolatency", "g": "25", "bf": "0"}
        video = out.add_stream("libx264", rate=25, options=coding)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = out.add_stream("libopus", rate=48000, layout="stereo")
        start, n = time.monotonic(), 0
        while not self.stopped.is_set():
            frame = picture((width, height), n)
            frame.pts, frame.time_base = n, fractions.Fraction(1, 25)
            out.mux(video.encode(frame))
            for part in (0, 960):
                out.mux(audio.encode(tone(n * 1920 + part, 960, 48000, "stereo")))
            n += 1
            time.sleep(max(0.0, start + n / 25 - time.monotonic()))
        out.close()


async def main():
    seen = {}
    async with aiohttp.ClientSession() as http:
        watching, sending = peer(), peer()
        viewer = Viewer(watching)
        for kind in ("audio", "video"):
            watching.addTransceiver(kind, direction="recvonly")
        whep = await begin(http, "whep", VIEWER, watching)

        video = sending.addTransceiver(Picture(), direction="sendonly")
        codecs = RTCRtpSender.getCapabilities("video").codecs
        video.setCodecPreferences([codec for codec in codecs if codec.mimeType == "video/H264"])
        sending.addTransceiver(Tone(), direction="sendonly")
        whip = await begin(http, "whip", CAMERA, sending)
        seen["aiortc"] = await viewer.seen("aiortc")
        seen["ended"] = [await end(http, whip, CAMERA)]
        await sending.close()

        ffmpeg = Ffmpeg()
        ffmpeg.start()
        seen["ffmpeg"] = await viewer.seen("ffmpeg", lambda: ffmpeg.error)
        ffmpeg.stopped.set()
        await asyncio.to_thread(ffmpeg.join, 20)
        seen["ffmpeg"]["error"] = ffmpeg.error
        seen["ended"].append(await end(http, whep, VIEWER))
        await watching.close()
    print(json.dumps(seen))


asyncio.run(main())
