/** The HTTP of the box, with every failure as one kind of error that says why. */
import type { Info, RecordingEntry, State } from "./state";

/** How long an answer may take. Starting a recording on a slow disk takes seconds. */
const ANSWER_MS = 15_000;

/** Why a request did not succeed: `code` is the box's, or `unreachable` or `timeout`. */
export class BoxError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly status = 0,
  ) {
    super(message);
    this.name = "BoxError";
  }
}

/** The reply of `/box/cmd/{name}`. */
export interface Reply {
  ok: boolean;
  code: string;
  message?: string;
  data?: unknown;
}

export interface GuestLink {
  url?: string;
  path: string;
  expires_at?: string | number;
}

async function send(path: string, init: RequestInit = {}, answerMs = ANSWER_MS): Promise<Response> {
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), answerMs);
  try {
    return await fetch(path, { cache: "no-store", credentials: "same-origin", ...init, signal: abort.signal });
  } catch {
    throw abort.signal.aborted
      ? new BoxError("timeout", `The box did not answer within ${answerMs / 1000} s.`)
      : new BoxError("unreachable", "The box cannot be reached.");
  } finally {
    clearTimeout(timer);
  }
}

/** The refusal in a response that is not a success. */
async function refusal(response: Response): Promise<BoxError> {
  let body: unknown;
  try {
    body = await response.json();
  } catch {
    body = undefined;
  }
  const outer = (body ?? {}) as { code?: string; message?: string; error?: { code?: string; message?: string } };
  const inner = outer.error ?? outer;
  const code = inner.code ?? (response.status === 401 ? "unauthorized" : "unknown");
  return new BoxError(code, inner.message || `The box answered ${response.status}.`, response.status);
}

async function json<T>(path: string, init?: RequestInit, answerMs?: number): Promise<T> {
  const response = await send(path, init, answerMs);
  if (!response.ok) throw await refusal(response);
  try {
    return (await response.json()) as T;
  } catch {
    throw new BoxError("unknown", "The box's answer cannot be read.", response.status);
  }
}

function post<T>(path: string, body: unknown): Promise<T> {
  return json<T>(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

export const getState = (answerMs?: number): Promise<State> => json<State>("/box/state", {}, answerMs);

/** What the box is, and how far its clock is ahead of ours in milliseconds (0 when unknown). */
export async function getInfo(): Promise<{ info: Info; clockAheadMs: number }> {
  const response = await send("/box/info");
  if (!response.ok) throw await refusal(response);
  const date = Date.parse(response.headers.get("date") ?? "");
  const ahead = date - Date.now();
  // The header has whole seconds: smaller differences are only its rounding.
  const clockAheadMs = Math.abs(ahead) > 2000 ? ahead : 0;
  return { info: (await response.json()) as Info, clockAheadMs };
}

/** One JPEG; throws the box's reason when it has none. */
export async function getPicture(): Promise<Blob> {
  const response = await send("/box/picture.jpg", {}, 5000);
  if (!response.ok) throw await refusal(response);
  return response.blob();
}

/** Runs a command; a reply that is not `ok` is thrown with the box's own message. */
export async function command(name: string, parameters: Record<string, unknown>): Promise<Reply> {
  const reply = await post<Reply>(`/box/cmd/${encodeURIComponent(name)}`, parameters);
  if (!reply.ok) throw new BoxError(reply.code, reply.message || `Refused: ${reply.code}.`);
  return reply;
}

/** What a link lets its bearers do: come in at once, ask to be let in, or moderate as well. */
export type GuestRight = "join" | "ask" | "moderate";

export const makeGuestLink = (room: string, name: string, may: GuestRight): Promise<GuestLink> =>
  post<GuestLink>("/box/guest-link", { room, name, may });

export const makeWatchToken = (room: string): Promise<{ token: string; room: string }> =>
  post("/box/watch-token", { room });

export const getRecordings = async (): Promise<RecordingEntry[]> =>
  (await json<{ data?: RecordingEntry[] }>("/box/recordings")).data ?? [];

export const recordingFile = (id: string): string => `/box/recordings/${encodeURIComponent(id)}/file`;
