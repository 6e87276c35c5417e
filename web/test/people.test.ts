import { describe, expect, it } from "vitest";
import { refusal } from "../src/room/moderation";
import { actionsFor, remarks, rosterOrder, type Person } from "../src/room/people";

const person = (identity: string, more: Partial<Person> = {}): Person => ({
  identity,
  name: identity,
  local: false,
  box: false,
  speaking: false,
  silent: false,
  camera: true,
  screen: false,
  mayPublish: true,
  connection: "good",
  ...more,
});

describe("the roster", () => {
  it("begins with oneself and the box, the others by name", () => {
    const people = [person("zoe"), person("box-1", { box: true }), person("Émile"), person("me", { local: true }), person("anna")];
    expect(people.sort(rosterOrder).map(({ identity }) => identity)).toEqual(["me", "box-1", "anna", "Émile", "zoe"]);
  });

  it("says what matters of each", () => {
    expect(remarks(person("a"))).toEqual([]);
    expect(remarks(person("a", { speaking: true }))).toEqual(["speaking"]);
    expect(remarks(person("a", { speaking: true, silent: true, camera: false }))).toEqual(["microphone off", "camera off"]);
    expect(remarks(person("a", { mayPublish: false, silent: true, camera: false }))).toEqual(["viewer"]);
    expect(remarks(person("a", { connection: "lost", screen: true }))).toEqual(["connection lost", "shares the screen"]);
  });
});

describe("moderation", () => {
  const may = { moderate: true, admit: true };

  it("is offered to moderators only, and not against themselves", () => {
    expect(actionsFor(person("a"), { moderate: false, admit: true })).toEqual([]);
    expect(actionsFor(person("a", { local: true }), may)).toEqual([]);
  });

  it("fits what somebody does", () => {
    expect(actionsFor(person("a"), may)).toEqual(["mute", "stop-camera", "to-viewer", "remove"]);
    expect(actionsFor(person("a", { silent: true, camera: false, screen: true }), may)).toEqual([
      "stop-screen",
      "to-viewer",
      "remove",
    ]);
    expect(actionsFor(person("a", { mayPublish: false, silent: true, camera: false }), may)).toEqual(["to-stage", "remove"]);
  });

  it("mutes the box, but does not send it away", () => {
    expect(actionsFor(person("box-1", { box: true }), may)).toEqual(["mute"]);
  });

  it("says why the box refused", () => {
    expect(refusal(403, '{"code":"permission_denied","msg":"roomAdmin is needed"}')).toBe("You may not do this: roomAdmin is needed.");
    expect(refusal(404, '{"code":"not_found","msg":"no such participant"}')).toBe("The box refused this: no such participant.");
    expect(refusal(401, "")).toContain("expired");
    expect(refusal(502, "<html>")).toBe("The box refused this (HTTP 502).");
  });
});
