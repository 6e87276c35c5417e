// Two pages in one room: each publishes H.264 simulcast and Opus and watches the other. Prints one line of
// JSON: what each decoded, and what the other sent meanwhile.
// usage: node call.mjs <http url> <token a> <token b> <seconds>; NODE_MODULES names the modules' folder
import { browser, join, size, stats, until } from "./page.mjs";

const [url, tokenA, tokenB, seconds] = process.argv.slice(2);

try {
  const [a, b] = await Promise.all([join(url, "a", tokenA), join(url, "b", tokenB)]);
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
