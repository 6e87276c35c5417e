/** One message above the tiles: what did not work, or what somebody else has changed. */
import { byId, setText } from "../shared/dom";

/** How long it stays unless it is closed. */
const STAYS_MS = 15_000;

export class Notice {
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    byId("call-notice-close").addEventListener("click", () => this.hide());
  }

  show(message: string): void {
    byId("call-notice").hidden = false;
    setText(byId("call-notice-text"), message);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hide(), STAYS_MS);
  }

  private hide(): void {
    clearTimeout(this.timer);
    byId("call-notice").hidden = true;
    setText(byId("call-notice-text"), "");
  }
}
