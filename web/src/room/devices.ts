/** Camera and microphone before joining: asked for once, taken along into the room. */
import {
  createLocalAudioTrack,
  createLocalTracks,
  createLocalVideoTrack,
  LocalAudioTrack,
  LocalVideoTrack,
} from "livekit-client";
import type { Kind } from "./device-choice";
import { remember, remembered } from "./memory";
import { CAMERA, MICROPHONE } from "./options";
import { deviceErrorOf } from "./words";

/** The tracks that could be had, whether they are wanted, and why others are missing. */
export class LobbyDevices {
  camera: LocalVideoTrack | undefined;
  microphone: LocalAudioTrack | undefined;
  cameraWanted = true;
  microphoneWanted = true;
  problems: string[] = [];
  /** The speaker chosen here; undefined: the system's. */
  speaker: string | undefined = remembered("audiooutput");

  /** Whether the browser gives devices to this page at all: only on a secure origin. */
  static available(): boolean {
    return window.isSecureContext && typeof navigator.mediaDevices?.getUserMedia === "function";
  }

  /** Asks for what is not there yet; never throws, `problems` says what went wrong. */
  async ask(): Promise<void> {
    this.problems = [];
    if (!LobbyDevices.available()) return;
    if (!this.camera && !this.microphone && (await this.askTogether())) return;
    // One by one tells which of the two is missing.
    this.microphone ??= await this.one("microphone", () => createLocalAudioTrack(microphoneOptions()));
    this.camera ??= await this.one("camera", () => createLocalVideoTrack(cameraOptions()));
  }

  /** The device in use of one kind. */
  current(kind: Kind): string | undefined {
    if (kind === "audiooutput") return this.speaker;
    const track = kind === "audioinput" ? this.microphone : this.camera;
    return track?.mediaStreamTrack.getSettings().deviceId;
  }

  /** Changes to another device; throws when that one cannot be used. */
  async choose(kind: Kind, id: string): Promise<void> {
    try {
      if (kind === "audiooutput") this.speaker = id;
      else if (kind === "audioinput") await this.microphone?.setDeviceId({ exact: id });
      else await this.camera?.setDeviceId({ exact: id });
    } finally {
      this.dropEnded();
    }
    remember(kind, id);
    if (kind !== "audiooutput") await this.ask();
  }

  /** Forgets tracks whose device is gone, or was let go for another that could not be had. */
  dropEnded(): void {
    if (this.camera?.mediaStreamTrack.readyState === "ended") this.camera = undefined;
    if (this.microphone?.mediaStreamTrack.readyState === "ended") this.microphone = undefined;
  }

  /** One question for both, where both exist. False when they must be tried apart. */
  private async askTogether(): Promise<boolean> {
    try {
      for (const track of await createLocalTracks({ audio: microphoneOptions(), video: cameraOptions() })) {
        if (track instanceof LocalVideoTrack) this.camera = track;
        else if (track instanceof LocalAudioTrack) this.microphone = track;
      }
      return true;
    } catch (error) {
      // A refusal is an answer for both: asking again at once would only annoy.
      if (!(error instanceof DOMException) || error.name !== "NotAllowedError") return false;
      this.problems = [deviceErrorOf("camera", error), deviceErrorOf("microphone", error)];
      return true;
    }
  }

  private async one<T>(device: "camera" | "microphone", open: () => Promise<T>): Promise<T | undefined> {
    try {
      return await open();
    } catch (error) {
      this.problems.push(deviceErrorOf(device, error));
      return undefined;
    }
  }

  /** Lets go of the devices. */
  stop(): void {
    this.camera?.stop();
    this.microphone?.stop();
    this.camera = undefined;
    this.microphone = undefined;
  }
}

/** What was chosen on an earlier visit, if it is still there. */
function microphoneOptions() {
  const deviceId = remembered("audioinput");
  return deviceId === undefined ? MICROPHONE : { ...MICROPHONE, deviceId };
}

function cameraOptions() {
  const deviceId = remembered("videoinput");
  return deviceId === undefined ? CAMERA : { ...CAMERA, deviceId };
}
