import { describe, expect, it } from "vitest";
import { inSight, mainTile, merged, tileOrder, type Place } from "../src/room/follow";

const place = (key: string, more: Partial<Place> = {}): Place => ({ key, local: false, box: false, joinedAtMs: 0, ...more });

describe("the order of tiles", () => {
  const me = place("me", { local: true });
  const late = place("late", { joinedAtMs: 9 });
  const early = place("early", { joinedAtMs: 3 });
  const box = place("box", { box: true, joinedAtMs: 50 });

  it("begins with the box and ends with oneself", () => {
    expect([me, late, early, box].sort(tileOrder)).toEqual([box, early, late, me]);
    expect(merged([], [me, late, early, box])).toEqual(["box", "early", "late", "me"]);
  });

  it("keeps everybody's place when somebody comes or goes", () => {
    expect(merged(["late", "early", "me"], [me, early, late, place("new", { joinedAtMs: 99 }), box])).toEqual([
      "box",
      "late",
      "early",
      "new",
      "me",
    ]);
    expect(merged(["box", "late", "early", "me"], [me, early, box])).toEqual(["box", "early", "me"]);
  });
});

describe("who is in sight", () => {
  const nobody = new Set<string>();
  const spoke = (times: Record<string, number>) => new Map(Object.entries(times));

  it("is whoever was there first, as long as nobody speaks", () => {
    expect(inSight(["a", "b", "c", "d"], 2, spoke({}), nobody)).toEqual(["a", "b", "c", "d"]);
  });

  it("includes who speaks, in the place of who has been silent longest", () => {
    expect(inSight(["a", "b", "c", "d"], 3, spoke({ a: 10, b: 5, c: 20, d: 30 }), nobody)).toEqual(["a", "d", "c", "b"]);
    expect(inSight(["a", "b", "c", "d", "e"], 2, spoke({ d: 1, e: 2 }), nobody).slice(0, 2).sort()).toEqual(["d", "e"]);
  });

  it("does not change while those who speak are in sight already", () => {
    const order = inSight(["a", "b", "c", "d"], 2, spoke({ d: 7 }), nobody);
    expect(inSight(order, 2, spoke({ d: 9, a: 8 }), nobody)).toEqual(order);
  });

  it("always includes the box and oneself", () => {
    const keep = new Set(["box", "me"]);
    expect(inSight(["box", "a", "b", "me"], 2, spoke({ a: 9, b: 8 }), keep)).toEqual(["box", "me", "b", "a"]);
  });

  it("loses nobody, whatever fits", () => {
    for (let visible = 0; visible <= 6; visible += 1) {
      const all = inSight(["a", "b", "c", "d"], visible, spoke({ d: 4, b: 1 }), new Set(["c"]));
      expect([...all].sort()).toEqual(["a", "b", "c", "d"]);
    }
  });
});

describe("the main participant", () => {
  const stage = {
    pinned: undefined,
    screens: [] as string[],
    speakerView: true,
    speakers: [] as string[],
    before: undefined as string | undefined,
    all: ["box", "a", "b"],
  };

  it("is nobody in the grid, until somebody presents", () => {
    expect(mainTile({ ...stage, speakerView: false, speakers: ["a"] })).toBeUndefined();
    expect(mainTile({ ...stage, speakerView: false, screens: ["screen-a", "screen-b"] })).toBe("screen-b");
  });

  it("is the speaker, and stays so until only somebody else speaks", () => {
    expect(mainTile({ ...stage, speakers: ["a"] })).toBe("a");
    expect(mainTile({ ...stage, speakers: ["b", "a"], before: "a" })).toBe("a");
    expect(mainTile({ ...stage, speakers: ["b"], before: "a" })).toBe("b");
    expect(mainTile({ ...stage, speakers: [], before: "a" })).toBe("a");
    expect(mainTile({ ...stage, speakers: [], before: "gone" })).toBe("box");
  });

  it("is whom the reader has pinned, as long as they are there", () => {
    expect(mainTile({ ...stage, pinned: "b", screens: ["screen-a"], speakers: ["a"] })).toBe("b");
    expect(mainTile({ ...stage, pinned: "gone", speakers: ["a"] })).toBe("a");
  });
});
