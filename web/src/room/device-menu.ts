/** A choice for each kind of device; the lobby and the call have one each. */
import { element } from "../shared/dom";
import { choicesOf, KIND_NAMES, type Kind } from "./device-choice";
import { deviceErrorOf, plain } from "./words";

export interface DeviceOwner {
  /** The device in use. */
  current(kind: Kind): string | undefined;
  /** Changes to another; throws when that one cannot be used. */
  choose(kind: Kind, id: string): Promise<void>;
}

const KINDS = ["audioinput", "videoinput", "audiooutput"] as const;

export class DeviceMenu {
  private readonly selects = new Map<Kind, HTMLSelectElement>();

  /** `after` is told of every change that was tried, with what went wrong in words. */
  constructor(
    private readonly root: HTMLElement,
    private readonly owner: DeviceOwner,
    private readonly after: (problem: string | undefined) => void,
  ) {
    for (const kind of KINDS) {
      // Not every browser lets a page choose where its sound goes.
      if (kind === "audiooutput" && !("setSinkId" in HTMLMediaElement.prototype)) continue;
      const select = element("select", { "data-testid": `${root.id}-${kind}` });
      select.addEventListener("change", () => void this.choose(kind, select.value));
      this.selects.set(kind, select);
      root.append(element("label", {}, element("span", {}, KIND_NAMES[kind]), select));
    }
    navigator.mediaDevices?.addEventListener?.("devicechange", () => void this.render());
  }

  /** Shows what there is now; nothing while the browser does not say. */
  async render(): Promise<void> {
    const devices = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
    let any = false;
    for (const [kind, select] of this.selects) {
      const choices = choicesOf(devices, kind);
      const current = this.owner.current(kind);
      // Before the browser has been asked for a device it tells neither names nor which.
      const label = select.parentElement;
      if (label) label.hidden = choices.length === 0;
      any ||= choices.length > 0;
      const shown = JSON.stringify(choices);
      if (select.dataset.shown !== shown) {
        select.dataset.shown = shown;
        select.replaceChildren(...choices.map(({ id, label: name }) => element("option", { value: id }, name)));
      }
      if (current !== undefined && choices.some(({ id }) => id === current)) select.value = current;
    }
    this.root.hidden = !any;
  }

  private async choose(kind: Kind, id: string): Promise<void> {
    const select = this.selects.get(kind);
    select?.setAttribute("aria-busy", "true");
    try {
      await this.owner.choose(kind, id);
      this.after(undefined);
    } catch (error) {
      this.after(problemOf(kind, error));
    }
    select?.removeAttribute("aria-busy");
    await this.render();
  }
}

function problemOf(kind: Kind, error: unknown): string {
  if (kind === "audiooutput") return `The speaker cannot be used: ${plain(error)}`;
  return deviceErrorOf(kind === "audioinput" ? "microphone" : "camera", error);
}
