// Two pages of headless Chromium with the unmodified JS SDK in one room: each publishes H.264 simulcast and
// Opus and watches the other. Prints one line of JSON: what each decoded, and what the other sent meanwhile.
// usage: node call.mjs <http url> <token a> <token b> <seconds>; NODE_MODULES names the modules' folder
import { createRequire } from "node:module";
const [url, tokenA, tokenB, seconds] = process.argv.slice(2);
const modules = process.env.NODE_MODULES;
const require = createRequire(`${modules}/`);
const { chromium } = require("playwright-core");
const sdk = `${modules}/livekit-client/dist/livekit-client.umd.js`;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    "--headless=new", "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
  ],
});

const size = process.env.SIZE ?? "1280x720";

async function join(name, token) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("console", (line) => process.stderr.write(`[${name}] ${line.text()}\n`));
  page.on("pageerror", (error) => process.stderr.write(`[${name}] ${error}\n`));
  await page.goto(`${url}/test.html`);
  await page.addScriptTag({ path: sdk });
  await page.evaluate(async ([url, token, size, debug]) => {
    const { Room, RoomEvent, VideoPreset, setLogLevel } = LivekitClient;
    setLogLevel(debug ? "debug" : "warn");
    const room = new Room({ dynacast: true, adaptiveStream: false });
    window.room = room;
    window.speakers = new Set();
    window.messages = [];
    room.on(RoomEvent.TrackSubscribed, (track) => document.body.append(track.attach()));
    room.on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((e) => e.remove()));
    room.on(RoomEvent.ActiveSpeakersChanged, (list) => list.forEach((p) => window.speakers.add(p.identity)));
    room.on(RoomEvent.DataReceived, (data, from) =>
      window.messages.push(`${from?.identity}: ${new TextDecoder().decode(data)}`));
    await room.connect(url.replace("http", "ws"), token);
    const [width, height] = size.split("x").map(Number);
    const resolution = { width, height, frameRate: 30 };
    await room.localParticipant.setMicrophoneEnabled(true);
    await room.localParticipant.setCameraEnabled(true, { resolution }, {
      videoCodec: "h264", simulcast: true, videoEncoding: { maxBitrate: 1_500_000, maxFramerate: 30 },
    });
  }, [url, token, size, !!process.env.DEBUG]);
  return page;
}

// Counters of what this page sends (by rid) and decodes.
const stats = (page) => page.evaluate(async () => {
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
      for (const report of (await publication.track.receiver.getStats()).values()) {
        if (report.type !== "inbound-rtp") continue;
        if (report.kind === "video") {
          out.decoded = { frames: report.framesDecoded, received: report.framesReceived,
            dropped: report.framesDropped, freezes: report.freezeCount, height: report.frameHeight,
            lost: report.packetsLost, nack: report.nackCount, pli: report.pliCount, keyframes: report.keyFramesDecoded };
        } else {
          out.audio = { samples: report.totalSamplesReceived, concealed: report.concealedSamples,
            packets: report.packetsReceived, lost: report.packetsLost };
        }
      }
    }
  }
  return out;
});

async function until(what, condition, limit_ms = 20000) {
  const end = Date.now() + limit_ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((wake) => setTimeout(wake, 200));
  }
}

try {
  const [a, b] = await Promise.all([join("a", tokenA), join("b", tokenB)]);
  const [width, height] = size.split("x").map(Number);
  for (const [name, page] of [["a", a], ["b", b]]) {
    await until(`${name} decodes the full layer`, async () => {
      const { decoded } = await stats(page);
      return decoded && decoded.frames > 30 && decoded.height === height;
    }, 30000);
  }
  await a.evaluate(() => room.localParticipant.publishData(new TextEncoder().encode("hello"), { reliable: true }));
  await b.evaluate(() => room.localParticipant.publishData(new TextEncoder().encode("lossy"), { reliable: false }));
  const before = await Promise.all([stats(a), stats(b)]);
  await new Promise((wake) => setTimeout(wake, seconds * 1000));
  const after = await Promise.all([stats(a), stats(b)]);
  const seen = (index) => {
    const other = 1 - index;
    const layer = Object.entries(after[other].sent).find(([, s]) => s.height === height)?.[0] ?? "f";
    return {
      layer,
      sent: after[other].sent[layer].frames - before[other].sent[layer].frames,
      decoded: after[index].decoded.frames - before[index].decoded.frames,
      freezes: after[index].decoded.freezes - before[index].decoded.freezes,
      concealed: (after[index].audio.concealed - before[index].audio.concealed)
        / (after[index].audio.samples - before[index].audio.samples),
      details: { in: after[index].decoded, audio: after[index].audio, out: after[other].sent },
    };
  };
  const result = {
    a: seen(0), b: seen(1),
    messages: { a: await a.evaluate(() => messages), b: await b.evaluate(() => messages) },
    speakers: await a.evaluate(() => [...speakers]),
  };
  console.log(JSON.stringify(result));
} finally {
  await browser.close();
}
