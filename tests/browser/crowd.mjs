// A room with more people than a window shows: who speaks comes into sight, and nobody else moves. Output: one JSON
// line of what the page showed.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { barriers, guest, PHONE, run, shoot, tiles, token, until, wish } from './guests.mjs';

const require = createRequire(process.env.ROOMD_TEST_NODE_MODULES + '/');
const sdk = readFileSync(require.resolve('livekit-client'), 'utf8');
const CROWD = 20;

await run(async () => {
  const seen = { barriers: {} };
  const names = [...Array(CROWD).keys()].map((number) => `p${String(number).padStart(2, '0')}`);
  const anna = await guest('anna', token(['allow_join'], { participantId: 'anna', name: 'Anna' }));
  const bert = await guest('bert', token(['allow_join'], { participantId: 'bert', name: 'Bert' }), PHONE);
  // All of them in one page, by the unmodified SDK; they publish nothing.
  const crowd = await (await anna.context().browser().newContext({ permissions: ['microphone'] })).newPage();
  await crowd.goto(`${wish.base}/healthz`);
  await crowd.evaluate(sdk);
  await crowd.evaluate(async ([url, members]) => {
    window.rooms = {};
    for (const [name, jwt] of members) {
      const room = new LivekitClient.Room();
      await room.connect(url, jwt, { autoSubscribe: false });
      window.rooms[name] = room;
    }
  }, [wish.base.replace('http', 'ws'), names.map((name) => [name, token(['allow_join'], { participantId: name, name: `Person ${name}` })])]);
  const all = CROWD + 3;
  for (const page of [anna, bert]) {
    await until(page, (count) => document.querySelector('#call-count').textContent === `${count} participants`, all);
  }
  const before = { laptop: await tiles(anna), phone: await tiles(bert) };
  seen.before = before;
  seen.more = await bert.getByTestId('more').innerText();
  await shoot(anna, 'crowd-laptop');
  await shoot(bert, 'crowd-phone');
  seen.barriers.phone = await barriers(bert);

  const hidden = names.filter((name) => !before.phone.shown.includes(`tile-${name}`));
  const speaker = hidden[hidden.length - 1];
  await crowd.evaluate(async (name) => {
    const context = new AudioContext();
    const tone = new OscillatorNode(context, { frequency: 440 });
    const out = context.createMediaStreamDestination();
    tone.connect(out);
    tone.start();
    const [track] = out.stream.getAudioTracks();
    await window.rooms[name].localParticipant.publishTrack(track, { source: 'microphone', dtx: false, red: false });
  }, speaker);
  await until(bert, (name) => !document.querySelector(`[data-testid=tile-${name}]`).hidden, speaker);
  seen.speaker = `tile-${speaker}`;
  seen.after = await tiles(bert);
  await shoot(bert, 'crowd-phone-speaker');

  // The page goes with them, in the speaker view too.
  await anna.getByTestId('view').click();
  await shoot(anna, 'crowd-laptop-speaker');
  seen.speaker_view = await tiles(anna);
  await crowd.evaluate(async () => {
    for (const room of Object.values(window.rooms)) await room.disconnect();
  });
  for (const page of [anna, bert]) {
    await until(page, () => document.querySelector('#call-count').textContent === '3 participants');
  }
  seen.alone = await tiles(bert);
  return seen;
});
