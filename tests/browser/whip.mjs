// A page without any SDK publishes by WHIP; a page with the JS SDK and two pages by WHEP watch it. Then a participant
// with the SDK shares its screen, and the viewers see that on the same stream. Prints one line of JSON.
// usage: node whip.mjs <http url> <token of the camera> <of the SDK> <of the first viewer> <of the second>
import { browser, join, stats, until } from "./page.mjs";

const [url, camera, sdk, viewer, second] = process.argv.slice(2);

// A page that speaks plain HTTP: `way` is whip or whep.
async function plain(name, way, token) {
  const page = await (await browser.newContext()).newPage();
  page.on("console", (line) => process.stderr.write(`[${name}] ${line.text()}\n`));
  page.on("pageerror", (error) => process.stderr.write(`[${name}] ${error}\n`));
  await page.goto(`${url}/test.html`);
  await page.evaluate(async ([way, token]) => {
    const pc = (window.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" }));
    if (way === "whip") {
      const video = { width: 640, height: 360, frameRate: 30 };
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video });
      for (const track of stream.getTracks()) pc.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    } else {
      const element = document.createElement("video");
      [element.autoplay, element.srcObject] = [true, new MediaStream()];
      document.body.append(element);
      pc.ontrack = (event) => element.srcObject.addTrack(event.track);
      for (const kind of ["audio", "video"]) pc.addTransceiver(kind, { direction: "recvonly" });
    }
    window.say = async (method, path, headers, body) => {
      const answer = await fetch(path, { method, headers: { authorization: `Bearer ${token}`, ...headers }, body });
      return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() };
    };
    window.begin = async () => {
      await pc.setLocalDescription();
      const answer = await say("POST", `/${way}/v1`, { "content-type": "application/sdp" }, pc.localDescription.sdp);
      if (answer.status !== 201) throw new Error(`${answer.status} ${answer.text}`);
      [window.session, window.etag] = [answer.headers.location, answer.headers.etag];
      await pc.setRemoteDescription({ type: "answer", sdp: answer.text });
    };
    await begin();
  }, [way, token]);
  return page;
}

const media = (page) => page.evaluate(async () => {
  const out = { sent: 0, frames: 0, width: 0, freezes: 0, packets: 0, energy: 0, ssrcs: [] };
  for (const report of (await pc.getStats()).values()) {
    if (report.type === "outbound-rtp" && report.kind === "video") out.sent += report.framesSent ?? 0;
    if (report.type !== "inbound-rtp") continue;
    out.ssrcs.push(report.ssrc);
    if (report.kind === "video") {
      [out.frames, out.width, out.freezes] = [report.framesDecoded, report.frameWidth, report.freezeCount];
    } else {
      [out.packets, out.energy] = [report.packetsReceived, report.totalAudioEnergy];
    }
  }
  out.ssrcs.sort();
  return out;
});

try {
  // The viewers are there before there is anything to see.
  const whep = await plain("viewer", "whep", viewer);
  const whip = await plain("camera", "whip", camera);
  const late = await plain("second", "whep", second);
  const other = await join(url, "sdk", sdk, false);
  const sees = async (page) => { const seen = await media(page); return seen.frames >= 60 && seen.energy > 0; };
  await until("the first viewer sees and hears the camera", () => sees(whep), 60000);
  await until("the second viewer sees and hears the camera", () => sees(late), 60000);
  await until("the SDK sees the camera", async () => (await stats(other)).decoded?.frames >= 60, 60000);
  const before = await Promise.all([whip, whep, late].map(media));
  const roster = await other.evaluate(() => [...room.remoteParticipants.values()].map((p) => ({
    identity: p.identity, tracks: [...p.trackPublications.values()].map((t) => t.source).sort() })));

  // Another ICE session for the camera: its stream goes on.
  const restarted = await whip.evaluate(async () => {
    pc.restartIce();
    await pc.setLocalDescription();
    const lines = pc.localDescription.sdp.split("\r\n");
    const own = ["a=ice-ufrag:", "a=ice-pwd:"].map((start) => lines.find((line) => line.startsWith(start)));
    const headers = { "content-type": "application/trickle-ice-sdpfrag", "if-match": "*" };
    const answer = await say("PATCH", session, headers, own.join("\r\n") + "\r\n");
    const theirs = answer.text.split("\r\n");
    let sdp = pc.remoteDescription.sdp;
    for (const start of ["a=ice-ufrag:", "a=ice-pwd:"]) {
      sdp = sdp.replaceAll(new RegExp(`${start}.*`, "g"), theirs.find((line) => line.startsWith(start)));
    }
    await pc.setRemoteDescription({ type: "answer", sdp });
    return { status: answer.status, renewed: answer.headers.etag !== etag };
  });
  const pair = () => whip.evaluate(async () => {
    const stats = await pc.getStats();
    const transport = [...stats.values()].find((report) => report.type === "transport");
    return { ufrag: transport.iceLocalUsernameFragment, state: transport.iceState,
      wanted: /a=ice-ufrag:(.*)/.exec(pc.localDescription.sdp)[1].trim() };
  });
  await until("ICE restarts", async () => { const now = await pair(); return now.ufrag === now.wanted && now.state !== "checking"; });
  const frames = (await media(whep)).frames;
  await until("the viewer sees the camera after the restart", async () => (await media(whep)).frames >= frames + 30, 30000);

  // A screen stands out before a camera.
  const screen = { width: 800, height: 450 };
  await other.evaluate(async ({ width, height }) => {
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d");
    setInterval(() => { context.fillStyle = `hsl(${performance.now() / 10} 80% 50%)`; context.fillRect(0, 0, width, height); }, 50);
    const [track] = canvas.captureStream(20).getVideoTracks();
    await room.localParticipant.publishTrack(track, { source: "screen_share", simulcast: false, videoCodec: "h264", backupCodec: false });
  }, screen);
  for (const page of [whep, late]) {
    await until("a viewer sees the screen", async () => (await media(page)).width === screen.width, 30000);
  }
  await other.evaluate(() => room.disconnect());
  await until("the camera again", async () => (await media(whep)).width === 640, 30000);
  const after = await Promise.all([whip, whep, late].map(media));

  const ended = await whip.evaluate(() => say("DELETE", session));
  const again = await whip.evaluate(() => say("DELETE", session));
  console.log(JSON.stringify({ before, after, roster, restarted, ended: ended.status, again: again.status }));
} finally {
  await browser.close();
}
