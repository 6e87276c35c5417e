import { ConnectionQuality, ConnectionState } from "livekit-client";
import { describe, expect, it } from "vitest";
import { bannerOf, bannerTime, qualityOf } from "../src/room/connection";

describe("the banner", () => {
  it("is there only while the room is away", () => {
    for (const state of [ConnectionState.Connected, ConnectionState.Connecting, ConnectionState.Disconnected]) {
      expect(bannerOf(state, true)).toBeUndefined();
    }
  });

  it("says whether only the signalling is away, everything, or the device's own network", () => {
    expect(bannerOf(ConnectionState.SignalReconnecting, true)).toContain("interrupted");
    expect(bannerOf(ConnectionState.Reconnecting, true)).toContain("may not see or hear you");
    expect(bannerOf(ConnectionState.Reconnecting, false)).toContain("offline");
  });

  it("says how long it has been so once it takes longer", () => {
    expect(bannerTime(2900)).toBe("");
    expect(bannerTime(10_000)).toBe("(10 s; gives up in 110 s)");
    expect(bannerTime(130_000)).toBe("(130 s; gives up in 0 s)");
  });
});

describe("one's own connection", () => {
  it("is told in words as well as by a picture", () => {
    expect(qualityOf(ConnectionQuality.Excellent)?.words).toBe("Your connection is good");
    expect(qualityOf(ConnectionQuality.Poor)?.tone).toBe("warn");
    expect(qualityOf(ConnectionQuality.Lost)?.icon).toBe("signal-lost");
    expect(qualityOf(ConnectionQuality.Unknown)).toBeUndefined();
  });
});
