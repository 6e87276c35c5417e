/** The call: connects, publishes, and keeps the page true to the room. */
import { RoomEvent, Track, type DisconnectReason, type Participant, type Room } from "livekit-client";
import { byId, element, setText } from "../shared/dom";
import { count } from "../shared/format";
import { CallDevices } from "./call-devices";
import { ChatPanel } from "./chat-panel";
import { ConnectionView } from "./connection-view";
import { Controls, showButton } from "./controls";
import type { LobbyDevices } from "./devices";
import { Moderation } from "./moderation";
import { Notice } from "./notice";
import { Panels } from "./panels";
import { PeoplePanel } from "./people-panel";
import { asksToJoin, boxSays, calledOf, othersIn, wasAsking } from "./person";
import { Tiles } from "./tiles";
import type { TokenSummary } from "./token";
import { WakeLock } from "./wake-lock";
import { deviceErrorOf, endingOf, plain, signOf, type Ending } from "./words";

/** Any of these may change what a tile, a list or a button shows. */
const REDRAW = [
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantNameChanged,
  RoomEvent.ParticipantPermissionsChanged,
  RoomEvent.ParticipantAttributesChanged,
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
  RoomEvent.TrackSubscriptionFailed,
  RoomEvent.ConnectionStateChanged,
  RoomEvent.RecordingStatusChanged,
] as const;

/** News kept for screen readers; older ones have been read out. */
const MAX_NEWS = 5;

/** What the page shows as the call goes on. */
export interface Stages {
  /** Somebody has to let the guest in. */
  waiting(): void;
  joined(): void;
  ended(ending: Ending): void;
}

export class Call {
  private readonly notice = new Notice();
  private readonly panels = new Panels(() => this.redraw());
  private readonly tiles: Tiles;
  private readonly controls: Controls;
  private readonly chat: ChatPanel;
  private readonly people: PeoplePanel;
  private readonly connection: ConnectionView;
  private readonly devices: CallDevices;
  private readonly wakeLock = new WakeLock();
  private state: "before" | "waiting" | "joined" | "over" = "before";
  private redrawAsked = false;

  constructor(
    private readonly room: Room,
    private readonly name: string,
    private readonly token: string,
    summary: TokenSummary,
    private readonly stages: Stages,
  ) {
    const fail = (message: string) => this.notice.show(message);
    const moderation = new Moderation(name, token);
    this.tiles = new Tiles(room);
    this.controls = new Controls(room, fail);
    this.chat = new ChatPanel(room, () => this.panels.isOpen("chat"), tell);
    this.people = new PeoplePanel(room, summary.rights, moderation, () => this.panels.isOpen("people"), fail);
    this.connection = new ConnectionView(room, tell);
    this.devices = new CallDevices(room);
    for (const event of REDRAW) room.on(event, () => this.redrawSoon());
    this.listen();
    byId("view").addEventListener("click", () => {
      this.tiles.setSpeakerView(!this.tiles.isSpeakerView);
      this.redraw();
    });
    for (const id of ["more", "call-knock-show"]) byId(id).addEventListener("click", () => this.panels.show("people"));
    byId("hear").addEventListener("click", () => {
      void room.startAudio().then(() => room.startVideo()).finally(() => this.renderPlayback());
    });
  }

  private listen(): void {
    const { room } = this;
    room.on(RoomEvent.TrackSubscribed, (track) => {
      if (track.kind === Track.Kind.Audio) byId("audio").append(track.attach());
    });
    room.on(RoomEvent.TrackUnsubscribed, (track) => {
      if (track.kind === Track.Kind.Audio) for (const heard of track.detach()) heard.remove();
    });
    room.on(RoomEvent.ParticipantConnected, (who) => tell(arrival(who)));
    room.on(RoomEvent.ParticipantAttributesChanged, (changed, who) => {
      if (!who.isLocal && wasAsking(changed)) tell(arrival(who));
    });
    room.on(RoomEvent.ParticipantDisconnected, (who) => asksToJoin(who) || tell(`${calledOf(who)} left`));
    room.on(RoomEvent.TrackMuted, (publication, who) => {
      if (who.isLocal) this.mutedByOthers(publication.source);
    });
    room.on(RoomEvent.ParticipantPermissionsChanged, (before, who) => {
      if (who.isLocal) this.permissionsChanged(before?.canPublish);
    });
    room.on(RoomEvent.AudioPlaybackStatusChanged, () => this.renderPlayback());
    room.on(RoomEvent.VideoPlaybackStatusChanged, () => this.renderPlayback());
    room.on(RoomEvent.Disconnected, (reason) => this.finish(reason));
  }

