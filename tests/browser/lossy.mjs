// One page publishes, another watches and listens, each by its own way to the server. Prints one line of JSON: what the
// watcher saw and heard in the given time, counted from its tenth second on, and how often it froze in the first ten.
// usage: node lossy.mjs <publisher's http url> <watcher's http url> <token a> <token b> <seconds>; NODE_MODULES names
// the modules' folder, CODEC the codec
import { browser, join, stats, until } from "./page.mjs";

const [urlA, urlB, tokenA, tokenB, seconds] = process.argv.slice(2);
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

try {
  const a = await join(urlA, "a", tokenA);
  const b = await join(urlB, "b", tokenB, false);
  await until("a picture", async () => (await stats(b)).decoded?.frames >= 10, 60000);
  await sleep(10000);
  const before = [await stats(a), await stats(b)];
  const heights = {};
  for (let second = 0; second < Number(seconds); second += 1) {
    await sleep(1000);
    const { decoded } = await stats(b);
    heights[decoded.height] = (heights[decoded.height] ?? 0) + 1;
    if (process.env.DEBUG) console.error(JSON.stringify(await stats(b)));
  }
  const after = [await stats(a), await stats(b)];
  const grown = (kind, key) => after[1][kind][key] - before[1][kind][key];
  const sent = Object.values(after[0].sent);
  const most = Math.max(...Object.entries(after[0].sent)
    .map(([layer, now]) => now.frames - (before[0].sent[layer]?.frames ?? 0)));
  console.log(JSON.stringify({
    early: { freezes: before[1].decoded.freezes, frozen: before[1].decoded.frozen },
    seconds: Number(seconds), sent: most, decoded: grown("decoded", "frames"),
    freezes: grown("decoded", "freezes"), frozen: grown("decoded", "frozen"), heights,
    keyframes: grown("decoded", "keyframes"), lost: grown("decoded", "lost"), nacks: grown("decoded", "nack"),
    repaired: grown("decoded", "repaired"), plis: grown("decoded", "pli"),
    concealed: grown("audio", "concealed") / grown("audio", "samples"), audio_lost: grown("audio", "lost"),
    publisher: { nacks: sent.reduce((sum, s) => sum + s.nack, 0), plis: sent.reduce((sum, s) => sum + s.pli, 0) },
  }));
} finally {
  await browser.close();
}
