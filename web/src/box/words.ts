/** The box's state in human words. Pure. */
import { count, formatBytes, formatDuration, parseTime } from "../shared/format";
import {
  participantCount,
  type DeviceState,
  type Level,
  type LiveDestination,
  type RecordingState,
  type RoomState,
  type State,
} from "./state";

export type Tone = "good" | "busy" | "warn" | "bad" | "off";

/** A line of the status list: what is so, what explains it, and how it should look. */
export interface Words {
  text: string;
  detail?: string;
  tone: Tone;
}

export function roomWords(room: RoomState | null): Words {
  if (!room) return { text: "Not in a room", tone: "off" };
  const why = room.reason ? { detail: sentence(room.reason) } : {};
  switch (room.status) {
    case "joining":
      return { text: `Joining ${room.name}…`, tone: "busy", ...why };
    case "joined": {
      const people = participantCount(room);
      const who = people === undefined ? "" : `, ${count(people, "participant")}`;
      return { text: `In ${room.name}${who}`, tone: "good", ...why };
    }
    case "resuming":
      return { text: `Connection to ${room.name} lost, coming back…`, tone: "warn", ...why };
    case "backing_off":
      return { text: `Cannot reach ${room.name}, will try again`, tone: "bad", ...why };
    default:
      return { text: `${room.name}: ${sentence(room.status)}`, tone: "busy", ...why };
  }
}

export function deviceWords(device: DeviceState | undefined): Words {
  if (!device) return { text: "Unknown", tone: "off" };
  const parts = [device.reason ? sentence(device.reason) : "", deviceDetail(device)];
  const detail = parts.filter((part) => part !== "").join(" · ");
  const more = detail === "" ? {} : { detail };
  switch (device.status) {
    case "running":
      return device.muted
        ? { text: "Muted", tone: "warn", ...more }
        : { text: "On", tone: "good", ...more };
    case "starting":
      return { text: "Starting…", tone: "busy", ...more };
    case "off":
      return { text: "Off", tone: "off", ...more };
    case "failed":
      return { text: "Failed, trying again", tone: "bad", ...more };
    default:
      return { text: sentence(device.status), tone: "busy", ...more };
  }
}

function deviceDetail(device: DeviceState): string {
  const format = device.format;
  const shape =
    typeof format === "string" ? format : format && format.width ? `${format.width}x${format.height}` : "";
  return [device.device, shape].filter((part) => part).join(", ");
}

/** Loudness by the peak of the last second: a word that jumps with every syllable tells nothing. */
export function levelWords(level: Level, muted: boolean): Words {
  const peak = level.peak_dbov;
  const [word, tone]: [string, Tone] =
    peak <= -70 ? ["No sound", "off"] : peak <= -45 ? ["Quiet", "good"] : peak <= -6 ? ["Good", "good"] : ["Too loud", "warn"];
  const loud = peak <= -127 ? "" : `, ${peak} dB`;
  return muted ? { text: `Unheard${loud}`, tone: "off" } : { text: `${word}${loud}`, tone };
}

/** `now` is the box's own time, milliseconds since 1970. */
export function recordingWords(recording: RecordingState | undefined, now: number): Words {
  const why = recording?.reason ? { detail: sentence(recording.reason) } : {};
  if (recording?.status === "disk_full") {
    return { text: "Stopped: the disk is full", tone: "bad", detail: "What was recorded is whole.", ...why };
  }
  if (recording?.status === "retrying") {
    return { text: "Writing failed, trying again in a new file", tone: "bad", ...why };
  }
  if (!recording?.on) return { text: "Not recording", tone: why.detail ? "bad" : "off", ...why };
  const started = parseTime(recording.started_at);
  const parts = [
    started === undefined ? "Recording" : `Recording ${formatDuration(now - started)}`,
    recording.bytes === undefined ? "" : formatBytes(recording.bytes),
  ];
  const text = parts.filter((part) => part !== "").join(", ");
  switch (recording.status) {
    case "storage_slow":
      return {
        text,
        detail: "Storage is slow: the disk does not keep up, a power cut now may lose more than a second.",
        tone: "warn",
      };
    case undefined:
    case "recording":
      return { text, tone: "good", ...why };
    default:
      return { text, detail: sentence(recording.status), tone: "warn" };
  }
}

export function liveWords(live: { on: boolean; destinations?: LiveDestination[] } | undefined): Words {
  if (!live?.on) return { text: "Not live", tone: "off" };
  const destinations = live.destinations ?? [];
  const arriving = destinations.filter((destination) => destination.status === "live").length;
  const troubled = destinations.find((destination) => destination.last_error);
  return {
    text: `Live to ${arriving} of ${count(destinations.length, "destination")}`,
    ...(troubled?.last_error ? { detail: sentence(troubled.last_error) } : {}),
    tone: arriving === destinations.length ? "good" : "warn",
  };
}

/** `now` is the box's own time, milliseconds since 1970. */
export function destinationWords(to: LiveDestination, now: number): Words {
  const why = to.last_error ? { detail: sentence(to.last_error) } : {};
  const sent = to.bytes_acked ? `, ${formatBytes(to.bytes_acked)}` : "";
  switch (to.status) {
    case "connecting":
      return { text: "Connecting…", tone: "busy", ...why };
    case "live":
      return { text: `Live${sent}`, tone: "good", ...why };
    case "stalled":
      return { text: `The server takes nothing any more${sent}`, tone: "warn", ...why };
    case "retrying": {
      const next = parseTime(to.next_try);
      const when = next === undefined ? "" : ` in ${formatDuration(next - now)}`;
      return { text: `Not live, next try${when}`, tone: "bad", ...why };
    }
    case "stopped":
      return { text: `Ending${sent}`, tone: "off", ...why };
    default:
      return { text: sentence(to.status), tone: "busy", ...why };
  }
}

/** Whether the stream arrives at any destination. */
export function isLive(state: State): boolean {
  return state.live?.on === true && state.live.destinations?.some(({ status }) => status === "live") === true;
}

/** What the people in the room must know: that they are recorded, or live. Undefined: neither. */
export function onAirWords(state: State): string | undefined {
  const live = state.live?.on ? (isLive(state) ? "live" : "going live") : undefined;
  const recorded = state.recording?.on ? "being recorded" : undefined;
  const parts = [recorded, live].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : sentence(parts.join(" and "));
}

/** A code or a phrase as a sentence: `device_missing` becomes `Device missing`. */
export function sentence(phrase: string): string {
  const words = /^[a-z0-9_]+$/.test(phrase) ? phrase.replace(/_/g, " ") : phrase;
  return words.charAt(0).toUpperCase() + words.slice(1);
}
