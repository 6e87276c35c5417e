// One participant of the unmodified Node SDK that does what it is told; the words are those of actor.py.
// usage: node actor.mjs URL TOKEN; NODE_MODULES names the modules' folder
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const modules = process.env.NODE_MODULES;
const require = createRequire(`${modules}/`);
const rtc = require("@livekit/rtc-node");
// The Node SDK has no statistics of its own; its library has.
const { FfiClient } = require(`${modules}/@livekit/rtc-node/dist/ffi_client.cjs`);
const { RoomEvent, TrackKind, TrackSource } = rtc;
const RATE = 48000;
const SOURCES = {
  [TrackSource.SOURCE_CAMERA]: "camera", [TrackSource.SOURCE_MICROPHONE]: "microphone",
  [TrackSource.SOURCE_SCREENSHARE]: "screen",
};
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

const room = new rtc.Room();
const seen = { data: [], muted: new Set(), left: [], reason: null };
const videos = [], heard = {};
let camera, screen, drawing = false, talking = true;

// A video track whose pictures are drawn when they are asked for.
class Pictures {
  constructor(name, width, height) {
    Object.assign(this, { width, height, source: new rtc.VideoSource(width, height) });
    this.track = rtc.LocalVideoTrack.createVideoTrack(name, this.source);
  }

  async publish(source) {
    const options = new rtc.TrackPublishOptions({ source, videoCodec: rtc.VideoCodec.H264, simulcast: false });
    this.publication = await room.localParticipant.publishTrack(this.track, options);
  }

  async draw(count, fps, goesOn = () => true) {
    const { width, height } = this;
    for (let n = 0; n < count && goesOn(); n++) {
      const picture = new Uint8Array(width * height * 4).fill((n * 3) % 256);
      const bar = (n * 8) % (width - 8);
      for (let y = 0; y < height; y++) picture.fill(255, (y * width + bar) * 4, (y * width + bar + 8) * 4);
      this.source.captureFrame(new rtc.VideoFrame(picture, width, height, rtc.VideoBufferType.RGBA));
      await sleep(1000 / fps);
    }
  }
}

async function statsOf(track) {
  const value = { trackHandle: track.ffi_handle.handle };
  const { asyncId } = FfiClient.instance.request({ message: { case: "getStats", value } });
  const told = await FfiClient.instance.waitFor((event) =>
    event.message.case === "getStats" && event.message.value.asyncId === asyncId);
  return told.stats.map(({ stats }) => stats);
}

// What was sent and decoded; an SDK's own stream of frames leaves some out when its reader is late.
async function stats() {
  const met = { sent: 0, frames: {}, screens: {}, freezes: {}, heard };
  for (const { case: kind, value } of camera ? await statsOf(camera.track) : []) {
    if (kind === "outboundRtp") met.sent = value.outbound.framesSent;
  }
  for (const { identity, source, track } of [...videos]) {
    for (const { case: kind, value } of await statsOf(track)) {
      if (kind !== "inboundRtp") continue;
      met[source === "camera" ? "frames" : "screens"][identity] = value.inbound.framesDecoded;
      if (source === "camera") met.freezes[identity] = value.inbound.freezeCount;
    }
  }
  return met;
}

async function listen(track, identity) {
  for await (const frame of new rtc.AudioStream(track, RATE, 1)) {
    const peak = frame.data.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    heard[identity] = Math.max(heard[identity] ?? 0, peak);
  }
}

room.on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
  const { identity } = participant;
  if (track.kind === TrackKind.KIND_VIDEO) videos.push({ identity, source: SOURCES[publication.source], track });
  else listen(track, participant.identity);
});
room.on(RoomEvent.TrackUnsubscribed, (track) => {
  const at = videos.findIndex((video) => video.track === track);
  if (at >= 0) videos.splice(at, 1);
});
room.on(RoomEvent.DataReceived, (data) => seen.data.push(new TextDecoder().decode(data)));
room.on(RoomEvent.TrackMuted, (publication, participant) => seen.muted.add(participant.identity));
room.on(RoomEvent.ParticipantDisconnected, (participant) => seen.left.push(participant.identity));
room.on(RoomEvent.Disconnected, (reason) => { seen.reason = reason; });

async function tone(source) {
  const samples = Int16Array.from({ length: 480 }, (_, n) => Math.sin((2 * Math.PI * 440 * n) / RATE) * 8000);
  while (talking) await source.captureFrame(new rtc.AudioFrame(samples, RATE, 1, 480));
}

const words = {
  async publish(width = 320, height = 180) {
    const pictures = new Pictures("camera", width, height);
    try {
      await pictures.publish(TrackSource.SOURCE_CAMERA);
    } catch (error) {
      return { refused: error.message };
    }
    camera = pictures;
    const microphone = new rtc.AudioSource(RATE, 1);
    const local = room.localParticipant;
    await local.publishTrack(rtc.LocalAudioTrack.createAudioTrack("microphone", microphone),
      new rtc.TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE }));
    tone(microphone).catch(() => {});
    local.registerRpcMethod("greet", async (call) => `${local.identity} greets ${call.callerIdentity}: ${call.payload}`);
    return null;
  },
  frames: (count, fps = 10) => camera.draw(count, fps).then(() => null),
  async draw(fps) {
    drawing = true;
    camera.draw(Infinity, fps, () => drawing).catch(() => {});
    return null;
  },
  async rest() {
    drawing = false;
    return null;
  },
  async share() {
    const pictures = new Pictures("screen", 320, 180);
    await pictures.publish(TrackSource.SOURCE_SCREENSHARE);
    screen = pictures;
    pictures.draw(10_000, 10, () => screen === pictures).catch(() => {});
    return null;
  },
  async unshare() {
    const { sid } = screen.publication;
    screen = null;
    await room.localParticipant.unpublishTrack(sid);
    return null;
  },
  stats,
  say: (text) => room.localParticipant.publishData(new TextEncoder().encode(text), { reliable: true }).then(() => null),
  call: (destinationIdentity) =>
    room.localParticipant.performRpc({ destinationIdentity, method: "greet", payload: "hello" }),
  async seen() {
    const others = [...room.remoteParticipants.values()];
    const tracks = others.flatMap(({ identity, trackPublications }) => [...trackPublications.values()]
      .filter((publication) => publication.track).map(({ source }) => `${identity} ${SOURCES[source]}`));
    return { ...seen, data: seen.data.toSorted(), muted: [...seen.muted].sort(), tracks: tracks.sort(),
      others: others.map(({ identity }) => identity).sort() };
  },
};

await room.connect(process.argv[2], process.argv[3], { autoSubscribe: true, dynacast: false });
console.log(JSON.stringify({ answer: "joined" }));
for await (const line of createInterface({ input: process.stdin })) {
  const [word, ...what] = JSON.parse(line);
  if (word === "quit") break;
  console.log(JSON.stringify({ answer: await words[word](...what) }));
}
talking = false;
await room.disconnect();
await rtc.dispose();
process.exit(0);
