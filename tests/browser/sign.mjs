// A guest in headless Chromium who waits until the page says that the box records, and then until it says so no more.
//
// Input: one JSON argument {link, profile, picture}; the picture is written once the sign was seen. Output: one JSON line
// {text, before, after}.
import { wish, withPage } from './launch.mjs';

await withPage(async (page) => {
  await page.goto(wish.link);
  const sign = page.getByTestId('recording');
  const before = await sign.isVisible();
  await page.locator('[data-testid=join]:not([disabled])').click({ timeout: 20_000 });
  await sign.waitFor({ state: 'visible', timeout: 30_000 });
  const text = await sign.innerText();
  await page.screenshot({ path: wish.picture });
  await sign.waitFor({ state: 'hidden', timeout: 30_000 });
  console.log(JSON.stringify({ text: text.trim(), before, after: await sign.isVisible() }));
});
