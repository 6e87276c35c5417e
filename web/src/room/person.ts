/** What the page reads out of LiveKit's participants. */
import { ConnectionQuality, Track, type Participant } from "livekit-client";
import { isSilent } from "./controls";
import type { Person } from "./people";

/** The box's own identity begins so. */
const BOX = "box-";

export function isBox(identity: string): boolean {
  return identity.startsWith(BOX);
}

/** What others are called: their name, else their identity. */
export function calledOf(participant: Participant): string {
  return participant.name || participant.identity;
}

export function connectionOf(quality: ConnectionQuality): Person["connection"] {
  if (quality === ConnectionQuality.Lost) return "lost";
  return quality === ConnectionQuality.Poor ? "weak" : "good";
}

export function personOf(participant: Participant): Person {
  return {
    identity: participant.identity,
    name: calledOf(participant),
    local: participant.isLocal,
    box: isBox(participant.identity),
    speaking: participant.isSpeaking,
    silent: isSilent(participant),
    camera: participant.isCameraEnabled,
    screen: participant.isScreenShareEnabled,
    mayPublish: participant.permissions?.canPublish !== false,
    connection: connectionOf(participant.connectionQuality),
  };
}

/** The shared screen that can be shown; undefined while there is none. */
export function screenOf(participant: Participant): Track | undefined {
  const publication = participant.getTrackPublication(Track.Source.ScreenShare);
  return publication && !publication.isMuted ? publication.track : undefined;
}
