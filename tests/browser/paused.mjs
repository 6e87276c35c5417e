// One page publishes camera and microphone; another watches by a way that becomes too narrow for any picture, and wide
// again. Each step that this side has seen is a file of its name in STEPS, for whoever changes the way. Prints one line
// of JSON: the stream states of the picture that the watcher's SDK had, and what came while it was paused.
// usage: node paused.mjs <publisher's http url> <watcher's http url> <token a> <token b>; NODE_MODULES names the
// modules' folder
import { writeFileSync } from "node:fs";
import { browser, join, stats, until } from "./page.mjs";

const [urlA, urlB, tokenA, tokenB] = process.argv.slice(2);
const step = (name) => writeFileSync(`${process.env.STEPS}/${name}`, "");
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

try {
  await join(urlA, "a", tokenA);
  const b = await join(urlB, "b", tokenB, false);
  await b.evaluate(() => {
    window.states = [];
    // livekit-client 2.21 never raises TrackStreamStateChanged: it compares the state after it has set it.
    setInterval(() => {
      const [camera] = [...room.remoteParticipants.values()].flatMap((one) => [...one.videoTrackPublications.values()]);
      const state = camera?.track?.streamState;
      if (state && state !== states.at(-1)) states.push(state);
    }, 50);
  });
  const state = () => b.evaluate(() => states.at(-1));
  await until("pictures", async () => (await stats(b)).decoded?.frames >= 100, 60000);
  step("plays");
  const changes = () => b.evaluate(() => states.length);
  const pictures = () => after.decoded.frames - before.decoded.frames;
  let before, after, paused;
  // Repairs of what was lost before still come for some seconds; and the picture may be tried again meanwhile.
  for (let round = 0; round < 8; round++) {
    await until("paused", async () => (await state()) === "paused", 60000);
    paused = await changes();
    await sleep(1000);
    before = await stats(b);
    await sleep(2000);
    after = await stats(b);
    if ((await changes()) === paused && pictures() <= 2) break;
  }
  step("is-paused");
  await until("active", async () => (await state()) === "active", 60000);
  const { frames } = (await stats(b)).decoded;
  await until("pictures again", async () => (await stats(b)).decoded.frames >= frames + 100, 60000);
  console.log(JSON.stringify({
    states: await b.evaluate(() => states),
    pictures_while_paused: pictures(),
    sound_while_paused: {
      packets: after.audio.packets - before.audio.packets, lost: after.audio.lost - before.audio.lost,
      samples: after.audio.samples - before.audio.samples, concealed: after.audio.concealed - before.audio.concealed,
    },
  }));
} finally {
  await browser.close();
}
