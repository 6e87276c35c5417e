// Pages of headless Chromium with the unmodified JS SDK; shared by the scripts beside this one.
import { createRequire } from "node:module";

const modules = process.env.NODE_MODULES;
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const sdk = `${modules}/livekit-client/dist/livekit-client.umd.js`;

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless=new", "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
  ],
});

export const size = process.env.SIZE ?? "1280x720";

// Joins with camera and microphone (`publish`), the camera in CODEC, in layers.
export async function join(url, name, token, publish = true) {
  // Any page of the server's origin does, whatever its policy says of scripts.
  const context = await browser.newContext({ bypassCSP: true });
  const page = await context.newPage();
  page.on("console", (line) => process.stderr.write(`[${name}] ${line.text()}\n`));
  page.on("pageerror", (error) => process.stderr.write(`[${name}] ${error}\n`));
  await page.goto(`${url}/test.html`);
  await page.addScriptTag({ path: sdk });
  const single = process.env.CONNECTIONS !== "2";
  await page.evaluate(async ([url, token, size, debug, publish, singlePeerConnection, videoCodec]) => {
    const { Room, RoomEvent, setLogLevel } = LivekitClient;
    setLogLevel(debug ? "debug" : "warn");
    const room = new Room({ dynacast: true, adaptiveStream: false, singlePeerConnection });
    window.room = room;
    window.speakers = new Set();
    window.messages = [];
    room.on(RoomEvent.TrackSubscribed, (track) => document.body.append(track.attach()));
    room.on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((e) => e.remove()));
    room.on(RoomEvent.ActiveSpeakersChanged, (list) => list.forEach((p) => window.speakers.add(p.identity)));
    room.on(RoomEvent.DataReceived, (data, from) =>
      window.messages.push(`${from?.identity}: ${new TextDecoder().decode(data)}`));
    await room.connect(url.replace("http", "ws"), token);
    if (!publish) return;
    const [width, height] = size.split("x").map(Number);
    const resolution = { width, height, frameRate: 30 };
    await room.localParticipant.setMicrophoneEnabled(true);
    await room.localParticipant.setCameraEnabled(true, { resolution }, {
      videoCodec, backupCodec: false, simulcast: true, videoEncoding: { maxBitrate: 1_500_000, maxFramerate: 30 },
    });
  }, [url, token, size, !!process.env.DEBUG, publish, single, process.env.CODEC ?? "h264"]);
  return page;
}

// Counters of what this page sends (by rid) and decodes.
export const stats = (page) => page.evaluate(async () => {
  const out = { sent: {}, decoded: null, audio: null };
  for (const publication of room.localParticipant.videoTrackPublications.values()) {
    for (const report of (await publication.track.sender.getStats()).values()) {
      if (report.type === "outbound-rtp") {
        out.sent[report.rid ?? "f"] = { frames: report.framesSent, height: report.frameHeight,
          active: report.active, nack: report.nackCount, pli: report.pliCount, codec: report.codecId,
          limit: report.qualityLimitationReason, encoder: report.encoderImplementation };
      }
    }
  }
  for (const participant of room.remoteParticipants.values()) {
    for (const publication of participant.trackPublications.values()) {
      if (!publication.track) continue;
      const reports = await publication.track.receiver.getStats();
      for (const report of reports.values()) {
        if (report.type !== "inbound-rtp") continue;
        if (report.kind === "video") {
          out.decoded = { frames: report.framesDecoded, received: report.framesReceived,
            dropped: report.framesDropped, freezes: report.freezeCount, height: report.frameHeight,
            lost: report.packetsLost, nack: report.nackCount, pli: report.pliCount, keyframes: report.keyFramesDecoded,
            frozen: report.totalFreezesDuration, repaired: report.retransmittedPacketsReceived,
            codec: reports.get(report.codecId)?.mimeType };
        } else {
          out.audio = { samples: report.totalSamplesReceived, concealed: report.concealedSamples,
            packets: report.packetsReceived, lost: report.packetsLost };
        }
      }
    }
  }
  return out;
});

// Waits for a condition, at most so long.
export async function until(what, condition, limit_ms = 20000) {
  const end = Date.now() + limit_ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((wake) => setTimeout(wake, 200));
  }
}
