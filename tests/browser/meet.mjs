// Two pages in one room, each publishing and watching the other until it has decoded a hundred frames. Prints one line
// of JSON: the codec of what each decoded, and the transport that it came by.
// usage: node meet.mjs <http url> <token a> <token b>; NODE_MODULES names the modules' folder, CODEC the codec
import { browser, join, until } from "./page.mjs";

const [url, tokenA, tokenB] = process.argv.slice(2);

const decoded = (page) => page.evaluate(async () => {
  const seen = { frames: 0, codec: "", transport: "" };
  for (const participant of room.remoteParticipants.values()) {
    for (const publication of participant.videoTrackPublications.values()) {
      const stats = await publication.track?.receiver?.getStats();
      if (!stats) continue;
      for (const report of stats.values()) {
        if (report.type === "inbound-rtp") {
          seen.frames = report.framesDecoded;
          seen.codec = stats.get(report.codecId)?.mimeType ?? "";
        } else if (report.type === "transport") {
          const pair = stats.get(report.selectedCandidatePairId);
          seen.transport = stats.get(pair?.localCandidateId)?.protocol ?? "";
        }
      }
    }
  }
  return seen;
});

try {
  const [a, b] = await Promise.all([join(url, "a", tokenA), join(url, "b", tokenB)]);
  for (const [name, page] of [["a", a], ["b", b]]) {
    await until(`${name} decodes a hundred frames`, async () => (await decoded(page)).frames >= 100, 60000);
  }
  console.log(JSON.stringify({ a: await decoded(a), b: await decoded(b) }));
} finally {
  await browser.close();
}
