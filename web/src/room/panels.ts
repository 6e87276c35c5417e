/** Chat and people: beside the stage on a wide window, over it on a narrow one; one at a time. */
import { byId } from "../shared/dom";

export type PanelName = "chat" | "people";

const NAMES = ["chat", "people"] as const;
/** As in panel.css. */
const NARROW = window.matchMedia("(max-width: 700px)");

export class Panels {
  private open: PanelName | undefined;

  /** `changed` is told after every change. */
  constructor(private readonly changed: () => void) {
    for (const name of NAMES) {
      byId(`toggle-${name}`).addEventListener("click", () => this.show(this.open === name ? undefined : name));
      const panel = byId(name);
      panel.querySelector("[data-close]")?.addEventListener("click", () => this.show(undefined));
      panel.addEventListener("keydown", (event) => {
        if (event.key === "Escape") this.show(undefined);
      });
    }
    NARROW.addEventListener("change", () => this.cover());
  }

  isOpen(name: PanelName): boolean {
    return this.open === name;
  }

  /** Opens one and puts the focus into it; `undefined` closes it and puts the focus back on its button. */
  show(name: PanelName | undefined): void {
    const before = this.open;
    this.open = name;
    for (const one of NAMES) {
      byId(one).hidden = one !== name;
      byId(`toggle-${one}`).setAttribute("aria-expanded", String(one === name));
    }
    this.cover();
    this.changed();
    if (name) byId(name === "chat" ? "chat-input" : "people-title").focus();
    else if (before) byId(`toggle-${before}`).focus();
  }

  /** What lies under a panel can be neither seen nor reached. */
  private cover(): void {
    byId("stage").inert = this.open !== undefined && NARROW.matches;
  }
}
