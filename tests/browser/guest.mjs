// A guest in headless Chromium: opens a guest link, joins, watches the box for a while and says what it saw.
//
// Input: one JSON argument {link, identity, seconds, sound, profile, screenshots, ignoreCertificates}. Output: one JSON line
// {elapsed_s, decoded, dropped, freezes, presented, read, readable, distinct, latency_ms: [..], audio: {...}}.
import { wish, withPage } from './launch.mjs';

await withPage(async (page) => {
  await page.goto(wish.link);
  await page.locator('[data-testid=join]:not([disabled])').click({ timeout: 20_000 });
  const tile = page.getByTestId(`tile-${wish.identity}`);
  await tile.locator('video').waitFor({ state: 'visible', timeout: 20_000 });
  await page.waitForFunction(
    (id) => document.querySelector(`[data-testid="tile-${id}"] video`)?.videoWidth > 0,
    wish.identity, { timeout: 20_000 },
  );
  const seen = await page.evaluate(watch, { identity: wish.identity, seconds: wish.seconds });
  for (const [name, size] of Object.entries(wish.screenshots ?? {})) {
    await page.setViewportSize(size);
    await page.screenshot({ path: name });
  }
  await page.getByTestId('leave').click();
  console.log(JSON.stringify(seen));
}, {
  viewport: wish.viewport ?? { width: 1280, height: 800 },
  ignoreHTTPSErrors: wish.ignoreCertificates ?? false,
  more: [`--use-file-for-fake-audio-capture=${wish.sound}`],
});

// Runs in the page.
async function watch({ identity, seconds }) {
  const video = document.querySelector(`[data-testid="tile-${identity}"] video`);
  const room = window.__roomd.room;
  const track = (kind) => [...room.remoteParticipants.get(identity).trackPublications.values()]
    .find((publication) => publication.kind === kind)?.track;
  const stats = async (kind) => {
    const report = await track(kind).receiver.getStats();
    return [...report.values()].find((entry) => entry.type === 'inbound-rtp');
  };

  // The same reading as src/capture/timestamp.rs: 2 rows of 32 cells, most significant bit first, 48 bits of time in
  // 100 µs, then CRC-16/CCITT-FALSE. The luma plane comes first in every format that the decoder gives.
  const read = async (frame) => {
    const cell = frame.codedWidth / 32;
    const rect = { x: 0, y: 0, width: frame.codedWidth, height: Math.ceil(cell) * 2 };
    const plane = new Uint8Array(frame.allocationSize({ rect }));
    const [{ offset, stride }] = await frame.copyTo(plane, { rect });
    const bits = [];
    for (let row = 0; row < 2; row++) {
      for (let column = 0; column < 32; column++) {
        let sum = 0, count = 0;
        for (let y = Math.ceil((row + 0.25) * cell); y < (row + 0.75) * cell; y++) {
          for (let x = Math.ceil((column + 0.25) * cell); x < (column + 0.75) * cell; x++) {
            sum += plane[offset + y * stride + x];
            count++;
          }
        }
        bits.push(sum / count > 128 ? 1 : 0);
      }
    }
    const byte = (at) => bits.slice(at, at + 8).reduce((value, bit) => value * 2 + bit, 0);
    const bytes = [0, 8, 16, 24, 32, 40].map(byte);
    let crc = 0xffff;
    for (const value of bytes) {
      crc ^= value << 8;
      for (let bit = 0; bit < 8; bit++) crc = ((crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1)) & 0xffff;
    }
    return crc === byte(48) * 256 + byte(56) ? bytes.reduce((value, next) => value * 256 + next, 0) : undefined;
  };

  // Every frame as it leaves the decoder. What the page's compositor shows of them depends on the machine's load.
  const shown = [], latency = [];
  let frames = 0, running = true;
  const processor = new MediaStreamTrackProcessor({ track: track('video').mediaStreamTrack, maxBufferSize: 30 });
  const reader = processor.readable.getReader();
  const reading = (async () => {
    for (;;) {
      const { value: frame, done } = await reader.read();
      if (done || !running) {
        frame?.close();
        return;
      }
      const arrived = Date.now();
      frames++;
      const at = await read(frame);
      frame.close();
      if (at !== undefined) {
        shown.push(at);
        latency.push(arrived - at / 10);
      }
    }
  })();
  const first = await stats('video');
  const presentedBefore = video.getVideoPlaybackQuality().totalVideoFrames;
  frames = shown.length = latency.length = 0;
  await new Promise((done) => setTimeout(done, seconds * 1000));
  const last = await stats('video');
  const presented = video.getVideoPlaybackQuality().totalVideoFrames - presentedBefore;
  const readFrames = frames;
  running = false;
  await reader.cancel();
  await reading;
  const sound = await stats('audio');
  latency.sort((a, b) => a - b);
  const share = (of) => latency[Math.min(latency.length - 1, Math.floor(latency.length * of))];
  return {
    elapsed_s: (last.timestamp - first.timestamp) / 1000,
    decoded: last.framesDecoded - first.framesDecoded,
    dropped: last.framesDropped - first.framesDropped,
    freezes: (last.freezeCount ?? 0) - (first.freezeCount ?? 0),
    width: video.videoWidth,
    presented,
    read: readFrames,
    readable: shown.length,
    distinct: new Set(shown).size,
    latency_ms: { p50: share(0.5), p95: share(0.95), max: share(1) },
    audio: { samples: sound.totalSamplesReceived, concealed: sound.concealedSamples, energy: sound.totalAudioEnergy },
  };
}
