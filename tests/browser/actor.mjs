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
    let reason = null, canvas, camera, drawing = false;
    room.on(RoomEvent.DataReceived, (data) => texts.push(new TextDecoder().decode(data)));
    room.on(RoomEvent.TrackMuted, (publication, participant) => muted.add(participant.identity));
    room.on(RoomEvent.ParticipantDisconnected, (participant) => left.push(participant.identity));
    room.on(RoomEvent.Disconnected, (why) => { reason = why; });
    const local = room.localParticipant;
    const h264 = { videoCodec: "h264", backupCodec: false, simulcast: false };
    window.words = {
      async publish(width = 320, height = 180) {
        canvas = Object.assign(document.createElement("canvas"), { width, height });
        canvas.getContext("2d").fillRect(0, 0, width, height);
        // A picture goes out when it is asked for, and only then: so that they can be counted.
        camera = canvas.captureStream(0).getVideoTracks()[0];
        try {
          await local.publishTrack(camera, { name: "camera", source: "camera", ...h264 });
        } catch (error) {
          return { refused: error.message };
        }
        await local.setMicrophoneEnabled(true);
        room.registerRpcMethod("greet", async (call) =>
          `${local.identity} greets ${call.callerIdentity}: ${call.payload}`);
        return null;
      },
      async frames(count, fps = 10, goesOn = () => true) {
        const context = canvas.getContext("2d");
        const { width, height } = canvas;
        for (let n = 0; n < count && goesOn(); n++) {
          context.fillStyle = `rgb(${(n * 3) % 256} 128 ${255 - (n * 3) % 256})`;
          context.fillRect(0, 0, width, height);
          context.fillStyle = "white";
          context.fillRect((n * 8) % width, 0, 8, height);
          camera.requestFrame();
          await new Promise((wake) => setTimeout(wake, 1000 / fps));
        }
        return null;
      },
      async draw(fps) {
        drawing = true;
        words.frames(Infinity, fps, () => drawing);
        return null;
      },
      async rest() {
        drawing = false;
        return null;
      },
      share: () => local.setScreenShareEnabled(true, {}, h264).then(() => null),
      unshare: () => local.setScreenShareEnabled(false).then(() => null),
      async stats() {
        const met = { sent: 0, frames: {}, screens: {}, freezes: {}, heard: {} };
        for (const report of (await local.getTrackPublication("camera")?.track.sender.getStats())?.values() ?? []) {
          if (report.type === "outbound-rtp") met.sent = report.framesSent;
        }
        for (const { identity, trackPublications } of room.remoteParticipants.values()) {
          for (const { source, track } of trackPublications.values()) {
            for (const report of (await track?.receiver.getStats())?.values() ?? []) {
              if (report.type !== "inbound-rtp") continue;
              if (source === "camera") {
                met.frames[identity] = report.framesDecoded;
                met.freezes[identity] = report.freezeCount;
              } else if (source === "screen_share") met.screens[identity] = report.framesDecoded;
              else met.heard[identity] = Math.round(report.totalAudioEnergy * 1e6);
            }
          }
        }
        return met;
      },
      say: (text) => local.publishData(new TextEncoder().encode(text), { reliable: true }).then(() => null),
      call: (destinationIdentity) => local.performRpc({ destinationIdentity, method: "greet", payload: "hello" }),
      mute: () => local.setMicrophoneEnabled(false).then(() => null),
      async seen() {
        const others = [...room.remoteParticipants.values()];
        const tracks = others.flatMap(({ identity, trackPublications }) => [...trackPublications.values()]
          .filter(({ track }) => track).map(({ source }) => `${identity} ${source.replace("_share", "")}`));
        return { data: texts.toSorted(), muted: [...muted].sort(), left, reason, tracks: tracks.sort(),
          others: others.map(({ identity }) => identity).sort() };
      },
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
