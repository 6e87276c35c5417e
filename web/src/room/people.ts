/** The roster: who stands where, what is said of each, and what may be done. Pure. */
import type { Rights } from "./token";

/** One participant as the roster sees it. */
export interface Person {
  identity: string;
  name: string;
  local: boolean;
  box: boolean;
  speaking: boolean;
  /** The microphone is off or muted. */
  silent: boolean;
  camera: boolean;
  screen: boolean;
  mayPublish: boolean;
  connection: "good" | "weak" | "lost";
}

export type Action = "mute" | "stop-camera" | "stop-screen" | "to-viewer" | "to-stage" | "remove";

/** Oneself first, then the box, then the others by name. */
export function rosterOrder(a: Person, b: Person): number {
  if (a.local !== b.local) return a.local ? -1 : 1;
  if (a.box !== b.box) return a.box ? -1 : 1;
  return a.name.localeCompare(b.name) || (a.identity < b.identity ? -1 : 1);
}

/** What is to be said of somebody besides the name, the most important first. */
export function remarks(person: Person): string[] {
  const said: string[] = [];
  if (person.connection === "lost") said.push("connection lost");
  if (person.connection === "weak") said.push("weak connection");
  if (person.screen) said.push("shares the screen");
  if (person.speaking && !person.silent) said.push("speaking");
  if (!person.mayPublish) said.push("viewer");
  else if (person.silent) said.push("microphone off");
  if (person.mayPublish && !person.camera) said.push("camera off");
  return said;
}

/** What whoever has these rights may do to a person. Nobody moderates themselves; the box stays where it is. */
export function actionsFor(person: Person, rights: Rights): Action[] {
  if (!rights.moderate || person.local) return [];
  const actions: Action[] = [];
  if (!person.silent) actions.push("mute");
  if (person.camera && !person.box) actions.push("stop-camera");
  if (person.screen) actions.push("stop-screen");
  if (!person.box) actions.push(person.mayPublish ? "to-viewer" : "to-stage", "remove");
  return actions;
}

/** What each action's button says. */
export const ACTION_LABELS: Record<Action, string> = {
  mute: "Mute",
  "stop-camera": "Stop camera",
  "stop-screen": "Stop sharing",
  "to-viewer": "Make viewer",
  "to-stage": "Let speak",
  remove: "Remove",
};
