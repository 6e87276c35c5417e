// Joins a room with one page that publishes its camera, then again and again with a fresh page that watches. Prints a
// JSON list of {connected, decoded}: milliseconds from the call of connect() until it was done, and until the first
// picture left the decoder.
// usage: node join.mjs <http url> <token of the publisher> <token>...; NODE_MODULES names the modules' folder
import { browser, join } from "../../tests/browser/page.mjs";

const sdk = `${process.env.NODE_MODULES}/livekit-client/dist/livekit-client.umd.js`;
const [url, publisher, ...viewers] = process.argv.slice(2);

async function watch(token) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("pageerror", (error) => process.stderr.write(`${error}\n`));
  await page.goto(`${url}/test.html`);
  await page.addScriptTag({ path: sdk });
  const taken = await page.evaluate(async ([url, token]) => {
    const room = new LivekitClient.Room({ adaptiveStream: false, singlePeerConnection: true });
    const decoded = new Promise((done) => room.on("trackSubscribed", async (track) => {
      if (track.kind !== "video") return;
      const { readable } = new MediaStreamTrackProcessor({ track: track.mediaStreamTrack });
      const { value } = await readable.getReader().read();
      done(performance.now());
      value.close();
    }));
    const begun = performance.now();
    await room.connect(url.replace("http", "ws"), token);
    const connected = performance.now() - begun;
    const times = { connected, decoded: await decoded - begun };
    await room.disconnect();
    return times;
  }, [url, token]);
  await context.close();
  return taken;
}

try {
  await join(url, "camera", publisher);
  await new Promise((wake) => setTimeout(wake, 4000));
  const taken = [];
  for (const token of viewers) taken.push(await watch(token));
  console.log(JSON.stringify(taken));
} finally {
  await browser.close();
}
