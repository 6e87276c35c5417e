// One page publishes and sends messages, another watches; the publisher simulates one fault after the other, and must be
// seen and heard after each. Prints one line of JSON.
// usage: node faults.mjs <http url> <token a> <token b>; NODE_MODULES names the modules' folder
import { browser, join, stats, until } from "./page.mjs";

const [url, tokenA, tokenB] = process.argv.slice(2);
const resumes = ["signal-reconnect", "disconnect-signal-on-resume", "disconnect-signal-on-resume-no-messages"];
const rejoins = ["full-reconnect", "migration", "node-failure", "leave-full-reconnect"];

try {
  const result = { faults: {} };
  const [a, b] = await Promise.all([join(url, "a", tokenA), join(url, "b", tokenB, false)]);
  const decodes = async (what) => {
    let before;
    await until(what, async () => {
      const frames = (await stats(b)).decoded?.frames ?? 0;
      if (before === undefined || frames < before) before = frames;
      return frames > before + 5;
    }, 30000);
  };
  const sid = () => a.evaluate(() => room.localParticipant.sid);
  const say = (text) => a.evaluate((text) =>
    room.localParticipant.publishData(new TextEncoder().encode(text), { reliable: true }), text);
  await decodes("the picture");
  for (const fault of [...resumes, ...rejoins]) {
    const before = await sid();
    await b.evaluate(() => { messages.length = 0; });
    const sent = [0, 1, 2].map((n) => `anna: ${fault} ${n}`);
    await say(`${fault} 0`);
    await until("the message before", () => b.evaluate(() => messages.length === 1));
    await a.evaluate((fault) => {
      window.back = new Promise((wake) => room.once("reconnected", wake));
      return room.simulateScenario(fault);
    }, fault);
    // While the connection is lost: kept and sent again where the stay goes on.
    if (resumes.includes(fault)) await say(`${fault} 1`);
    await a.evaluate(() => window.back);
    // What is said before that the SDK keeps for a resume that does not come.
    await until("the SDK is through", () => a.evaluate(() => !room.engine.attemptingReconnect));
    if (!resumes.includes(fault)) await say(`${fault} 1`);
    await say(`${fault} 2`);
    await until(`the messages after ${fault}`, () => b.evaluate((n) => messages.length >= n, sent.length));
    await decodes(`the picture after ${fault}`);
    result.faults[fault] = { same_stay: before === (await sid()), sent, messages: await b.evaluate(() => messages) };
  }
  result.reason = await a.evaluate(() => {
    const out = new Promise((wake) => room.once("disconnected", wake));
    return room.simulateScenario("server-leave").then(() => out);
  });
  console.log(JSON.stringify(result));
} finally {
  await browser.close();
}
