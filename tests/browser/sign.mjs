// A guest in headless Chromium who waits until the page says that the box records, and then until it says so no more.
//
// Input: one JSON argument {link, profile, picture}; the picture is written once the sign was seen. Output: one JSON line
// {text, before, after}.
import { createRequire } from 'node:module';

const require = createRequire(process.env.ROOMD_TEST_NODE_MODULES + '/');
const { chromium } = require('playwright-core');
const wish = JSON.parse(process.argv[2]);

const context = await chromium.launchPersistentContext(wish.profile, {
  executablePath: process.env.ROOMD_TEST_CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  viewport: { width: 1280, height: 800 },
  args: [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--allow-loopback-in-peer-connection', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream',
    '--autoplay-policy=no-user-gesture-required',
  ],
});
try {
  const page = await context.newPage();
  page.on('console', (message) => console.error('console:', message.text()));
  page.on('pageerror', (error) => console.error('pageerror:', error.message));
  await page.goto(wish.link);
  const sign = page.getByTestId('recording');
  const before = await sign.isVisible();
  await page.locator('[data-testid=join]:not([disabled])').click({ timeout: 20_000 });
  await sign.waitFor({ state: 'visible', timeout: 30_000 });
  const text = await sign.innerText();
  await page.screenshot({ path: wish.picture });
  await sign.waitFor({ state: 'hidden', timeout: 30_000 });
  console.log(JSON.stringify({ text: text.trim(), before, after: await sign.isVisible() }));
} finally {
  await context.close();
}
