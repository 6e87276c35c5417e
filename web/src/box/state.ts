/** The State document of the box, as it comes over HTTP. Unknown members are ignored. */

export interface RoomState {
  name: string;
  url?: string;
  status: "joining" | "joined" | "resuming" | "backing_off" | (string & {});
  reason?: string;
  participants?: number | unknown[];
}

export interface RecordingState {
  on: boolean;
  id?: string;
  source?: string;
  file?: string;
  started_at?: string | number;
  bytes?: number;
  status?: string;
  reason?: string;
}

export interface DeviceState {
  status: string;
  device?: string;
  format?: string | Record<string, unknown>;
  reason?: string;
  muted?: boolean;
}

/** How loud the microphone is, silenced or not: 0 is the loudest, -127 silence. */
export interface Level {
  dbov: number;
  /** Of the last second. */
  peak_dbov: number;
}

export interface LiveDestination {
  url: string;
  status: string;
  bytes_acked?: number;
  last_error?: string;
  next_try?: string | number;
}

export interface State {
  seq: number;
  ts?: string | number;
  room: RoomState | null;
  recording?: RecordingState;
  live?: { on: boolean; destinations?: LiveDestination[] };
  camera?: DeviceState;
  microphone?: DeviceState;
  speaker?: DeviceState;
  identifying?: boolean;
}

export interface Info {
  id: string;
  name: string;
  version: string;
  addresses?: { http?: string | string[]; https?: string | string[] };
}

export interface RecordingEntry {
  id: string;
  room?: string;
  file?: string;
  started_at?: string | number;
  duration_ms?: number;
  bytes?: number;
  status?: string;
}

/** What the parts of the page know of the box; main.ts alone writes it. */
export interface Box {
  info: Info | undefined;
  state: State | undefined;
  connected: boolean;
  /** How far the box's clock is ahead of the browser's. */
  clockAheadMs: number;
}

/** People and machines in the room, however the box counts them. */
export function participantCount(room: RoomState): number | undefined {
  if (typeof room.participants === "number") return room.participants;
  return Array.isArray(room.participants) ? room.participants.length : undefined;
}

/**
 * Lets only newer documents through. One event stream numbers its documents upwards;
 * a restarted box may begin again at a lower number, so a new stream starts afresh.
 */
export class NewestState {
  private seq = -1;

  /** Forgets the numbers of the last stream. */
  restart(): void {
    this.seq = -1;
  }

  /** True when the document is at least as new as the last one accepted. */
  accept(state: State): boolean {
    if (state.seq < this.seq) return false;
    this.seq = state.seq;
    return true;
  }
}
