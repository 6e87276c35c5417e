// The door and the house rules: one who may only let others in, a moderator, and guests who ask to be let in by one
// link. Output: one JSON line of what each saw.
import { barriers, guest, LAPTOP, open, PHONE, run, sees, shoot, tiles, token, until } from './guests.mjs';

await run(async () => {
  const seen = { barriers: {} };
  const check = async (page, name) => {
    seen.barriers[name] = await barriers(page);
    await shoot(page, name);
  };
  const action = (page, identity, name) => page.locator(`[data-testid="person-${identity}"] [data-action="${name}"]`);
  const notice = (page, words) => until(page, (text) => document.querySelector('#call-notice-text').textContent.includes(text), words);
  const ended = async (page) => {
    await page.getByTestId('ending').waitFor();
    return page.locator('#ending-title').innerText();
  };

  const host = await guest('host', token(['allow_join', 'allow_mod'], { participantId: 'host', name: 'Hanna Host' }));
  const bert = await guest('bert', token(['allow_join'], { participantId: 'bert', name: 'Bert' }), PHONE);
  await sees(host, ['bert']);
  await sees(bert, ['host']);
  seen.guest_moderates = await (async () => {
    await bert.getByTestId('toggle-people').tap();
    return bert.locator('#people-foot:not([hidden]), .person-actions button').count();
  })();
  await bert.getByTestId('toggle-people').tap();

  // Two ask to be let in by the same link, under names of their own.
  const link = token(['ask_join']);
  const ask = async (name) => {
    const page = await open(name, link);
    await page.getByTestId('lobby-name').fill(name);
    await page.locator('[data-testid=join]:not([disabled])').click();
    await page.getByTestId('waiting').waitFor();
    return page;
  };
  const zoe = await ask('Zoe');
  await check(zoe, 'waiting-laptop');
  await until(host, () => document.querySelector('#call-knock-text').textContent === 'Zoe asks to be let in');
  await until(bert, () => !document.querySelector('#call-knock').hidden);
  await check(host, 'knock-laptop');
  await check(bert, 'knock-phone');
  const mallory = await ask('Mallory');
  await until(host, () => document.querySelector('#toggle-people').ariaLabel === 'People, 3 in the room, 2 waiting to be let in');
  seen.while_waiting = {
    host: (await tiles(host)).shown,
    zoe_knows: await zoe.evaluate(() => window.__roomd.room.remoteParticipants.size),
  };

  // A guest who may let in does so; the host turns the other one away.
  await bert.locator('#call-knock-show').tap();
  await check(bert, 'asking-phone');
  await bert.getByRole('button', { name: 'Let in: Zoe' }).tap();
  await zoe.getByTestId('call').waitFor();
  await bert.getByTestId('toggle-people').tap();
  const zoeId = await zoe.evaluate(() => window.__roomd.room.localParticipant.identity);
  await sees(host, [zoeId, 'bert']);
  await sees(zoe, ['host', 'bert']);
  seen.zoe_called = await host.locator(`[data-testid="tile-${zoeId}"] .tile-name`).innerText();
  await host.locator('#call-knock-show').click();
  await check(host, 'asking-laptop');
  await host.getByRole('button', { name: 'Turn away: Mallory' }).click();
  seen.turned_away = await ended(mallory);
  await until(host, () => document.querySelector('#waiting-people').hidden);
  await check(host, 'moderating-laptop');

  // Mute, a viewer and back, remove.
  await action(host, 'bert', 'mute').focus();
  await host.keyboard.press('Enter');
  await notice(bert, 'Your microphone is off now');
  await check(bert, 'muted-phone');
  await until(host, () => !document.querySelector('[data-testid=person-bert] [data-action=mute]'));
  seen.focus_after_mute = await host.evaluate(() => document.activeElement.ariaLabel);
  await action(host, zoeId, 'to-viewer').click();
  await notice(zoe, 'You are a viewer now');
  await until(zoe, () => document.querySelector('#toggle-camera').disabled);
  await until(host, (id) => document.querySelector(`[data-testid="person-${id}"]`).innerText.includes('viewer'), zoeId);
  seen.viewer_chat = await (async () => {
    await zoe.getByTestId('toggle-chat').click();
    await zoe.getByTestId('chat-input').fill('I can still write');
    await zoe.keyboard.press('Enter');
    await until(host, () => document.querySelector('#toggle-chat').ariaLabel === 'Chat, 1 unread');
    return true;
  })();
  await check(zoe, 'viewer-laptop');
  await action(host, zoeId, 'to-stage').click();
  await notice(zoe, 'You may speak');
  await zoe.getByTestId('toggle-camera').click();
  await until(host, (id) => window.__roomd.room.remoteParticipants.get(id).isCameraEnabled, zoeId);
  await sees(host, [zoeId]);

  // A removal asks first; no is no.
  await action(host, 'bert', 'remove').click();
  await check(host, 'confirm-laptop');
  seen.confirm_focus = await host.evaluate(() => document.activeElement.innerText);
  await host.keyboard.press('Escape');
  seen.still_there = await host.locator('[data-testid=person-bert]').count();
  await action(host, 'bert', 'remove').click();
  await host.getByTestId('confirm-yes').click();
  seen.removed = await ended(bert);

  await host.getByTestId('end-room').click();
  await host.getByTestId('confirm-yes').click();
  seen.room_ended = [await ended(host), await ended(zoe)];
  await check(host, 'ended-laptop');
  return seen;
});
