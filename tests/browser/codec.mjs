// One page publishes in CODEC, a second watches, a third comes later: each must decode sixty frames, and the second go
// on. Prints one line of JSON: what was sent, and what each watcher decoded.
// usage: node codec.mjs <http url> <token a> <token b> <token c>; NODE_MODULES names the modules' folder, CODEC the codec
import { browser, join, stats, until } from "./page.mjs";

const [url, tokenA, tokenB, tokenC] = process.argv.slice(2);

const decodes = async (name, page) => {
  const before = (await stats(page)).decoded?.frames ?? 0;
  await until(`${name} decodes sixty frames`, async () => (await stats(page)).decoded?.frames >= before + 60, 60000);
};

const pages = {};
try {
  pages.a = await join(url, "a", tokenA);
  pages.b = await join(url, "b", tokenB, false);
  await decodes("b", pages.b);
  pages.c = await join(url, "c", tokenC, false);
  await decodes("c", pages.c);
  await decodes("b", pages.b);
  const { sent } = await stats(pages.a);
  const mode = await pages.a.evaluate(() =>
    [...room.localParticipant.videoTrackPublications.values()][0].track.sender.getParameters().encodings[0].scalabilityMode);
  const [b, c] = [(await stats(pages.b)).decoded, (await stats(pages.c)).decoded];
  console.log(JSON.stringify({ sent, mode: mode ?? null, b, c }));
} catch (error) {
  for (const [name, page] of Object.entries(pages)) {
    console.error(name, JSON.stringify(await stats(page).catch(String)));
  }
  throw error;
} finally {
  await browser.close();
}
