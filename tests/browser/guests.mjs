// Guests of a box in headless Chromium, each in a context of its own; shared by the scripts that drive several.
// Each script takes one JSON argument {base, key, secret, screenshots}.
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chromium, how, require, wish } from './launch.mjs';

export { wish };
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const patience = { timeout: 60_000 };

export const LAPTOP = { viewport: { width: 1366, height: 768 } };
export const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

// Several cameras and microphones (the second and third camera give formats of their own).
export const browser = await chromium.launch(how(['--use-fake-device-for-media-stream=device-count=4']));

const encoded = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

function signed(claims) {
  const exp = Math.floor(Date.now() / 1000) + 600;
  const text = `${encoded({ alg: 'HS256', typ: 'JWT' })}.${encoded({ exp, ...claims })}`;
  return `${text}.${createHmac('sha256', wish.secret).update(text).digest('base64url')}`;
}

// A token in the app server's shape, for the room `lobby`.
export const token = (permissions, more = {}) =>
  signed({ apikey: wish.key, version: 2, permissions, roomId: 'lobby', ...more });

// What went wrong in the pages: errors, and what the content security policy stopped. To be empty at the end.
export const troubles = [];

// Opens the guest page of a token's bearer.
export async function open(name, jwt, options = LAPTOP) {
  const context = await browser.newContext({ permissions: ['camera', 'microphone'], ...options });
  await context.exposeFunction('tellTrouble', (what) => troubles.push(`${name}: ${what}`));
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', (event) => tellTrouble(`${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  page.setDefaultTimeout(patience.timeout);
  page.on('pageerror', (error) => troubles.push(`${name}: ${error.stack ?? error}`));
  page.on('console', (message) => console.error(`[${name}]`, message.text()));
  await page.goto(`${wish.base}/rooms/lobby#t=${jwt}`);
  return page;
}

export async function join(page) {
  await page.locator('[data-testid=join]:not([disabled])').click();
  await page.getByTestId('call').waitFor();
}

export const guest = async (name, jwt, options) => {
  const page = await open(name, jwt, options);
  await join(page);
  return page;
};

export const until = (page, what, argument) => page.waitForFunction(what, argument, patience);

// Waits until a page decodes the picture of everybody in this list.
export const sees = (page, identities) => until(page, (list) => list.every((identity) =>
  document.querySelector(`[data-testid="tile-${identity}"] video`)?.videoWidth > 0), identities);

// The tiles in sight by their test ids, and whether any two lie on each other or leave the stage.
export const tiles = (page) => page.evaluate(() => {
  const stage = document.querySelector('#tiles').getBoundingClientRect();
  const shown = [...document.querySelectorAll('.tile')].filter((tile) => !tile.hidden);
  const boxes = shown.map((tile) => tile.getBoundingClientRect());
  const outside = (box) => box.left < stage.left - 1 || box.top < stage.top - 1 || box.right > stage.right + 1 || box.bottom > stage.bottom + 1;
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  return {
    shown: shown.map((tile) => tile.dataset.testid),
    main: document.querySelector('#stage').dataset.main,
    wrong: boxes.some(outside) || boxes.some((a, at) => boxes.slice(at + 1).some((b) => meet(a, b))),
  };
});

// What a checker finds that a reader without sight, hands or colours would meet: a list of short texts.
export async function barriers(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(async () => {
    const { violations } = await axe.run(document, { resultTypes: ['violations'] });
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(', ')}`);
  });
  const size = page.viewportSize();
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  return width > size.width ? [...found, `${width} wide in a window of ${size.width}`] : found;
}

// A picture to look at, when somebody wants to.
export async function shoot(page, name) {
  if (wish.screenshots) await page.screenshot({ path: `${wish.screenshots}/${name}.png` });
}

// Runs a script's body and prints what it saw as one line of JSON.
export async function run(body) {
  try {
    const seen = await body();
    console.log(JSON.stringify({ ...seen, troubles }));
  } catch (error) {
    console.error('troubles:', troubles);
    const pages = browser.contexts().flatMap((context) => context.pages());
    for (const [index, page] of pages.entries()) await shoot(page, `failed-${index}`);
    throw error;
  } finally {
    await browser.close();
  }
}
