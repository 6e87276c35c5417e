// The owner in headless Chromium: opens an admin link, looks at the box's page, records, plays the recording.
//
// Input: one JSON argument {link, profile, record_ms, live: {url, key}, screenshots: {file: {width, height}}}. Output:
// one JSON line {second_use, picture, guest_link, ask_link, level, live, during, after, camera_off, played}.
import { wish, withPage } from './launch.mjs';

const patience = { timeout: 20_000 };
const seen = {};
await withPage(async (page, context) => {
  page.on('response', (response) => {
    if (response.status() >= 400) console.error('response:', response.status(), response.url().split('?')[0]);
  });
  const address = new URL(wish.link).origin;
  await page.goto(address);
  await page.locator('#signed-out').waitFor({ state: 'visible', ...patience });
  seen.without_link = await page.locator('#signed-out').innerText();

  await page.goto(wish.link);
  await page.locator('#app').waitFor({ state: 'visible', ...patience });
  const again = await context.newPage();
  const refused = await again.goto(wish.link);
  seen.second_use = { status: refused.status(), text: await again.locator('body').innerText() };
  await again.close();

  // Live once the box is in a room; before that one JPEG a second.
  const picture = page.getByTestId('picture');
  await page.waitForFunction(() => document.querySelector('#picture').dataset.mode !== 'none', null, patience);
  seen.first_mode = await picture.getAttribute('data-mode');
  await page.waitForFunction(() => document.querySelector('#picture').dataset.mode === 'webrtc', null, patience);
  seen.picture = await page.evaluate(() => {
    const video = document.querySelector('#picture-video');
    const box = video.getBoundingClientRect();
    return { width: video.videoWidth, height: video.videoHeight, shown: box.width > 100 && box.height > 50 };
  });
  await page.waitForFunction(() => document.querySelector('#guest-link').href !== '', null, patience);
  seen.guest_link = await page.getByTestId('guest-link').getAttribute('href');
  await page.getByTestId('guest-may').selectOption('ask');
  await page.getByTestId('make-guest-link').click();
  await page.waitForFunction(() => document.querySelector('#guest-note').innerText.includes('let in'), null, patience);
  seen.ask_link = await page.getByTestId('guest-link').getAttribute('href');
  await page.getByTestId('level').waitFor({ state: 'visible', ...patience });
  await page.waitForFunction(() => document.querySelector('#level').ariaValueText?.includes('dB'), null, patience);
  seen.level = await page.getByTestId('level').getAttribute('aria-valuetext');
  await shoot(page, '');

  // Going live to a port that nobody listens on: the page says so, and never shows the key.
  if (wish.live) {
    await page.getByTestId('live-url').fill(wish.live.url);
    await page.getByTestId('live-key').fill(wish.live.key);
    await page.getByTestId('live-add').click();
    await page.getByTestId('live').click(patience);
    const row = page.locator('[data-testid=live-destination][data-state=retrying]');
    await row.waitFor(patience);
    seen.live = await row.innerText();
    seen.live_page = await page.content();
    await shoot(page, '-live');
    await page.locator('#live-button[data-state=on]:not([disabled])').click(patience);
    await page.locator('#state-live[data-state=off]').waitFor(patience);
  }

  const state = () => page.evaluate(async () => (await fetch('/box/state')).json());
  await page.locator('#record:not([disabled])').click(patience);
  await page.locator('#state-recording[data-state=recording]').waitFor(patience);
  await page.waitForTimeout(wish.record_ms);
  seen.during = await state();
  seen.on_air = { text: await page.getByTestId('on-air').innerText(), title: await page.title() };
  seen.words = await page.getByTestId('state-recording').innerText();
  await shoot(page, '-recording');
  await page.locator('#record[data-state=on]:not([disabled])').click(patience);
  await page.locator('#state-recording[data-state=off]').waitFor(patience);
  seen.after = await state();
  seen.off_air = await page.getByTestId('on-air').isVisible();

  await page.locator('#camera:not([disabled])').click(patience);
  await page.locator('#state-camera[data-state=off]').waitFor(patience);
  seen.camera_off = await page.getByTestId('state-camera').innerText();
  await page.locator('#camera[data-state=off]:not([disabled])').click(patience);
  await page.locator('#state-camera[data-state=running]').waitFor(patience);

  const row = page.getByTestId(`recording-${seen.during.recording.id}`);
  await row.getByRole('button').click(patience);
  await page.waitForFunction(() => document.querySelector('#player-video').currentTime > 1, null, patience);
  seen.played = await page.evaluate(() => {
    const video = document.querySelector('#player-video');
    return { width: video.videoWidth, height: video.videoHeight, duration: video.duration, error: video.error?.message };
  });
  await shoot(page, '-player');
  await page.locator('#player-close').click();
  await page.setViewportSize({ width: 1280, height: 800 });
  seen.row = await row.innerText();
  console.log(JSON.stringify(seen));
});

async function shoot(page, which) {
  for (const [name, size] of Object.entries(wish.screenshots ?? {})) {
    await page.setViewportSize(size);
    await page.screenshot({ path: name.replace('.png', `${which}.png`) });
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    if (width > size.width) throw new Error(`the page is ${width} wide in a window of ${size.width}`);
  }
}
