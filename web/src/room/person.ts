/** What the page reads out of LiveKit's participants. */
import { ConnectionQuality, Track, type Participant, type RemoteParticipant, type Room } from "livekit-client";
import { isSilent } from "./controls";
import type { Person } from "./people";

/** The box's own identity begins so. */
const BOX = "box-";

export function isBox(identity: string): boolean {
  return identity.startsWith(BOX);
}

/** Set by the room server on whoever asks to be let in; only those who may admit see them. */
const WAITING = "roomd.waiting";

export function asksToJoin(participant: Participant): boolean {
  return participant.attributes[WAITING] === "true";
}

/** Whether a change of attributes says whether somebody asks to be let in. */
export function wasAsking(changed: Record<string, string>): boolean {
  return WAITING in changed;
}

/** What a box in the room says of itself: that it records, that its stream goes live. */
export function boxSays(room: Room, what: "recorded" | "live"): boolean {
  const boxes = [...room.remoteParticipants.values()].filter((participant) => isBox(participant.identity));
  return boxes.some((box) => box.attributes[`box.${what}`] === "true");
}

/** The others who are in the room. */
export function othersIn(room: Room): RemoteParticipant[] {
  return [...room.remoteParticipants.values()].filter((participant) => !asksToJoin(participant));
}

/** Who asks to be let in, the longest waiting first. */
export function askingIn(room: Room): RemoteParticipant[] {
  const asking = [...room.remoteParticipants.values()].filter(asksToJoin);
  return asking.sort((a, b) => (a.joinedAt?.getTime() ?? 0) - (b.joinedAt?.getTime() ?? 0));
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
