import { describe, expect, it } from "vitest";
import { ChatLog, lengthHint, MAX_CHARACTERS, MAX_MESSAGES, problemOf, readText, type Message } from "../src/room/chat";

const message = (id: string, more: Partial<Message> = {}): Message => ({
  id,
  name: "Ann",
  mine: false,
  text: "hello",
  cut: false,
  atMs: 0,
  ...more,
});

async function* endless(read: { pieces: number }): AsyncGenerator<string> {
  for (;;) {
    read.pieces += 1;
    yield "x".repeat(700);
  }
}

describe("a message", () => {
  it("may have so many characters, and is told how many it has when it has more", () => {
    expect(problemOf("x".repeat(MAX_CHARACTERS))).toBeUndefined();
    expect(problemOf("x".repeat(MAX_CHARACTERS + 1))).toContain("2,000 characters; this one has 2,001");
  });

  it("counts down when it is nearly too long", () => {
    expect(lengthHint("short")).toBe("");
    expect(lengthHint("x".repeat(MAX_CHARACTERS - 5))).toBe("5 characters left");
    expect(lengthHint("x".repeat(MAX_CHARACTERS + 1))).toBe("");
  });

  it("that never ends is read to the limit only", async () => {
    const read = { pieces: 0 };
    const { text, cut } = await readText(endless(read));
    expect([text.length, cut, read.pieces]).toEqual([MAX_CHARACTERS, true, 3]);
  });
});

describe("the chat", () => {
  it("counts what was not seen, and nothing of one's own", () => {
    const log = new ChatLog();
    log.add(message("1"), false);
    log.add(message("2", { mine: true }), false);
    log.add(message("3"), true);
    expect(log.unread).toBe(1);
    log.markSeen();
    expect(log.unread).toBe(0);
    expect(log.messages.map(({ id }) => id)).toEqual(["1", "2", "3"]);
  });

  it("takes no message twice, and none without words", () => {
    const log = new ChatLog();
    expect(log.add(message("1"), false)).toBe(true);
    expect(log.add(message("1", { text: "again" }), false)).toBe(false);
    expect(log.add(message("2", { text: " \n" }), false)).toBe(false);
    expect(log.messages).toHaveLength(1);
  });

  it("keeps the newest of very many", () => {
    const log = new ChatLog();
    for (let id = 0; id < MAX_MESSAGES + 10; id += 1) log.add(message(String(id)), true);
    expect(log.messages).toHaveLength(MAX_MESSAGES);
    expect(log.messages[0]?.id).toBe("10");
  });
});
