/** What moderators do to others: LiveKit's RoomService, with the token of the guest link. */
import type { RemoteParticipant, TrackPublication } from "livekit-client";

/** Longest wait for an answer. */
const PATIENCE_MS = 10_000;

export class Moderation {
  constructor(
    private readonly name: string,
    private readonly token: string,
  ) {}

  /** Mutes one of somebody's tracks until its owner unmutes it. */
  async mute(identity: string, publication: TrackPublication | undefined): Promise<void> {
    if (!publication) return;
    await this.call("MutePublishedTrack", { identity, trackSid: publication.trackSid, muted: true });
  }

  /** Puts somebody on the stage, or among the viewers: they go on seeing, hearing and writing. */
  async setMayPublish(person: RemoteParticipant, may: boolean): Promise<void> {
    const known = person.permissions?.toJson();
    const now = typeof known === "object" && known !== null && !Array.isArray(known) ? known : {};
    await this.call("UpdateParticipant", {
      identity: person.identity,
      permission: { ...now, canSubscribe: true, canPublishData: true, canPublish: may },
    });
  }

  /** Lets somebody in who waits. */
  async admit(identity: string): Promise<void> {
    const permission = { canSubscribe: true, canPublish: true, canPublishData: true, canUpdateMetadata: true };
    await this.call("UpdateParticipant", { identity, permission });
  }

  async remove(identity: string): Promise<void> {
    await this.call("RemoveParticipant", { identity });
  }

  /** Removes everybody and ends what runs on the room. */
  async endRoom(): Promise<void> {
    await this.call("DeleteRoom", {});
  }

  private async call(method: string, request: Record<string, unknown>): Promise<void> {
    let response: Response;
    try {
      response = await fetch(`/twirp/livekit.RoomService/${method}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.token}` },
        body: JSON.stringify({ room: this.name, ...request }),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
    } catch {
      throw new Error("The box did not answer. Check your connection, then try again.");
    }
    if (!response.ok) throw new Error(refusal(response.status, await response.text().catch(() => "")));
  }
}

/** A Twirp error as a sentence. */
export function refusal(status: number, body: string): string {
  if (status === 401) return "Your guest link has expired, so the box refused this.";
  let message = "";
  try {
    const error: unknown = JSON.parse(body);
    if (typeof error === "object" && error !== null && "msg" in error) message = String(error.msg);
  } catch {
    // Not from Twirp: the status must do.
  }
  if (status === 403) return `You may not do this${message === "" ? "." : `: ${message}.`}`;
  return `The box refused this${message === "" ? ` (HTTP ${status}).` : `: ${message}.`}`;
}
