// Three guests in one room with the box: who is shown, chat, screen share, devices, keyboard, a connection that is
// lost and comes back. Output: one JSON line of what each saw.
import { barriers, guest, join, LAPTOP, open, PHONE, run, sees, shoot, tiles, token, until } from './guests.mjs';

await run(async () => {
  const seen = { barriers: {} };
  const check = async (page, name) => {
    seen.barriers[name] = await barriers(page);
    await shoot(page, name);
  };

  // The lobby: another camera and microphone than the first ones.
  const anna = await open('anna', token(['allow_join'], { participantId: 'anna', name: 'Anna <i>María</i> Ruiz' }), LAPTOP);
  await anna.locator('[data-testid=join]:not([disabled])').waitFor();
  const chosen = await anna.getByTestId('lobby-devices-videoinput').evaluate((select) => {
    select.selectedIndex = 3;
    select.dispatchEvent(new Event('change'));
    return select.value;
  });
  await until(anna, (id) => document.querySelector('#preview-video').srcObject?.getVideoTracks()[0]?.getSettings().deviceId === id, chosen);
  await check(anna, 'lobby-laptop');
  await join(anna);
  const device = () => window.__roomd.room.localParticipant.getTrackPublication('camera')?.track?.mediaStreamTrack.getSettings().deviceId;
  await until(anna, device);
  seen.camera_taken_along = (await anna.evaluate(device)) === chosen;

  const bert = await open('bert', token(['allow_join'], { participantId: 'bert', name: 'Bert' }), { ...PHONE, colorScheme: 'dark' });
  await bert.locator('[data-testid=join]:not([disabled])').waitFor();
  await check(bert, 'lobby-phone');
  await join(bert);
  const vera = await guest('vera', token(['allow_join'], { participantId: 'vera', name: 'Vera' }), { ...LAPTOP, colorScheme: 'dark' });
  const box = await anna.evaluate(() => [...window.__roomd.room.remoteParticipants.keys()].find((id) => id.startsWith('box-')));
  await sees(anna, [box, 'bert', 'vera', 'anna']);
  await sees(bert, [box, 'anna', 'vera', 'bert']);
  seen.laptop = await tiles(anna);
  seen.phone = await tiles(bert);
  await check(anna, 'call-laptop');
  await check(bert, 'call-phone');

  // Chat: as text, counted while nobody looks, refused when too long.
  const last = () => document.querySelector('#chat-list li:last-child .message-text')?.textContent;
  const said = '<img src=x onerror="document.title=1"> & hello\nsecond line';
  await anna.getByTestId('toggle-chat').click();
  await anna.keyboard.type('x');
  seen.chat_focused = await anna.getByTestId('chat-input').inputValue();
  await anna.getByTestId('chat-input').fill(said);
  await anna.keyboard.press('Enter');
  await until(bert, () => document.querySelector('#toggle-chat').ariaLabel === 'Chat, 1 unread');
  await bert.getByTestId('toggle-chat').tap();
  seen.chat_text = (await bert.evaluate(last)) === said;
  seen.chat_name = await bert.locator('#chat-list .message-name').innerText();
  seen.chat_elements = await bert.locator('#chat-list img').count();
  seen.stage_inert = await bert.evaluate(() => document.querySelector('#stage').inert);
  await bert.getByTestId('chat-input').fill('An answer');
  await bert.getByTestId('chat-send').tap();
  await until(anna, () => document.querySelector('#chat-list li:last-child .message-text')?.textContent === 'An answer');
  await anna.getByTestId('chat-input').fill('y'.repeat(2001));
  await anna.keyboard.press('Enter');
  seen.too_long = await anna.getByTestId('chat-problem').innerText();
  seen.kept = (await anna.getByTestId('chat-input').inputValue()).length;
  // Another LiveKit client sends without end: its beginning is shown.
  await vera.evaluate(async () => {
    const writer = await window.__roomd.room.localParticipant.streamText({ topic: 'lk.chat' });
    for (let i = 0; i < 4; i++) await writer.write('z'.repeat(900));
  });
  await until(anna, () => document.querySelector('#chat-list li:last-child .message-text')?.textContent.length === 2000);
  seen.messages = await anna.locator('#chat-list li').count();
  await check(anna, 'chat-laptop');
  await check(bert, 'chat-phone');
  await anna.keyboard.press('Escape');
  seen.focus_back = await anna.evaluate(() => document.activeElement.id);
  await bert.getByTestId('toggle-people').tap();
  await check(bert, 'people-phone');
  await bert.getByTestId('toggle-people').tap();

  // A shared screen is large for the others; then the grid is back.
  await anna.getByTestId('toggle-screen').click();
  await until(bert, () => document.querySelector('#stage').dataset.main === 'screen-anna');
  await until(bert, () => document.querySelector('[data-testid=screen-anna] video').videoWidth > 0);
  await until(vera, () => document.querySelector('[data-testid=screen-anna] video')?.videoWidth > 0);
  seen.screen = { laptop: await tiles(vera), phone: await tiles(bert), own: (await tiles(anna)).main };
  await check(vera, 'screen-laptop');
  await check(bert, 'screen-phone');
  await anna.getByTestId('toggle-screen').click();
  await until(bert, () => document.querySelector('#stage').dataset.main === '');

  // Who is kept large by hand, by the keyboard.
  await vera.locator('[data-testid=tile-bert] .tile-pin').focus();
  await vera.keyboard.press('Enter');
  seen.pinned = (await tiles(vera)).main;
  await check(vera, 'pinned-laptop');
  await vera.keyboard.press('Enter');
  seen.unpinned = (await tiles(vera)).main;
  // The speaker view shows the box, which beeps.
  await vera.getByTestId('view').click();
  await until(vera, (id) => document.querySelector('#stage').dataset.main === id, `tile-${box}`);
  await vera.getByTestId('view').click();

  // A picture that our network does not carry, as the SDK has it once the server says so.
  for (const [state, words] of [['paused', 'Paused: weak connection'], ['active', '']]) {
    await anna.evaluate((state) => {
      const vera = window.__roomd.room.remoteParticipants.get('vera');
      vera.getTrackPublication('camera').track.setStreamState(state);
    }, state);
    await until(anna, (words) => document.querySelector('[data-testid=tile-vera] .tile-note').textContent === words, words);
  }

  // Another camera in the call: the others go on seeing it.
  const frames = () => document.querySelector('[data-testid=tile-vera] video').getVideoPlaybackQuality().totalVideoFrames;
  await vera.getByTestId('open-devices').click();
  await check(vera, 'devices-laptop');
  const other = await vera.getByTestId('call-devices-videoinput').evaluate((select) => {
    select.selectedIndex = 3;
    select.dispatchEvent(new Event('change'));
    return select.value;
  });
  await until(vera, (id) => window.__roomd.room.localParticipant.getTrackPublication('camera').track.mediaStreamTrack.getSettings().deviceId === id, other);
  const before = await anna.evaluate(frames);
  await until(anna, (count) => document.querySelector('[data-testid=tile-vera] video').getVideoPlaybackQuality().totalVideoFrames > count + 10, before);
  seen.camera_changed = true;
  await vera.getByRole('button', { name: 'Done' }).click();

  // Muted and unmuted, as others see it.
  await vera.getByTestId('toggle-microphone').click();
  await until(anna, () => document.querySelector('[data-testid=tile-vera]').ariaLabel.includes('microphone off'));
  seen.unmute = await vera.getByTestId('toggle-microphone').getAttribute('aria-label');
  await vera.getByTestId('toggle-microphone').click();
  await until(anna, () => !document.querySelector('[data-testid=tile-vera]').ariaLabel.includes('off'));

  // The order in which the keyboard goes through the bar.
  await vera.locator('#toggle-microphone').focus();
  seen.bar = [];
  for (let i = 0; i < 7; i++) {
    seen.bar.push(await vera.evaluate(() => document.activeElement.id));
    await vera.keyboard.press('Tab');
  }

  // The connection is lost and comes back: the banner says so, and only as long as it is so.
  await bert.evaluate(() => {
    window.told = [];
    const banner = document.querySelector('#call-banner');
    new MutationObserver(() => told.push(banner.hidden ? '' : banner.innerText.trim())).observe(banner, { attributes: true, subtree: true, childList: true });
    window.back = new Promise((wake) => window.__roomd.room.once('reconnected', wake));
    return window.__roomd.room.simulateScenario('full-reconnect');
  });
  await bert.evaluate(() => window.back);
  await until(bert, () => document.querySelector('#call-banner').hidden);
  seen.banner = await bert.evaluate(() => told);
  await sees(bert, [box, 'anna', 'vera']);
  seen.after = await tiles(bert);

  await bert.getByTestId('leave').tap();
  await bert.getByTestId('ending').waitFor();
  seen.ending = await bert.locator('#ending-title').innerText();
  seen.ending_focused = await bert.evaluate(() => document.activeElement.id);
  await check(bert, 'ending-phone');
  await until(anna, () => !document.querySelector('[data-testid=tile-bert]'));
  return seen;
});
