/** Going live: the destinations as they are, starting and stopping, and where to. */
import { byId, element, setText } from "../shared/dom";
import type { Box, LiveDestination } from "./state";
import type { Panel } from "./panel";
import { destinationWords } from "./words";

/** As many as the box takes. */
const MAX_OUTPUTS = 8;

interface Output {
  url: string;
  streamKey: string;
}

export class LiveCard {
  private readonly list = byId("live-destinations");
  private readonly form = byId<HTMLFormElement>("live-form");
  private readonly url = byId<HTMLInputElement>("live-url");
  private readonly key = byId<HTMLInputElement>("live-key");
  private readonly add = byId<HTMLButtonElement>("live-add");
  private readonly button = byId<HTMLButtonElement>("live-button");
  /** Where to go live; the keys are forgotten as soon as the box has them. */
  private outputs: Output[] = [];

  constructor(
    private readonly box: Box,
    private readonly panel: Panel,
  ) {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.outputs.push({ url: this.url.value.trim(), streamKey: this.key.value.trim() });
      this.form.reset();
      this.render();
    });
    this.button.addEventListener("click", () => void this.press());
  }

  private async press(): Promise<void> {
    const on = this.box.state?.live?.on !== true;
    const parameters = on && this.outputs.length > 0 ? { on, outputs: this.outputs } : { on };
    const pressed = this.panel.run("live.set", parameters);
    this.render();
    await pressed;
    // Refused or not yet reached, the box says which; once it is on it has the keys.
    if (this.box.state?.live?.on) this.outputs = [];
    this.render();
  }

  render(): void {
    const { state, connected } = this.box;
    const on = state?.live?.on === true;
    const busy = this.panel.isPending("live.set");
    this.button.disabled = !connected || busy;
    this.button.setAttribute("aria-pressed", String(on));
    this.button.dataset.state = on ? "on" : "off";
    setText(this.button, busy ? (on ? "Stopping…" : "Going live…") : on ? "Stop the stream" : "Go live");
    this.form.hidden = on;
    byId("live-hint").hidden = on || this.outputs.length > 0;
    this.add.disabled = this.outputs.length >= MAX_OUTPUTS;
    this.renderList(on ? (state?.live?.destinations ?? []) : undefined);
  }

  /** The destinations of the box; undefined: what was entered, whose buttons stay while nothing changes. */
  private renderList(destinations: LiveDestination[] | undefined): void {
    const shown = destinations ? "" : `waiting ${this.outputs.map((output) => output.url).join(" ")}`;
    if (shown !== "" && this.list.dataset.shown === shown) return;
    this.list.dataset.shown = shown;
    const rows = destinations?.map((to) => this.destination(to)) ?? this.waiting();
    this.list.replaceChildren(...rows);
    this.list.hidden = rows.length === 0;
  }

  private destination(to: LiveDestination): HTMLElement {
    const words = destinationWords(to, Date.now() + this.box.clockAheadMs);
    return element(
      "li",
      { "data-testid": "live-destination", "data-state": to.status, "data-tone": words.tone },
      element("strong", {}, to.url),
      element("span", { class: "text" }, words.text),
      words.detail ? element("span", { class: "quiet" }, words.detail) : null,
    );
  }

  /** What was entered and not sent yet. */
  private waiting(): HTMLElement[] {
    return this.outputs.map((output, index) => {
      const remove = element("button", { type: "button", class: "plain", "aria-label": `Remove ${output.url}` }, "Remove");
      remove.addEventListener("click", () => {
        this.outputs.splice(index, 1);
        this.render();
      });
      return element("li", { "data-tone": "off" }, element("strong", {}, output.url), remove);
    });
  }
}
