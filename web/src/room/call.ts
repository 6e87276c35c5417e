/** The call: connects, publishes, and keeps the page true to the room. */
import {
  ConnectionState,
  RoomEvent,
  Track,
  type DisconnectReason,
  type Participant,
  type RemoteTrack,
  type Room,
} from "livekit-client";
import { byId, setText } from "../shared/dom";
import { count } from "../shared/format";
import { Controls } from "./controls";
import type { LobbyDevices } from "./devices";
import { Tiles } from "./tiles";
import { WakeLock } from "./wake-lock";
import { deviceErrorOf } from "./words";

/** Any of these may change what a tile or a button shows. */
const REDRAW = [
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantNameChanged,
  RoomEvent.ParticipantPermissionsChanged,
  RoomEvent.TrackPublished,
  RoomEvent.TrackUnpublished,
  RoomEvent.TrackSubscribed,
  RoomEvent.TrackUnsubscribed,
  RoomEvent.TrackMuted,
  RoomEvent.TrackUnmuted,
  RoomEvent.LocalTrackPublished,
  RoomEvent.LocalTrackUnpublished,
  RoomEvent.ActiveSpeakersChanged,
  RoomEvent.ConnectionQualityChanged,
  RoomEvent.TrackStreamStateChanged,
  RoomEvent.TrackSubscriptionFailed,
  RoomEvent.ConnectionStateChanged,
] as const;

export class Call {
  private readonly tiles: Tiles;
  private readonly controls: Controls;
  private readonly wakeLock = new WakeLock();
  private joined = false;
  private redrawAsked = false;

  constructor(
    private readonly room: Room,
    private readonly name: string,
    private readonly ended: (reason: DisconnectReason | undefined) => void,
  ) {
    this.tiles = new Tiles(room);
    this.controls = new Controls(room);
    for (const event of REDRAW) room.on(event, () => this.redrawSoon());
    room.on(RoomEvent.TrackSubscribed, (track) => this.hear(track));
    room.on(RoomEvent.TrackUnsubscribed, (track) => silence(track));
    room.on(RoomEvent.ParticipantConnected, (who) => this.tell(who, "joined"));
    room.on(RoomEvent.ParticipantDisconnected, (who) => this.tell(who, "left"));
    room.on(RoomEvent.AudioPlaybackStatusChanged, () => this.renderPlayback());
    room.on(RoomEvent.VideoPlaybackStatusChanged, () => this.renderPlayback());
    room.on(RoomEvent.Disconnected, (reason) => this.finish(reason));
    byId("hear").addEventListener("click", () => {
      void room.startAudio().then(() => room.startVideo()).finally(() => this.renderPlayback());
    });
  }

  /** Connects and publishes; throws when the room cannot be joined. */
  async join(url: string, token: string, devices: LobbyDevices, onJoined: () => void): Promise<void> {
    await this.room.connect(url, token);
    this.joined = true;
    setText(byId("call-room"), this.name);
    document.title = this.name;
    onJoined();
    this.redraw();
    this.renderPlayback();
    void this.wakeLock.hold();
    await this.publish(devices);
    this.redraw();
  }

  /** A device that fails now costs its own track, never the call. */
  private async publish(devices: LobbyDevices): Promise<void> {
    const { camera, microphone, cameraWanted, microphoneWanted } = devices;
    if (camera && !cameraWanted) camera.stop();
    if (microphone && !microphoneWanted) microphone.stop();
    const local = this.room.localParticipant;
    const [heard, seen] = await Promise.allSettled([
      microphone && microphoneWanted ? local.publishTrack(microphone) : undefined,
      camera && cameraWanted ? local.publishTrack(camera) : undefined,
    ]);
    if (heard.status === "rejected") this.controls.fail(deviceErrorOf("microphone", heard.reason));
    if (seen.status === "rejected") this.controls.fail(deviceErrorOf("camera", seen.reason));
  }

  private hear(track: RemoteTrack): void {
    if (track.kind !== Track.Kind.Audio) return;
    byId("audio").append(track.attach());
  }

  private tell(who: Participant, what: string): void {
    setText(byId("news"), `${who.name || who.identity} ${what}`);
  }

  /** Several events of one moment become one redraw. */
  private redrawSoon(): void {
    if (this.redrawAsked) return;
    this.redrawAsked = true;
    queueMicrotask(() => {
      this.redrawAsked = false;
      this.redraw();
    });
  }

  private redraw(): void {
    if (!this.joined) return;
    this.tiles.render();
    this.controls.render();
    setText(byId("call-count"), count(this.room.remoteParticipants.size + 1, "participant"));
    this.renderConnection();
  }

  private renderConnection(): void {
    const state = this.room.state;
    const away = state === ConnectionState.Reconnecting || state === ConnectionState.SignalReconnecting;
    const banner = byId("call-banner");
    banner.hidden = !away;
    setText(banner, away ? "Connection lost, coming back…" : "");
  }

  private renderPlayback(): void {
    const { room } = this;
    byId("hear").hidden = !this.joined || (room.canPlaybackAudio && room.canPlaybackVideo);
  }

  private finish(reason: DisconnectReason | undefined): void {
    if (!this.joined) return;
    this.joined = false;
    this.wakeLock.release();
    byId("audio").replaceChildren();
    this.ended(reason);
  }
}

function silence(track: RemoteTrack): void {
  if (track.kind === Track.Kind.Audio) for (const element of track.detach()) element.remove();
}
