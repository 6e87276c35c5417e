// One participant of the unmodified JS SDK in headless Chromium that does what it is told; the words are those of
// ../interop/actor.py.
// usage: node actor.mjs <http url> <token>; NODE_MODULES names the modules' folder
import { createInterface } from "node:readline";
import { browser, join } from "./page.mjs";

const [url, token] = process.argv.slice(2);
try {
  const page = await join(url, "js", token, false);
  await page.evaluate(() => {
    const { RoomEvent } = LivekitClient;
    const texts = [], muted = new Set(), left = [];
    let reason = null, canvas, camera;
    room.on(RoomEvent.DataReceived, (data) => texts.push(new TextDecoder().decode(data)));
    room.on(RoomEvent.TrackMuted, (publication, participant) => muted.add(participant.identity));
    room.on(RoomEvent.ParticipantDisconnected, (participant) => left.push(participant.identity));
    room.on(RoomEvent.Disconnected, (why) => { reason = why; });
    const local = room.localParticipant;
    window.words = {
      async publish() {
        canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
        canvas.getContext("2d").fillRect(0, 0, 320, 180);
        // A picture goes out when it is asked for, and only then: so that they can be counted.
        camera = canvas.captureStream(0).getVideoTracks()[0];
        await local.publishTrack(camera, { name: "camera", source: "camera", videoCodec: "h264", simulcast: false });
        await local.setMicrophoneEnabled(true);
        room.registerRpcMethod("greet", async (call) =>
          `${local.identity} greets ${call.callerIdentity}: ${call.payload}`);
        return null;
      },
      async frames(count) {
        const context = canvas.getContext("2d");
        for (let n = 0; n < count; n++) {
          context.fillStyle = `rgb(${(n * 3) % 256} 128 ${255 - (n * 3) % 256})`;
          context.fillRect(0, 0, 320, 180);
          context.fillStyle = "white";
          context.fillRect((n * 8) % 320, 0, 8, 180);
          camera.requestFrame();
          await new Promise((wake) => setTimeout(wake, 100));
        }
        return count;
      },
      async stats() {
        const frames = {}, heard = {};
        let sent = 0;
        for (const report of (await local.getTrackPublication("camera").track.sender.getStats()).values()) {
          if (report.type === "outbound-rtp") sent = report.framesSent;
        }
        for (const participant of room.remoteParticipants.values()) {
          for (const publication of participant.trackPublications.values()) {
            for (const report of (await publication.track?.receiver.getStats())?.values() ?? []) {
              if (report.type !== "inbound-rtp") continue;
              if (report.kind === "video") frames[participant.identity] = report.framesDecoded;
              else heard[participant.identity] = Math.round(report.totalAudioEnergy * 1e6);
            }
          }
        }
        return { sent, frames, heard };
      },
      say: (text) => local.publishData(new TextEncoder().encode(text), { reliable: true }).then(() => null),
      call: (destinationIdentity) => local.performRpc({ destinationIdentity, method: "greet", payload: "hello" }),
      mute: () => local.setMicrophoneEnabled(false).then(() => null),
      seen: async () => ({ data: texts.toSorted(), muted: [...muted].sort(), left, reason,
        others: [...room.remoteParticipants.keys()].sort() }),
    };
  });
  console.log(JSON.stringify({ answer: "joined" }));
  for await (const line of createInterface({ input: process.stdin })) {
    const [word, ...what] = JSON.parse(line);
    if (word === "quit") break;
    const answer = await page.evaluate(([word, what]) => words[word](...what), [word, what]);
    console.log(JSON.stringify({ answer }));
  }
} finally {
  await browser.close();
}
process.exit(0);
