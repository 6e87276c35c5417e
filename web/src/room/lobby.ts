/** The lobby: who joins which room, with which devices. */
import { byId, element, setText } from "../shared/dom";
import { icon } from "../shared/icons";
import { DeviceMenu } from "./device-menu";
import { LobbyDevices } from "./devices";
import { remember, remembered } from "./memory";
import { Meter } from "./meter";
import type { TokenSummary } from "./token";
import { nameProblemOf } from "./words";

/** Where the box listens for TLS unless its config says otherwise. */
const USUAL_TLS_PORT = 7443;

export class Lobby {
  private readonly joinButton = byId<HTMLButtonElement>("join");
  private readonly again = byId<HTMLButtonElement>("devices-again");
  private readonly video = byId<HTMLVideoElement>("preview-video");
  private readonly microphone = byId<HTMLButtonElement>("lobby-microphone");
  private readonly camera = byId<HTMLButtonElement>("lobby-camera");
  private readonly nameInput = byId<HTMLInputElement>("lobby-name-input");
  private readonly menu: DeviceMenu;
  private readonly meter = new Meter(byId("lobby-level"));
  private joining = false;
  private asking = false;

  constructor(
    room: string,
    private readonly summary: TokenSummary,
    private readonly devices: LobbyDevices,
    private readonly join: (name: string) => Promise<void>,
    stopWaiting: () => void,
  ) {
    this.menu = new DeviceMenu(byId("lobby-devices"), devices, (problem) => {
      if (problem !== undefined) this.devices.problems = [problem];
      this.showDevices();
    });
    byId("stop-waiting").addEventListener("click", stopWaiting);
    setText(byId("lobby-room"), room);
    setText(byId("lobby-name"), summary.name);
    byId("lobby-as").hidden = summary.name === "";
    byId("lobby-name-row").hidden = summary.name !== "";
    this.nameInput.value = remembered("name") ?? "";
    this.nameInput.addEventListener("keydown", (event) => {
      if (event.key === "Enter") void this.joinNow();
    });
    this.joinButton.addEventListener("click", () => void this.joinNow());
    this.again.addEventListener("click", () => void this.ask());
    this.microphone.addEventListener("click", () => this.toggle("microphone"));
    this.camera.addEventListener("click", () => this.toggle("camera"));
  }

  async start(): Promise<void> {
    (this.summary.name === "" ? this.nameInput : this.joinButton).focus();
    if (this.summary.canPublish) await this.ask();
    else this.render();
  }

  private async ask(): Promise<void> {
    this.asking = true;
    this.render();
    await this.devices.ask();
    this.asking = false;
    this.showDevices();
    await this.menu.render();
  }

  private showDevices(): void {
    this.devices.camera?.attach(this.video);
    this.render();
  }

  /** Somebody has to let the guest in; the devices can still be chosen meanwhile. */
  showWaiting(): void {
    byId("lobby-join").hidden = true;
    byId("lobby-waiting").hidden = false;
    byId("waiting-title").focus();
  }

  /** The call has the devices now. */
  close(): void {
    this.devices.camera?.detach(this.video);
    this.meter.follow(undefined);
  }

  private toggle(device: "camera" | "microphone"): void {
    const wanted = device === "camera" ? "cameraWanted" : "microphoneWanted";
    this.devices[wanted] = !this.devices[wanted];
    this.render();
  }

  private async joinNow(): Promise<void> {
    if (this.joining || this.joinButton.disabled) return;
    const name = this.summary.name === "" ? this.nameInput.value.trim() : "";
    const problem = nameProblemOf(name);
    setText(byId("lobby-name-problem"), problem ?? "");
    if (problem !== undefined) return this.nameInput.focus();
    if (name !== "") remember("name", name);
    this.joining = true;
    this.render();
    await this.join(name);
    this.joining = false;
  }

  private render(): void {
    const { camera, microphone, cameraWanted, microphoneWanted } = this.devices;
    const seen = camera !== undefined && cameraWanted;
    this.joinButton.disabled = this.joining || this.asking;
    const listenOnly = !this.asking && !camera && !microphone;
    setText(this.joinButton, this.joining ? "Joining…" : listenOnly ? "Join, listen only" : "Join");
    this.video.hidden = !seen;
    byId("preview-empty").hidden = seen;
    setText(byId("preview-empty"), this.emptyText());
    setText(byId("lobby-with"), this.asking ? "" : this.withText());
    renderToggle(this.microphone, "microphone", microphone !== undefined, microphoneWanted);
    renderToggle(this.camera, "camera", camera !== undefined, cameraWanted);
    this.meter.follow(microphoneWanted ? microphone?.mediaStreamTrack : undefined);
    this.renderProblems();
  }

  private emptyText(): string {
    if (this.asking) return "Asking for camera and microphone… Allow them if your browser asks.";
    return this.devices.camera ? "Your camera is off" : "No camera";
  }

  private withText(): string {
    const hear = this.devices.microphone && this.devices.microphoneWanted;
    const see = this.devices.camera && this.devices.cameraWanted;
    if (hear && see) return "The others see and hear you.";
    if (hear) return "The others hear you, but do not see you.";
    if (see) return "The others see you, but do not hear you.";
    return "You see and hear the others; they do not see or hear you.";
  }

  private renderProblems(): void {
    const box = byId("lobby-problems");
    const lines: HTMLElement[] = [];
    if (!this.summary.canPublish) {
      lines.push(element("p", {}, "This link is for watching and listening only."));
    } else if (!LobbyDevices.available()) {
      lines.push(...insecureOrigin());
    } else {
      lines.push(...this.devices.problems.map((problem) => element("p", {}, problem)));
    }
    this.again.hidden = this.devices.problems.length === 0 || this.asking;
    box.hidden = lines.length === 0 || this.asking;
    if (box.textContent !== lines.map((line) => line.textContent).join("")) box.replaceChildren(...lines);
  }
}

/** What to do on plain HTTP, with the link's secure twin ready to click. */
function insecureOrigin(): HTMLElement[] {
  const secure = `https://${location.hostname}:${USUAL_TLS_PORT}${location.pathname}`;
  return [
    element("p", {}, "This address is not secure, so the browser gives the page no camera and no microphone."),
    element(
      "p",
      {},
      "Open the secure one, usually ",
      element("a", { href: `${secure}${location.hash}` }, secure),
      ", or ask for a guest link that begins with https. The first visit may show a warning, because the box signs its own certificate.",
    ),
  ];
}

function renderToggle(button: HTMLButtonElement, device: "camera" | "microphone", present: boolean, wanted: boolean): void {
  const on = present && wanted;
  button.disabled = !present;
  button.setAttribute("aria-pressed", String(on));
  button.setAttribute("aria-label", `${device === "camera" ? "Camera" : "Microphone"} ${on ? "on" : "off"}`);
  button.dataset.state = on ? "on" : "off";
  button.replaceChildren(icon(on ? device : `${device}-off`));
}
