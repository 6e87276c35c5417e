import { describe, expect, it } from "vitest";
import { fitGrid, initials, tileOrder } from "../src/room/layout";

describe("tiles in a rectangle", () => {
  it("stand beside each other on a laptop and above each other on a phone", () => {
    expect(fitGrid(2, 1264, 680, 8).columns).toBe(2);
    expect(fitGrid(2, 374, 720, 8).columns).toBe(1);
    expect(fitGrid(6, 1264, 680, 8).columns).toBe(3);
  });

  it("never leave the rectangle while they are large enough to look at", () => {
    for (let count = 1; count <= 25; count += 1) {
      const fit = fitGrid(count, 1264, 680, 8);
      const rows = Math.ceil(count / fit.columns);
      expect(fit.columns * fit.tileWidth + (fit.columns - 1) * 8).toBeLessThanOrEqual(1264);
      expect(rows * fit.tileHeight + (rows - 1) * 8).toBeLessThanOrEqual(680);
    }
  });

  it("keep the columns that they were asked to keep", () => {
    expect(fitGrid(2, 374, 500, 8, 1).columns).toBe(1);
    expect(fitGrid(2, 374, 500, 8, 1, 2)).toEqual({ columns: 2, tileWidth: 183, tileHeight: 183 });
  });

  it("scroll instead of becoming too small", () => {
    const fit = fitGrid(60, 374, 600, 8);
    expect(fit.columns).toBe(2);
    expect(fit.tileWidth).toBeGreaterThanOrEqual(150);
  });

  it("have a size even when there is no room or nobody", () => {
    expect(fitGrid(0, 800, 600, 8).columns).toBe(1);
    expect(fitGrid(3, 0, 0, 8).tileWidth).toBeGreaterThan(0);
  });

  it("begin with the box and end with oneself", () => {
    const me = { identity: "a", local: true, joinedAtMs: 0 };
    const late = { identity: "b", local: false, joinedAtMs: 9 };
    const early = { identity: "c", local: false, joinedAtMs: 3 };
    const box = { identity: "box-1", local: false, joinedAtMs: 50 };
    expect([me, late, early, box].sort(tileOrder)).toEqual([box, early, late, me]);
  });
});

describe("letters for a name", () => {
  it("are the first and the last word's", () => {
    expect(initials("Ana María Ruiz")).toBe("AR");
    expect(initials("bob")).toBe("B");
    expect(initials("guest-7f")).toBe("G7");
    expect(initials("🦊 fox")).toBe("🦊F");
    expect(initials(" ")).toBe("?");
  });
});
