import { describe, expect, it } from "vitest";
import { arrange, initials, type Rect } from "../src/room/layout";

const LAPTOP = [1350, 640] as const;
const PHONE = [374, 690] as const;

function overlaps(a: Rect, b: Rect): boolean {
  return a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height && b.top < a.top + a.height;
}

describe("tiles in the stage", () => {
  it("never leave it and never lie on each other", () => {
    for (const [width, height] of [LAPTOP, PHONE, [640, 320], [200, 120], [90, 1500]] as const) {
      for (const large of [false, true]) {
        for (let count = 1; count <= 60; count += 1) {
          const rects = arrange(count, width, height, large);
          expect(rects.length, `${count} in ${width} x ${height}`).toBeGreaterThan(0);
          for (const [index, rect] of rects.entries()) {
            expect(rect.left).toBeGreaterThanOrEqual(0);
            expect(rect.top).toBeGreaterThanOrEqual(0);
            expect(rect.left + rect.width, `${index} of ${count} in ${width} x ${height}`).toBeLessThanOrEqual(width);
            expect(rect.width).toBeGreaterThan(0);
            expect(rect.height).toBeGreaterThan(0);
            expect(rects.slice(0, index).some((before) => overlaps(before, rect))).toBe(false);
          }
        }
      }
    }
  });

  it("stand beside each other on a laptop and above each other on a phone", () => {
    const [a, b] = arrange(2, ...LAPTOP, false);
    expect(a?.top).toBe(b?.top);
    const [c, d] = arrange(2, ...PHONE, false);
    expect(c?.left).toBe(d?.left);
    expect(d?.top).toBeGreaterThan(c?.top ?? 0);
  });

  it("are all of one size in a grid, its last row in the middle", () => {
    const rects = arrange(5, ...LAPTOP, false);
    expect(new Set(rects.map((rect) => `${rect.width} x ${rect.height}`)).size).toBe(1);
    const middle = (row: Rect[]) => ((row[0]?.left ?? 0) + (row.at(-1)?.left ?? 0) + (row.at(-1)?.width ?? 0)) / 2;
    expect(Math.abs(middle(rects.slice(3)) - middle(rects.slice(0, 3)))).toBeLessThanOrEqual(1);
  });

  it("leave most of the stage to the large one", () => {
    const [large, ...small] = arrange(4, ...LAPTOP, true);
    expect((large?.width ?? 0) / LAPTOP[0]).toBeGreaterThan(0.75);
    expect(small.every((rect) => rect.width * 3 < (large?.width ?? 0))).toBe(true);
  });

  it("give the first one the whole width of a phone that is held upright", () => {
    expect(arrange(4, ...PHONE, false)[0]?.width).toBe(PHONE[0]);
    expect(arrange(2, ...PHONE, true)[0]?.width).toBe(PHONE[0]);
  });

  it("are fewer than there are people rather than too small to see", () => {
    const rects = arrange(60, ...PHONE, false);
    expect(rects.length).toBeLessThan(60);
    expect(Math.min(...rects.map((rect) => rect.width))).toBeGreaterThanOrEqual(110);
    expect(arrange(30, ...LAPTOP, true).length).toBeLessThan(8);
  });

  it("are none where there is nobody or no room", () => {
    expect(arrange(0, ...LAPTOP, false)).toEqual([]);
    expect(arrange(3, 0, 0, true)).toEqual([]);
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
