/** The devices of the call: taken over from the lobby, changed in a dialog. */
import { Track, type Room } from "livekit-client";
import { byId, setText } from "../shared/dom";
import { showButton } from "./controls";
import type { Kind } from "./device-choice";
import { DeviceMenu } from "./device-menu";
import type { LobbyDevices } from "./devices";
import { remember } from "./memory";
import { Meter } from "./meter";

export class CallDevices {
  private readonly dialog = byId<HTMLDialogElement>("devices");
  private readonly menu: DeviceMenu;
  private readonly meter = new Meter(byId("devices-level"));

  constructor(private readonly room: Room) {
    this.menu = new DeviceMenu(byId("call-devices"), this, (problem) => {
      setText(byId("devices-problem"), problem ?? "");
      this.measure();
    });
    byId("open-devices").addEventListener("click", () => {
      setText(byId("devices-problem"), "");
      void this.menu.render();
      this.measure();
      this.dialog.showModal();
    });
    this.dialog.addEventListener("close", () => this.meter.follow(undefined));
  }

  /** What was chosen in the lobby holds for tracks that are published later, too. */
  async take(devices: LobbyDevices): Promise<void> {
    for (const kind of ["audioinput", "videoinput", "audiooutput"] as const) {
      const id = devices.current(kind);
      // A speaker of an earlier visit may be gone: then the system's is used.
      if (id) await this.room.switchActiveDevice(kind, id, false).catch(() => undefined);
    }
  }

  current(kind: Kind): string | undefined {
    return this.room.getActiveDevice(kind);
  }

  async choose(kind: Kind, id: string): Promise<void> {
    await this.room.switchActiveDevice(kind, id);
    remember(kind, id);
  }

  render(): void {
    const may = this.room.localParticipant.permissions?.canPublish !== false;
    const label = may ? "Devices" : "Devices: choose your speaker";
    showButton(byId("open-devices"), { text: ["Devices", "Devices"], label, icon: "devices" });
  }

  private measure(): void {
    const publication = this.room.localParticipant.getTrackPublication(Track.Source.Microphone);
    this.meter.follow(publication?.isMuted === false ? publication.track?.mediaStreamTrack : undefined);
  }
}