  /** Connects, waits to be let in where that is asked for, and publishes; throws when it cannot connect. */
  async join(url: string, devices: LobbyDevices, name: string): Promise<void> {
    const { room } = this;
    await room.connect(url, this.token);
    if (name !== "") void this.setName(name);
    if (asksToJoin(room.localParticipant)) {
      this.state = "waiting";
      this.stages.waiting();
      await this.admitted();
    }
    this.state = "joined";
    setText(byId("call-room"), this.name);
    document.title = this.name;
    this.stages.joined();
    this.redraw();
    this.renderPlayback();
    void this.wakeLock.hold();
    await this.devices.take(devices);
    await this.publish(devices);
    this.redraw();
  }

  /** Many guests may come by one link: each says their own name. */
  private async setName(name: string): Promise<void> {
    try {
      await this.room.localParticipant.setName(name);
    } catch (error) {
      this.notice.show(`The others do not see your name: ${plain(error)}`);
    }
  }

  private admitted(): Promise<void> {
    return new Promise((admitted) => {
      const look = () => {
        if (asksToJoin(this.room.localParticipant)) return;
        this.room.off(RoomEvent.ParticipantAttributesChanged, look);
        admitted();
      };
      this.room.on(RoomEvent.ParticipantAttributesChanged, look);
    });
  }

  /** A device that fails now costs its own track, never the call. */
  private async publish(devices: LobbyDevices): Promise<void> {
    devices.dropEnded();
    const { camera, microphone, cameraWanted, microphoneWanted } = devices;
    const local = this.room.localParticipant;
    const may = local.permissions?.canPublish !== false;
    if (camera && !(cameraWanted && may)) camera.stop();
    if (microphone && !(microphoneWanted && may)) microphone.stop();
    const [heard, seen] = await Promise.allSettled([
      microphone && microphoneWanted && may ? local.publishTrack(microphone) : undefined,
      camera && cameraWanted && may ? local.publishTrack(camera) : undefined,
    ]);
    if (heard.status === "rejected") this.notice.show(deviceErrorOf("microphone", heard.reason));
    if (seen.status === "rejected") this.notice.show(deviceErrorOf("camera", seen.reason));
  }

  private mutedByOthers(source: Track.Source): void {
    const device = source === Track.Source.Microphone ? "microphone" : source === Track.Source.Camera ? "camera" : undefined;
    if (device === undefined || this.state !== "joined" || this.controls.isPending(device)) return;
    this.notice.show(`Your ${device} is off now: a moderator turned it off, or the device is gone.`);
  }

  private permissionsChanged(couldPublish: boolean | undefined): void {
    const can = this.room.localParticipant.permissions?.canPublish !== false;
    if (this.state !== "joined" || couldPublish === undefined || couldPublish === can) return;
    this.notice.show(
      can
        ? "You may speak and show yourself now: turn on your microphone or camera."
        : "You are a viewer now: you see and hear the others, who do not see or hear you.",
    );
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
    if (this.state !== "joined") return;
    this.tiles.render();
    this.controls.render();
    this.chat.render();
    this.people.render();
    this.connection.render();
    this.devices.render();
    setText(byId("call-count"), count(othersIn(this.room).length + 1, "participant"));
    const sign = signOf(this.room.isRecording || boxSays(this.room, "recorded"), boxSays(this.room, "live"));
    byId("call-recording").hidden = sign === undefined;
    setText(byId("call-recording-text"), sign ?? "");
    this.renderView();
  }

  /** The button says what it changes to. */
  private renderView(): void {
    const grid = this.tiles.isSpeakerView;
    const label = grid ? "Grid view" : "Speaker view";
    showButton(byId("view"), { text: [label, label], label, icon: grid ? "grid" : "large" });
  }

  private renderPlayback(): void {
    const { room } = this;
    byId("hear").hidden = this.state !== "joined" || (room.canPlaybackAudio && room.canPlaybackVideo);
  }

  private finish(reason: DisconnectReason | undefined): void {
    if (this.state === "before" || this.state === "over") return;
    const waited = this.state === "waiting";
    this.state = "over";
    this.wakeLock.release();
    this.connection.stop();
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    byId("audio").replaceChildren();
    this.stages.ended(endingOf(reason, waited));
  }
}

function arrival(who: Participant): string {
  return `${calledOf(who)} ${asksToJoin(who) ? "asks to be let in" : "joined"}`;
}

/** Says something to screen readers. */
function tell(words: string): void {
  const news = byId("news");
  news.append(element("span", {}, `${words}. `));
  while (news.childElementCount > MAX_NEWS) news.firstElementChild?.remove();
}
