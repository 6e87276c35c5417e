import { describe, expect, it } from "vitest";
import { readToken, roomFromPath, signalUrl, tokenFromFragment } from "../src/room/token";

function jwt(claims: unknown): string {
  const bytes = new TextEncoder().encode(JSON.stringify(claims));
  const body = btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  return `eyJhbGciOiJIUzI1NiJ9.${body}.c2ln`;
}

describe("a guest link", () => {
  it("carries its token in the fragment", () => {
    expect(tokenFromFragment("#t=a.b.c")).toBe("a.b.c");
    expect(tokenFromFragment("#x=1&t=a.b.c")).toBe("a.b.c");
    expect(tokenFromFragment("#t=")).toBeUndefined();
    expect(tokenFromFragment("")).toBeUndefined();
  });

  it("names its room in the path", () => {
    expect(roomFromPath("/rooms/lobby")).toBe("lobby");
    expect(roomFromPath("/rooms/caf%C3%A9/")).toBe("café");
    expect(roomFromPath("/rooms/")).toBeUndefined();
    expect(roomFromPath("/rooms/a/b")).toBeUndefined();
    expect(roomFromPath("/rooms/%E0%A4%A")).toBeUndefined();
  });

  it("leads to the server that gave the page", () => {
    expect(signalUrl({ protocol: "https:", host: "box.local:7443" })).toBe("wss://box.local:7443");
    expect(signalUrl({ protocol: "http:", host: "127.0.0.1:7880" })).toBe("ws://127.0.0.1:7880");
  });
});

describe("a token", () => {
  it("is read in the LiveKit shape, letters beyond ASCII included", () => {
    const token = jwt({ iss: "k", sub: "guest-1", name: "Ana María", exp: 1000, video: { room: "lobby", canPublish: false } });
    expect(readToken(token)).toEqual({
      name: "Ana María",
      identity: "guest-1",
      room: "lobby",
      expiresAtMs: 1_000_000,
      canPublish: false,
      rights: { moderate: false, admit: false },
    });
  });

  it("is read in the app server's shape", () => {
    const token = jwt({ apikey: "k", permissions: ["allow_join"], version: 2, roomId: "abcd", participantId: "p1", exp: 5 });
    expect(readToken(token)).toMatchObject({ name: "p1", identity: "p1", room: "abcd", expiresAtMs: 5000, canPublish: true });
  });

  it("that is none is told apart instead of thrown", () => {
    for (const bad of ["", "a", "a.b", "a.b.c", "..", `x.${btoa("[1]")}.y`, `x.${btoa("null")}.y`, "x.%%%.y"]) {
      expect(readToken(bad)).toBeUndefined();
    }
  });

  it("with claims of the wrong type still gives a name", () => {
    expect(readToken(jwt({ sub: 5, name: {}, exp: "soon", video: "all" }))).toMatchObject({ name: "", identity: "", canPublish: true });
  });

  it("says who may moderate, and who may let others in", () => {
    const rights = (claims: unknown) => readToken(jwt(claims))?.rights;
    expect(rights({ iss: "k", sub: "a", video: { roomAdmin: true } })).toEqual({ moderate: true, admit: true });
    expect(rights({ iss: "k", sub: "a", permissions: ["allow_mod"], video: {} })).toEqual({ moderate: false, admit: false });
    expect(rights({ apikey: "k", permissions: ["allow_join"] })).toEqual({ moderate: false, admit: true });
    expect(rights({ apikey: "k", permissions: ["allow_join", "allow_mod"] })).toEqual({ moderate: true, admit: true });
    expect(rights({ apikey: "k", permissions: ["ask_join"] })).toEqual({ moderate: false, admit: false });
    expect(rights({ apikey: "k", permissions: "allow_mod" })).toEqual({ moderate: false, admit: false });
  });
});
