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
const [WIDTH, HEIGHT, FPS, RATE] = [320, 180, 10, 48000];
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

const room = new rtc.Room();
const seen = { data: [], muted: new Set(), left: [], reason: null };
const videos = {}, frames = {}, heard = {};
let camera, video, talking = true;

async function statsOf(track) {
  const value = { trackHandle: track.ffi_handle.handle };
  const { asyncId } = FfiClient.instance.request({ message: { case: "getStats", value } });
  const told = await FfiClient.instance.waitFor((event) =>
    event.message.case === "getStats" && event.message.value.asyncId === asyncId);
  return told.stats.map(({ stats }) => stats);
}

// What was sent and decoded; an SDK's own stream of frames leaves some out when its reader is late.
async function stats() {
  let sent = 0;
  for (const { case: kind, value } of video ? await statsOf(video) : []) {
    if (kind === "outboundRtp") sent = value.outbound.framesSent;
  }
  for (const [identity, track] of Object.entries(videos)) {
    for (const { case: kind, value } of await statsOf(track)) {
      if (kind === "inboundRtp") frames[identity] = value.inbound.framesDecoded;
    }
  }
  return { sent, frames, heard };
}

async function listen(track, identity) {
  for await (const frame of new rtc.AudioStream(track, RATE, 1)) {
    const peak = frame.data.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    heard[identity] = Math.max(heard[identity] ?? 0, peak);
  }
}

room.on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
  if (track.kind === TrackKind.KIND_VIDEO) videos[participant.identity] = track;
  else listen(track, participant.identity);
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
  async publish() {
    camera = new rtc.VideoSource(WIDTH, HEIGHT);
    const microphone = new rtc.AudioSource(RATE, 1);
    const local = room.localParticipant;
    const options = new rtc.TrackPublishOptions({
      source: TrackSource.SOURCE_CAMERA, videoCodec: rtc.VideoCodec.H264, simulcast: false,
    });
    video = rtc.LocalVideoTrack.createVideoTrack("camera", camera);
    await local.publishTrack(video, options);
    await local.publishTrack(rtc.LocalAudioTrack.createAudioTrack("microphone", microphone),
      new rtc.TrackPublishOptions({ source: TrackSource.SOURCE_MICROPHONE }));
    tone(microphone).catch(() => {});
    local.registerRpcMethod("greet", async (call) => `${local.identity} greets ${call.callerIdentity}: ${call.payload}`);
    return null;
  },
  async frames(count) {
    for (let n = 0; n < count; n++) {
      const picture = new Uint8Array(WIDTH * HEIGHT * 4).fill((n * 3) % 256);
      for (let y = 0; y < HEIGHT; y++) picture.fill(255, (y * WIDTH + (n * 8) % (WIDTH - 8)) * 4, (y * WIDTH + (n * 8) % (WIDTH - 8) + 8) * 4);
      camera.captureFrame(new rtc.VideoFrame(picture, WIDTH, HEIGHT, rtc.VideoBufferType.RGBA));
      await sleep(1000 / FPS);
    }
    return count;
  },
  stats,
  say: (text) => room.localParticipant.publishData(new TextEncoder().encode(text), { reliable: true }).then(() => null),
  call: (destinationIdentity) =>
    room.localParticipant.performRpc({ destinationIdentity, method: "greet", payload: "hello" }),
  seen: async () => ({
    ...seen, data: seen.data.toSorted(), muted: [...seen.muted].sort(), others: [...room.remoteParticipants.keys()].sort(),
  }),
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
