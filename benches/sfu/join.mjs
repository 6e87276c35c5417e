// Joins a room with one page that publishes its camera, then again and again with a fresh page that watches. Prints a
// JSON list of {connected, decoded}: milliseconds from the call of connect() until it was done, and until the first
// picture left the decoder.
// usage: node join.mjs <http url> <token of the publisher> <token>...; NODE_MODULES names the modules' folder
import { createServer } from "node:http";
import { connect } from "node:net";
import { browser, join } from "../../tests/browser/page.mjs";

const sdk = `${process.env.NODE_MODULES}/livekit-client/dist/livekit-client.umd.js`;
const [server, publisher, ...viewers] = process.argv.slice(2);

// Browsers let only a page from loopback reach loopback, and neither server has one: here it is, on a port that passes
// the signalling on.
const { hostname, port } = new URL(server);
const front = createServer((_, response) => response.end("<!doctype html><body></body>"));
front.on("upgrade", (request, socket) => {
  const onward = connect(port, hostname, () => {
    const headers = request.rawHeaders.map((word, index) => word + (index % 2 ? "\r\n" : ": ")).join("");
    onward.write(`${request.method} ${request.url} HTTP/1.1\r\n${headers}\r\n`);
    socket.pipe(onward).pipe(socket);
  });
  for (const end of [socket, onward]) end.on("error", () => [socket, onward].forEach((each) => each.destroy()));
});
await new Promise((listening) => front.listen(0, "127.0.0.1", listening));
const url = `http://127.0.0.1:${front.address().port}`;

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
  front.close();
  front.closeAllConnections();
}
