// What changes during a call: the watcher's layer, tracks that go and come on the same m-line, a lost
// signalling connection that is resumed, and a second join under the same identity.
// usage: node changes.mjs <http url> <token a> <token b>; NODE_MODULES names the modules' folder; CONNECTIONS=2: by
// two peer connections
import { browser, join, size, stats, until } from "./page.mjs";

const [url, tokenA, tokenB] = process.argv.slice(2);
const height = Number(size.split("x")[1]);

const decodes = (page, wanted, what) => {
  let before = null;
  return until(what, async () => {
    const { decoded } = await stats(page);
    if (!decoded || decoded.height !== wanted) return false;
    before ??= decoded.frames;
    return decoded.frames > before + 10 || (before > decoded.frames && (before = 0, false));
  });
};

try {
  const result = {};
  const [a, b] = await Promise.all([join(url, "a", tokenA), join(url, "b", tokenB, false)]);
  await decodes(b, height, "the full layer");

  const quality = (q) => b.evaluate((q) => [...room.remoteParticipants.values()][0]
    .getTrackPublication("camera").setVideoQuality(q), q);
  await quality(0);
  await decodes(b, 180, "the quarter layer"); // the SDK's smallest, whatever the size
  await until("the full layer is switched off", async () => !(await stats(a)).sent.f.active);
  await quality(2);
  await decodes(b, height, "the full layer again");
  result.freezes = (await stats(b)).decoded.freezes;

  // Twice gone and back: the subscriber's SDP must not grow.
  const sections = () => b.evaluate(() =>
    (room.engine.pcManager.subscriber ?? room.engine.pcManager.publisher).getRemoteDescription().sdp.split("\nm=").length - 1);
  result.sections = [await sections()];
  for (let i = 0; i < 2; i++) {
    await a.evaluate(() => room.localParticipant.setCameraEnabled(false).then(() =>
      room.localParticipant.unpublishTrack(room.localParticipant.getTrackPublication("camera").track)));
    await until("the camera is gone", () => b.evaluate(() =>
      ![...room.remoteParticipants.values()][0].getTrackPublication("camera")));
    const [w, h] = size.split("x").map(Number);
    await a.evaluate(([width, height]) => room.localParticipant.setCameraEnabled(true,
      { resolution: { width, height, frameRate: 30 } }, { videoCodec: "h264", simulcast: true }), [w, h]);
    await decodes(b, height, `the camera is back (${i})`);
    result.sections.push(await sections());
  }
  result.owner = await b.evaluate(() => [...room.remoteParticipants.values()][0]
    .getTrackPublication("camera").track.mediaStream.id);
  result.publisher = await a.evaluate(() => room.localParticipant.sid);

  // The signalling connection is lost and resumed by both.
  const sid = await b.evaluate(() => room.localParticipant.sid);
  for (const page of [b, a]) {
    await page.evaluate(() => {
      window.resumed = new Promise((wake) => room.once("reconnected", wake));
      return room.simulateScenario("signal-reconnect");
    });
    await page.evaluate(() => window.resumed);
  }
  await decodes(b, height, "the picture after the resume");
  result.same_stay = sid === (await b.evaluate(() => room.localParticipant.sid));

  // Joined again elsewhere: the first is told why it is out.
  await b.evaluate(() => { window.out = new Promise((wake) => room.once("disconnected", wake)); });
  const c = await join(url, "b again", tokenB, false);
  result.reason = await b.evaluate(() => window.out);
  await decodes(c, height, "the picture in the second join");
  console.log(JSON.stringify(result));
} catch (error) {
  for (const page of browser.contexts().flatMap((context) => context.pages())) {
    console.error(JSON.stringify(await stats(page).catch(String)));
  }
  throw error;
} finally {
  await browser.close();
}
