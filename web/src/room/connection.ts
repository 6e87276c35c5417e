/** What is said of the connection. Pure. */
import { ConnectionQuality, ConnectionState } from "livekit-client";
import { ROOM_RETRY_LIMIT_MS } from "../shared/retry";
import type { IconName } from "../shared/icons";

/** What the banner says while the room is away; undefined: it is there. */
export function bannerOf(state: ConnectionState, online: boolean): string | undefined {
  if (state !== ConnectionState.Reconnecting && state !== ConnectionState.SignalReconnecting) return undefined;
  if (!online) return "This device is offline. The call goes on when its network is back.";
  return state === ConnectionState.SignalReconnecting
    ? "The connection to the box is interrupted. Trying to come back…"
    : "Connection lost. The others may not see or hear you. Trying to come back…";
}

/** How long it has been so, and when it is given up. */
export function bannerTime(awayMs: number): string {
  const seconds = Math.max(0, Math.floor(awayMs / 1000));
  const left = Math.max(0, Math.ceil((ROOM_RETRY_LIMIT_MS - awayMs) / 1000));
  return seconds < 3 ? "" : `(${seconds} s; gives up in ${left} s)`;
}

/** One's own connection as a word and a picture; undefined while nothing is known. */
export function qualityOf(quality: ConnectionQuality): { words: string; icon: IconName; tone: string } | undefined {
  switch (quality) {
    case ConnectionQuality.Excellent:
    case ConnectionQuality.Good:
      return { words: "Your connection is good", icon: "signal", tone: "good" };
    case ConnectionQuality.Poor:
      return { words: "Your connection is weak", icon: "signal-weak", tone: "warn" };
    case ConnectionQuality.Lost:
      return { words: "Your connection is lost", icon: "signal-lost", tone: "bad" };
    default:
      return undefined;
  }
}
