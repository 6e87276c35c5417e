// Headless Chromium as the scripts beside this one launch it, and their one JSON argument.
import { createRequire } from 'node:module';

export const require = createRequire(process.env.ROOMD_TEST_NODE_MODULES + '/');
export const { chromium } = require('playwright-core');
export const wish = JSON.parse(process.argv[2]);

// What every launch says, and `more`.
export const how = (more = []) => ({
  executablePath: process.env.ROOMD_TEST_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--allow-loopback-in-peer-connection', '--autoplay-policy=no-user-gesture-required',
    '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', ...more,
  ],
});

// Opens a page with the profile of `wish`, has `use` drive it, and ends the browser.
export async function withPage(use, { more, ...options } = {}) {
  const viewport = { width: 1280, height: 800 };
  const context = await chromium.launchPersistentContext(wish.profile, { ...how(more), viewport, ...options });
  try {
    const page = await context.newPage();
    page.on('console', (message) => console.error('console:', message.text()));
    page.on('pageerror', (error) => console.error('pageerror:', error.message));
    await use(page, context);
  } finally {
    await context.close();
  }
}
