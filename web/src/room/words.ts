/** What the guest page says when something is not as hoped. Pure. */
import { ConnectionError, ConnectionErrorReason, DisconnectReason } from "livekit-client";

/** A short title, an explanation, and whether joining again makes sense. */
export interface Ending {
  title: string;
  text: string;
  again: boolean;
}

/** Longest name of a guest, in UTF-16 code units. */
const MAX_NAME = 60;

/** Why a name cannot be taken; undefined when it can. */
export function nameProblemOf(name: string): string | undefined {
  return name.length <= MAX_NAME ? undefined : `A name may have ${MAX_NAME} characters; this one has ${name.length}.`;
}

/** Why the room was left, in words. `waited`: it was never let in. */
export function endingOf(reason: DisconnectReason | undefined, waited: boolean): Ending {
  if (waited && reason === DisconnectReason.CLIENT_INITIATED) {
    return { title: "You stopped waiting", text: "Nobody has seen or heard you.", again: true };
  }
  switch (reason) {
    case DisconnectReason.USER_REJECTED:
      return { title: "You were not let in", text: "Somebody in the room decided so.", again: false };
    case DisconnectReason.CLIENT_INITIATED:
      return { title: "You left the room", text: "Your camera and microphone are off.", again: true };
    case DisconnectReason.DUPLICATE_IDENTITY:
      return {
        title: "You joined somewhere else",
        text: "You have joined from another window or another device.",
        again: true,
      };
    case DisconnectReason.PARTICIPANT_REMOVED:
      return { title: "You were removed", text: "Someone in charge of the room removed you.", again: false };
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return { title: "The room has ended", text: "It was closed for everybody.", again: false };
    case DisconnectReason.SERVER_SHUTDOWN:
      return { title: "The box is restarting", text: "Wait a moment, then join again.", again: true };
    case DisconnectReason.CONNECTION_TIMEOUT:
    case DisconnectReason.MEDIA_FAILURE:
      return {
        title: "No picture or sound came through",
        text: "The page reached the box, but the media did not. A firewall may block UDP and TCP to it.",
        again: true,
      };
    default:
      return {
        title: "Connection lost",
        text: "The box could not be reached again. Check your network, then join again.",
        again: true,
      };
  }
}

/** Why joining failed, in words. */
export function joinErrorOf(error: unknown, now: number, expiresAtMs: number | undefined): Ending {
  if (expiresAtMs !== undefined && expiresAtMs <= now) return EXPIRED;
  const reason = error instanceof ConnectionError ? error.reason : undefined;
  switch (reason) {
    case ConnectionErrorReason.NotAllowed:
      return {
        title: "This link is not accepted",
        text: "It may be too old, or for another room. Ask for a new guest link.",
        again: true,
      };
    case ConnectionErrorReason.ServerUnreachable:
    case ConnectionErrorReason.WebSocket:
    case ConnectionErrorReason.Timeout:
      return {
        title: "The box cannot be reached",
        text: "Check that you are on its network and that it is on, then try again.",
        again: true,
      };
    case ConnectionErrorReason.ServiceNotFound:
      return { title: "There is no room server here", text: "The box's room server is off.", again: true };
    default:
      return { title: "Joining did not work", text: plain(error), again: true };
  }
}

/** Shown for a token past its end, before or after trying. */
export const EXPIRED: Ending = {
  title: "This guest link has expired",
  text: "Ask whoever sent it for a new one.",
  again: false,
};

export type Device = "camera" | "microphone" | "screen";

/** Why a device cannot be used and what the reader can do, by the error's name. */
export function deviceErrorOf(device: Device, error: unknown): string {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return device === "screen"
        ? "The screen is not shared: the browser or the system refused it."
        : `The ${device} is not allowed. Allow it by the icon in the address bar, then try again.`;
    case "NotFoundError":
    case "DevicesNotFoundError":
      return `No ${device} was found.`;
    case "NotReadableError":
    case "TrackStartError":
    case "AbortError":
      return `The ${device} is in use by another program, or does not answer.`;
    case "OverconstrainedError":
      return `The ${device} offers no suitable format.`;
    default:
      return `The ${device} cannot be used: ${plain(error)}`;
  }
}

/** An error's message as a sentence. */
export function plain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message === "" ? "no reason was given." : /[.!?]$/.test(message) ? message : `${message}.`;
}

/** What everybody in the call must know; undefined: nothing. */
export function signOf(recorded: boolean, live: boolean): string | undefined {
  if (recorded && live) return "Recording and live";
  return recorded ? "Recording" : live ? "Live" : undefined;
}
