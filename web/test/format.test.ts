import { describe, expect, it } from "vitest";
import { count, formatBytes, formatDuration, parseTime } from "../src/shared/format";
import { ROOM_RETRY_LIMIT_MS, retryDelayMs, roomRetryDelayMs } from "../src/shared/retry";

describe("numbers as people read them", () => {
  it("gives bytes a binary unit and no useless digits", () => {
    expect(formatBytes(0)).toBe("0 B");
    expect(formatBytes(1023)).toBe("1023 B");
    expect(formatBytes(1536)).toBe("1.5 KiB");
    expect(formatBytes(187_654_321)).toBe("179 MiB");
    expect(formatBytes(-1)).toBe("unknown size");
    expect(formatBytes(Number.NaN)).toBe("unknown size");
  });

  it("writes a length of time with hours only when there are any", () => {
    expect(formatDuration(0)).toBe("0:00");
    expect(formatDuration(61_900)).toBe("1:01");
    expect(formatDuration(3_600_000)).toBe("1:00:00");
    expect(formatDuration(-5000)).toBe("0:00");
    expect(formatDuration(Number.NaN)).toBe("0:00");
  });

  it("reads the box's time as text, seconds or milliseconds", () => {
    const ms = Date.UTC(2025, 0, 2, 3, 4, 5);
    expect(parseTime("2025-01-02T03:04:05Z")).toBe(ms);
    expect(parseTime(ms)).toBe(ms);
    expect(parseTime(ms / 1000)).toBe(ms);
    expect(parseTime("yesterday")).toBeUndefined();
    expect(parseTime(undefined)).toBeUndefined();
  });

  it("counts one and many", () => {
    expect(count(1, "participant")).toBe("1 participant");
    expect(count(0, "participant")).toBe("0 participants");
  });
});

describe("waiting between attempts", () => {
  it("doubles up to its limit and takes at most a quarter away", () => {
    expect(retryDelayMs(0, 500, 8000, 0)).toBe(500);
    expect(retryDelayMs(3, 500, 8000, 0)).toBe(4000);
    expect(retryDelayMs(1000, 500, 8000, 0)).toBe(8000);
    expect(retryDelayMs(1000, 500, 8000, 1)).toBe(6000);
  });

  it("comes back to a room at once, then slower, then gives up", () => {
    expect(roomRetryDelayMs(0, 0, 0)).toBe(0);
    expect(roomRetryDelayMs(1, 10, 0)).toBe(300);
    expect(roomRetryDelayMs(20, 60_000, 0)).toBe(5000);
    expect(roomRetryDelayMs(21, ROOM_RETRY_LIMIT_MS, 0)).toBeNull();
  });
});
