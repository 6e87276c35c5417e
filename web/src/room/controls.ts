/** The bar: microphone, camera, screen, leave. */
import { Track, type Room } from "livekit-client";
import { byId, element, setText } from "../shared/dom";
import { icon, type IconName } from "../shared/icons";
import { deviceErrorOf, type Device } from "./words";

/** How long an error stays above the tiles. */
const ERROR_MS = 12_000;

/** What pressing each button does, in full, for those who cannot see its icon. */
const LABELS: Record<Device, { on: string; off: string }> = {
  microphone: { on: "Mute your microphone", off: "Unmute your microphone" },
  camera: { on: "Turn your camera off", off: "Turn your camera on" },
  screen: { on: "Stop sharing your screen", off: "Share your screen" },
};

export class Controls {
  private readonly pending = new Set<Device>();
  private errorTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly room: Room) {
    byId("toggle-microphone").addEventListener("click", () => void this.toggle("microphone"));
    byId("toggle-camera").addEventListener("click", () => void this.toggle("camera"));
    byId("toggle-screen").addEventListener("click", () => void this.toggle("screen"));
    byId("leave").addEventListener("click", () => void room.disconnect());
    byId("leave").replaceChildren(icon("leave"), element("span", {}, "Leave"));
  }

  /** Shows what did not work, for a while. */
  fail(message: string): void {
    const target = byId("call-error");
    setText(target, message);
    target.hidden = false;
    clearTimeout(this.errorTimer);
    this.errorTimer = setTimeout(() => (target.hidden = true), ERROR_MS);
  }

  private isOn(device: Device): boolean {
    const local = this.room.localParticipant;
    if (device === "microphone") return local.isMicrophoneEnabled;
    return device === "camera" ? local.isCameraEnabled : local.isScreenShareEnabled;
  }

  private async toggle(device: Device): Promise<void> {
    if (this.pending.has(device)) return;
    if (!window.isSecureContext) return this.fail(`The ${device} needs a secure address (https).`);
    this.pending.add(device);
    this.render();
    const on = !this.isOn(device);
    const local = this.room.localParticipant;
    try {
      if (device === "microphone") await local.setMicrophoneEnabled(on);
      else if (device === "camera") await local.setCameraEnabled(on);
      else await local.setScreenShareEnabled(on, { audio: true });
    } catch (error) {
      this.fail(deviceErrorOf(device, error));
    } finally {
      this.pending.delete(device);
      this.render();
    }
  }

  render(): void {
    const permissions = this.room.localParticipant.permissions;
    const may = permissions?.canPublish !== false;
    this.button("toggle-microphone", "microphone", "Mute", "Unmute", "microphone", "microphone-off", may);
    this.button("toggle-camera", "camera", "Camera off", "Camera on", "camera", "camera-off", may);
    this.button("toggle-screen", "screen", "Stop sharing", "Share", "screen", "screen", may);
    const canShare = typeof navigator.mediaDevices?.getDisplayMedia === "function";
    byId("toggle-screen").hidden = !canShare;
  }

  private button(id: string, device: Device, whenOn: string, whenOff: string, on: IconName, off: IconName, may: boolean): void {
    const target = byId<HTMLButtonElement>(id);
    const active = this.isOn(device);
    target.disabled = !may || this.pending.has(device);
    target.title = may ? "" : "This link is for watching and listening only.";
    const state = active ? "on" : "off";
    if (target.dataset.state === state) return;
    target.dataset.state = state;
    target.setAttribute("aria-label", active ? LABELS[device].on : LABELS[device].off);
    target.replaceChildren(icon(active ? on : off), element("span", {}, active ? whenOn : whenOff));
  }
}

/** Whether a participant's microphone is off or muted. */
export function isSilent(participant: { getTrackPublication(source: Track.Source): { isMuted: boolean } | undefined }): boolean {
  const publication = participant.getTrackPublication(Track.Source.Microphone);
  return publication === undefined || publication.isMuted;
}
