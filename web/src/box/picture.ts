/** The box's picture: by WebRTC while the box is in a room, else one JPEG a second. */
import type { RemoteTrack, RemoteTrackPublication, Room } from "livekit-client";
import { byId, setText } from "../shared/dom";
import { retryDelayMs } from "../shared/retry";
import { BoxError, getPicture, makeWatchToken } from "./api";

const JPEG_EVERY_MS = 1000;
const JUDGE_EVERY_MS = 500;
/** So many judgements in a row without a new frame, and the live picture counts as stopped. */
const STILL_LIMIT = 5;

/** Shows the picture in `#picture`; the attribute `data-mode` says how: jpeg, webrtc or none. */
export class Picture {
  private readonly frame = byId("picture");
  private readonly image = byId<HTMLImageElement>("picture-image");
  private readonly video = byId<HTMLVideoElement>("picture-video");
  private readonly label = byId("picture-mode");
  private readonly empty = byId("picture-empty");
  private address = "";
  private why = "";
  private wanted: string | undefined;
  private room: Room | undefined;
  private attempt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private frames = 0;
  private still = 0;
  private stopped = false;

  /** `boxIdentity` is the box's identity in the room, `box-<id>`. */
  constructor(private readonly boxIdentity: () => string | undefined) {}

  start(): void {
    const next = async () => {
      if (this.stopped) return;
      const began = performance.now();
      if (!document.hidden && this.frame.dataset.mode !== "webrtc") await this.refresh();
      setTimeout(() => void next(), Math.max(100, JPEG_EVERY_MS - (performance.now() - began)));
    };
    void next();
    setInterval(() => this.judgeLiveness(), JUDGE_EVERY_MS);
  }

  /** Ends everything, for a page that has nothing to show any more. */
  stop(): void {
    this.stopped = true;
    this.follow(undefined);
  }

  /** The room that the box is joined to, or undefined: WebRTC follows it. */
  follow(roomName: string | undefined): void {
    if (roomName === this.wanted) return;
    this.wanted = roomName;
    this.attempt = 0;
    this.stopWatching();
    this.why = "";
    if (roomName !== undefined) void this.watch(roomName);
    else this.useJpeg("");
  }

  private async refresh(): Promise<void> {
    try {
      const blob = await getPicture();
      const address = URL.createObjectURL(blob);
      const old = this.address;
      this.address = address;
      this.image.src = address;
      await this.image.decode().catch(() => undefined);
      if (old !== "") URL.revokeObjectURL(old);
      if (this.frame.dataset.mode !== "webrtc") this.show("jpeg", this.jpegLabel());
    } catch (error) {
      if (this.frame.dataset.mode === "webrtc") return;
      const message = error instanceof BoxError ? error.message : "The picture cannot be read.";
      setText(this.empty, `No picture. ${message}`);
      this.show("none", "");
    }
  }

  private jpegLabel(): string {
    return this.why === "" ? "1 picture a second" : `1 picture a second: ${this.why}`;
  }

  private show(mode: "jpeg" | "webrtc" | "none", label: string): void {
    this.frame.dataset.mode = mode;
    setText(this.label, label);
  }

  private async watch(roomName: string): Promise<void> {
    try {
      const { token } = await makeWatchToken(roomName);
      const room = await this.connect(token);
      if (this.wanted !== roomName) {
        void room.disconnect();
        return;
      }
      this.room = room;
    } catch (error) {
      const message = error instanceof Error ? error.message.replace(/\.$/, "") : "";
      this.fellBack(roomName, `live picture not available (${message || "no reason given"})`);
    }
  }

  /** Joins hidden and takes only the box's camera; the library loads when it is first needed. */
  private async connect(token: string): Promise<Room> {
    const { Room, RoomEvent, Track, setLogLevel } = await import("livekit-client");
    setLogLevel("error");
    const room = new Room({ adaptiveStream: true });
    const take = (publication: RemoteTrackPublication, identity: string) => {
      const box = this.boxIdentity();
      const isBox = box === undefined ? identity.startsWith("box-") : identity === box;
      if (isBox && publication.source === Track.Source.Camera) publication.setSubscribed(true);
    };
    room.on(RoomEvent.TrackPublished, (publication, participant) => take(publication, participant.identity));
    room.on(RoomEvent.TrackSubscribed, (track) => this.attach(track));
    room.on(RoomEvent.TrackUnsubscribed, (track) => {
      track.detach();
      this.useJpeg("the box sends no picture to the room");
    });
    room.on(RoomEvent.Disconnected, () => {
      if (this.room !== room || this.wanted === undefined) return;
      this.fellBack(this.wanted, "connection to the room lost");
    });
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    await room.connect(`${scheme}://${location.host}`, token, { autoSubscribe: false });
    for (const participant of room.remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) take(publication, participant.identity);
    }
    return room;
  }

  private attach(track: RemoteTrack): void {
    if (track.kind !== "video") return;
    track.attach(this.video);
  }

  /**
   * The JPEG stays until live frames really arrive and returns when they stop: a muted
   * camera and a broken network leave the last frame standing without any event.
   */
  private judgeLiveness(): void {
    const frames = this.video.getVideoPlaybackQuality().totalVideoFrames;
    const moving = this.video.srcObject !== null && frames !== this.frames;
    this.frames = frames;
    // A hidden page takes no frames: that says nothing about the box.
    this.still = moving || document.hidden ? 0 : this.still + 1;
    if (moving && frames > 0) {
      this.attempt = 0;
      this.show("webrtc", "Live");
    } else if (this.still >= STILL_LIMIT) {
      this.useJpeg("no live picture comes from the room");
    }
  }

  private useJpeg(why: string): void {
    this.why = why;
    if (this.frame.dataset.mode === "webrtc") this.show("jpeg", this.jpegLabel());
  }

  private fellBack(roomName: string, why: string): void {
    this.stopWatching();
    this.useJpeg(why);
    const delay = retryDelayMs(this.attempt, 2000, 30_000, Math.random());
    this.attempt += 1;
    this.timer = setTimeout(() => {
      if (this.wanted === roomName) void this.watch(roomName);
    }, delay);
  }

  private stopWatching(): void {
    clearTimeout(this.timer);
    const room = this.room;
    this.room = undefined;
    if (room) void room.disconnect();
  }
}
