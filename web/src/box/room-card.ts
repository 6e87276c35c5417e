/** Joining and leaving a room, and links for its guests. */
import { byId, setText } from "../shared/dom";
import { formatMoment, parseTime } from "../shared/format";
import { BoxError, makeGuestLink, type GuestRight } from "./api";
import type { Box } from "./state";
import type { Panel } from "./panel";

/** What is said of a link that names nobody. */
const WHOSE: Record<GuestRight, string> = {
  join: "Any number of guests can use it",
  ask: "Any number of guests can use it and are let in by those in the room",
  moderate: "Whoever has it may mute, remove and end the room",
};

export class RoomCard {
  private readonly form = byId<HTMLFormElement>("join-form");
  private readonly name = byId<HTMLInputElement>("room-name");
  private readonly join = byId<HTMLButtonElement>("room-join");
  private readonly leave = byId<HTMLButtonElement>("room-leave");
  private readonly link = byId<HTMLAnchorElement>("guest-link");
  private readonly copy = byId<HTMLButtonElement>("copy-link");
  private readonly make = byId<HTMLButtonElement>("make-link");
  private readonly guest = byId<HTMLInputElement>("guest-name");
  private readonly may = byId<HTMLSelectElement>("guest-may");
  private readonly note = byId("guest-note");
  private linkRoom: string | undefined;
  private making = false;

  constructor(
    private readonly box: Box,
    private readonly panel: Panel,
  ) {
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.panel.run("room.join", { room: this.name.value.trim() }).then(() => this.render());
      this.render();
    });
    this.leave.addEventListener("click", () => {
      void this.panel.run("room.leave", {}).then(() => this.render());
      this.render();
    });
    this.copy.addEventListener("click", () => void this.copyLink());
    byId("guest-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const room = this.box.state?.room?.name;
      if (room !== undefined) void this.makeLink(room, this.guest.value.trim(), this.may.value as GuestRight);
    });
  }

  render(): void {
    const { state, connected } = this.box;
    const room = state?.room ?? undefined;
    this.form.hidden = room !== undefined;
    byId("joined").hidden = room === undefined;
    const busy = this.panel.isPending("room.join") || this.panel.isPending("room.leave");
    this.join.disabled = !connected || busy;
    this.leave.disabled = !connected || busy;
    setText(this.leave, room ? `Leave ${room.name}` : "Leave the room");
    setText(this.join, this.panel.isPending("room.join") ? "Joining…" : "Join");
    this.make.disabled = !connected || this.making;
    if (!room) this.forgetLink();
    else if (connected && this.linkRoom !== room.name) void this.makeLink(room.name, "", "join");
  }

  private forgetLink(): void {
    this.linkRoom = undefined;
    this.link.removeAttribute("href");
    setText(this.link, "…");
    this.copy.disabled = true;
  }

  private async makeLink(room: string, guest: string, may: GuestRight): Promise<void> {
    if (this.making) return;
    this.making = true;
    this.linkRoom = room;
    this.make.disabled = true;
    try {
      const made = await makeGuestLink(room, guest, may);
      if (this.linkRoom !== room) return;
      const address = made.url || new URL(made.path, location.href).href;
      this.link.href = address;
      setText(this.link, address);
      this.copy.disabled = false;
      const until = parseTime(made.expires_at);
      const whose = guest === "" ? WHOSE[may] : `A link for ${guest}`;
      setText(this.note, until === undefined ? `${whose}.` : `${whose}, valid until ${formatMoment(until)}.`);
      this.guest.value = "";
    } catch (error) {
      setText(this.note, error instanceof BoxError ? error.message : String(error));
    } finally {
      this.making = false;
      this.make.disabled = !this.box.connected;
    }
  }

  private async copyLink(): Promise<void> {
    const address = this.link.href;
    const done = (await copyText(address)) || this.selectLink();
    setText(this.copy, done === "selected" ? "Press Ctrl+C" : "Copied");
    setTimeout(() => setText(this.copy, "Copy"), 2500);
  }

  /** Last resort: marks the text so that the reader can copy it by hand. */
  private selectLink(): "selected" {
    getSelection()?.selectAllChildren(this.link);
    return "selected";
  }
}

/** The clipboard needs a secure origin; elsewhere the older way through a field is tried. */
async function copyText(text: string): Promise<"copied" | undefined> {
  try {
    await navigator.clipboard.writeText(text);
    return "copied";
  } catch {
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied ? "copied" : undefined;
  }
}
