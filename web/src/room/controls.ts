/** The bar's devices: microphone, camera, screen, and leave. */
import { Track, type Room } from "livekit-client";
import { byId, element } from "../shared/dom";
import { icon, type IconName } from "../shared/icons";
import { deviceErrorOf, type Device } from "./words";

interface Words {
  /** On a wide bar, and on a narrow one. */
  text: [string, string];
  /** What pressing does, in full, for those who cannot see the icon. */
  label: string;
  icon: IconName;
}

const WORDS: Record<Device, { on: Words; off: Words }> = {
  microphone: {
    on: { text: ["Mute", "Mute"], label: "Mute your microphone", icon: "microphone" },
    off: { text: ["Unmute", "Unmute"], label: "Unmute your microphone", icon: "microphone-off" },
  },
  camera: {
    on: { text: ["Stop camera", "Camera"], label: "Stop camera", icon: "camera" },
    off: { text: ["Start camera", "Camera"], label: "Start camera", icon: "camera-off" },
  },
  screen: {
    on: { text: ["Stop sharing", "Stop"], label: "Stop sharing your screen", icon: "screen" },
    off: { text: ["Share", "Share"], label: "Share your screen", icon: "screen" },
  },
};

const DEVICES = ["microphone", "camera", "screen"] as const;

export class Controls {
  private readonly pending = new Set<Device>();

  constructor(
    private readonly room: Room,
    private readonly fail: (message: string) => void,
  ) {
    for (const device of DEVICES) byId(`toggle-${device}`).addEventListener("click", () => void this.toggle(device));
    byId("leave").addEventListener("click", () => void room.disconnect());
    showButton(byId("leave"), { text: ["Leave", "Leave"], label: "Leave the room", icon: "leave" });
  }

  /** Whether the reader has just changed this device here: what changes else was somebody else's doing. */
  isPending(device: Device): boolean {
    return this.pending.has(device);
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
      else await local.setScreenShareEnabled(on, { audio: true, selfBrowserSurface: "exclude" });
    } catch (error) {
      if (!(device === "screen" && changedMind(error))) this.fail(deviceErrorOf(device, error));
    } finally {
      this.pending.delete(device);
      this.render();
    }
  }

  render(): void {
    const may = this.room.localParticipant.permissions?.canPublish !== false;
    for (const device of DEVICES) {
      const target = byId<HTMLButtonElement>(`toggle-${device}`);
      const on = this.isOn(device);
      // A button that is pressed keeps the focus: it is not disabled while it works.
      target.disabled = !may;
      target.setAttribute("aria-busy", String(this.pending.has(device)));
      target.title = may ? "" : "You are a viewer: you see and hear the others.";
      target.dataset.state = on ? "on" : "off";
      showButton(target, on ? WORDS[device].on : WORDS[device].off);
    }
    byId("toggle-screen").hidden = typeof navigator.mediaDevices?.getDisplayMedia !== "function";
  }
}

/** Whoever closes the browser's own choice of screens knows that nothing is shared; a refusal by the system is told. */
function changedMind(error: unknown): boolean {
  return error instanceof DOMException && error.name === "NotAllowedError" && !/system/i.test(error.message);
}

/** An icon and words, and a small number that the label says too; touches the page only when they differ. */
export function showButton(target: HTMLElement, words: Words, badge = ""): void {
  const shown = [words.icon, words.label, badge].join("|");
  if (target.dataset.shown === shown) return;
  target.dataset.shown = shown;
  target.setAttribute("aria-label", words.label);
  const [wide, narrow] = words.text;
  target.replaceChildren(icon(words.icon), element("span", { class: "wide" }, wide), element("span", { class: "narrow" }, narrow));
  if (badge === "") delete target.dataset.badge;
  else target.dataset.badge = badge;
}

/** Whether a participant's microphone is off or muted. */
export function isSilent(participant: { getTrackPublication(source: Track.Source): { isMuted: boolean } | undefined }): boolean {
  const publication = participant.getTrackPublication(Track.Source.Microphone);
  return publication === undefined || publication.isMuted;
}
