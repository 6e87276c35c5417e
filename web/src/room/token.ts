/** What a guest link says. The page never verifies a token: the room server does. */

/** What the page reads out of a token to greet its owner. */
export interface TokenSummary {
  /** The name shown to others: the token's name, else its identity. */
  name: string;
  identity: string;
  /** The only room that the token is for, when it names one. */
  room?: string;
  /** End of validity, milliseconds since 1970. */
  expiresAtMs?: number;
  canPublish: boolean;
  rights: Rights;
}

/** What the page offers to do to others; whether it may is the server's to say. */
export interface Rights {
  /** Mute, remove, change who may speak, end the room. */
  moderate: boolean;
  /** Let in who waits. */
  admit: boolean;
}

/** The token in a fragment such as `#t=<jwt>`; undefined when there is none. */
export function tokenFromFragment(fragment: string): string | undefined {
  const token = new URLSearchParams(fragment.replace(/^#/, "")).get("t");
  return token ? token.trim() : undefined;
}

/** The room in a path such as `/rooms/lobby`; undefined when the path names none. */
export function roomFromPath(path: string): string | undefined {
  const name = /^\/rooms\/([^/]+)\/?$/.exec(path)?.[1];
  if (name === undefined) return undefined;
  try {
    return decodeURIComponent(name);
  } catch {
    return undefined;
  }
}

/** The LiveKit address of the server that gave us this page. */
export function signalUrl(location: { protocol: string; host: string }): string {
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}`;
}

/** Reads both claim shapes (LiveKit's and the app server's); undefined when it is no JWT. */
export function readToken(token: string): TokenSummary | undefined {
  const claims = decodeClaims(token);
  if (!claims) return undefined;
  const video = record(claims.video) ?? {};
  const identity = text(claims.sub) ?? text(claims.participantId) ?? text(claims.jti) ?? "";
  const room = text(video.room) ?? text(claims.roomId);
  return {
    name: text(claims.name) ?? identity,
    identity,
    ...(room === undefined ? {} : { room }),
    ...(typeof claims.exp === "number" ? { expiresAtMs: claims.exp * 1000 } : {}),
    // An audience of the app server's shape watches until it is called on to the stage.
    canPublish: video.canPublish !== false && claims.role !== "viewer",
    rights: claims.apikey === undefined ? livekitRights(video) : appServerRights(claims),
  };
}

function livekitRights(video: Record<string, unknown>): Rights {
  const moderate = video.roomAdmin === true;
  return { moderate, admit: moderate };
}

function appServerRights(claims: Record<string, unknown>): Rights {
  const has = (list: unknown, word: string) => Array.isArray(list) && list.includes(word);
  // A token for joining only is no use for the API.
  const forApi = claims.roles === undefined || has(claims.roles, "crawler");
  const moderate = forApi && has(claims.permissions, "allow_mod");
  return { moderate, admit: moderate || has(claims.permissions, "allow_join") };
}

function decodeClaims(token: string): Record<string, unknown> | undefined {
  const parts = token.split(".");
  if (parts.length !== 3 || !parts[1]) return undefined;
  try {
    const binary = atob(parts[1].replace(/-/g, "+").replace(/_/g, "/"));
    const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
    return record(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return undefined;
  }
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
