import { ConnectionError, DisconnectReason } from "livekit-client";
import { describe, expect, it } from "vitest";
import { deviceErrorOf, endingOf, EXPIRED, joinErrorOf, nameProblemOf, plain, signOf } from "../src/room/words";

function named(name: string): Error {
  const error = new Error("x");
  error.name = name;
  return error;
}

describe("the end of a call", () => {
  it("offers to join again only where that can help", () => {
    expect(endingOf(DisconnectReason.CLIENT_INITIATED, false).again).toBe(true);
    expect(endingOf(DisconnectReason.PARTICIPANT_REMOVED, false).again).toBe(false);
    expect(endingOf(DisconnectReason.ROOM_DELETED, false).again).toBe(false);
    expect(endingOf(DisconnectReason.SERVER_SHUTDOWN, false).again).toBe(true);
    expect(endingOf(undefined, false).title).toBe("Connection lost");
  });
});

describe("a guest's name", () => {
  it("may be of any kind, but not of any length", () => {
    expect(nameProblemOf("")).toBeUndefined();
    expect(nameProblemOf("Ægir \u202e <b>")).toBeUndefined();
    expect(nameProblemOf("x".repeat(61))).toBe("A name may have 60 characters; this one has 61.");
  });
});

describe("waiting to be let in", () => {
  it("ends with being let in, being turned away, or giving up", () => {
    expect(endingOf(DisconnectReason.USER_REJECTED, true)).toMatchObject({ title: "You were not let in", again: false });
    expect(endingOf(DisconnectReason.CLIENT_INITIATED, true)).toMatchObject({ title: "You stopped waiting", again: true });
    expect(endingOf(DisconnectReason.ROOM_DELETED, true).title).toBe("The room has ended");
  });
});

describe("a failed join", () => {
  it("is told as expired when the token is past its end, whatever the server said", () => {
    expect(joinErrorOf(new Error("boom"), 2000, 1000)).toBe(EXPIRED);
  });

  it("tells a refused link from a box that is away", () => {
    expect(joinErrorOf(ConnectionError.notAllowed("no", 401), 0, undefined).title).toBe("This link is not accepted");
    expect(joinErrorOf(ConnectionError.serverUnreachable("no"), 0, undefined).title).toBe("The box cannot be reached");
    expect(joinErrorOf(new Error("strange thing"), 0, undefined).text).toBe("strange thing.");
  });
});

describe("a device that cannot be used", () => {
  it("says why and what to do", () => {
    expect(deviceErrorOf("camera", named("NotAllowedError"))).toContain("Allow it");
    expect(deviceErrorOf("microphone", named("NotFoundError"))).toBe("No microphone was found.");
    expect(deviceErrorOf("camera", named("NotReadableError"))).toContain("in use");
    expect(deviceErrorOf("camera", "odd")).toBe("The camera cannot be used: odd.");
  });

  it("always ends in a sentence", () => {
    expect(plain(new Error(""))).toBe("no reason was given.");
    expect(plain(new Error("Done!"))).toBe("Done!");
  });
});

describe("the sign of recording", () => {
  it("says what the others get", () => {
    expect(signOf(false, false)).toBeUndefined();
    expect([signOf(true, false), signOf(false, true), signOf(true, true)]).toEqual(["Recording", "Live", "Recording and live"]);
  });
});
