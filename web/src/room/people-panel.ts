/** The list of people, and what moderators do there. */
import { Track, type RemoteParticipant, type Room } from "livekit-client";
import { byId, element, setText } from "../shared/dom";
import { showButton } from "./controls";
import { confirmed } from "./dialogs";
import type { Moderation } from "./moderation";
import { ACTION_LABELS, actionsFor, remarks, rosterOrder, type Action, type Person } from "./people";
import { askingIn, calledOf, othersIn, personOf } from "./person";
import type { Rights } from "./token";
import { plain } from "./words";

interface Row {
  root: HTMLElement;
  name: HTMLElement;
  remarks: HTMLElement;
  actions: HTMLElement;
}

export class PeoplePanel {
  private readonly rows = new Map<string, Row>();
  private readonly list = byId("roster");

  constructor(
    private readonly room: Room,
    private readonly rights: Rights,
    private readonly moderation: Moderation,
    private readonly isOpen: () => boolean,
    private readonly notice: (message: string) => void,
  ) {
    byId("people-foot").hidden = !rights.moderate;
    byId("mute-all").addEventListener("click", () => void this.try(() => this.muteAll()));
    byId("end-room").addEventListener("click", () => void this.endRoom());
  }

  render(): void {
    const others = othersIn(this.room);
    const asking = this.rights.admit ? askingIn(this.room) : [];
    const waiting = asking.length > 0 ? `, ${asking.length} waiting to be let in` : "";
    const words = { text: ["People", "People"] as [string, string], label: `People, ${others.length + 1} in the room${waiting}` };
    showButton(byId("toggle-people"), { ...words, icon: "people" }, asking.length > 0 ? String(asking.length) : "");
    this.renderKnock(asking);
    if (this.isOpen()) keepFocus(byId("people"), () => this.renderLists(asking, others));
  }

  private renderLists(asking: RemoteParticipant[], others: RemoteParticipant[]): void {
    this.renderAsking(asking);
    const people = [...others, this.room.localParticipant].map(personOf);
    people.sort(rosterOrder);
    const there = new Set(people.map((person) => person.identity));
    for (const [identity, row] of this.rows) {
      if (there.has(identity)) continue;
      row.root.remove();
      this.rows.delete(identity);
    }
    people.forEach((person, index) => {
      const { root } = this.renderRow(person);
      const before = this.list.children[index] ?? null;
      if (root !== before) this.list.insertBefore(root, before);
    });
  }

  /** Above the tiles, as long as the list is closed: somebody stands before the door. */
  private renderKnock(asking: RemoteParticipant[]): void {
    const knock = byId("call-knock");
    knock.hidden = asking.length === 0 || this.isOpen();
    const first = asking[0];
    const words = asking.length > 1 ? `${asking.length} people ask to be let in` : first ? `${calledOf(first)} asks to be let in` : "";
    setText(byId("call-knock-text"), words);
  }

  private renderAsking(asking: RemoteParticipant[]): void {
    byId("waiting-people").hidden = asking.length === 0;
    const list = byId("waiting-list");
    const shown = JSON.stringify(asking.map((who) => [who.identity, calledOf(who)]));
    if (list.dataset.shown === shown) return;
    list.dataset.shown = shown;
    list.replaceChildren(...asking.map((who) => this.askingRow(who.identity, calledOf(who))));
  }

  private askingRow(identity: string, name: string): HTMLElement {
    const button = (label: string, deed: () => Promise<void>) => {
      const made = element("button", { type: "button", class: "small", "aria-label": `${label}: ${name}` }, label);
      made.addEventListener("click", () => void this.try(deed));
      return made;
    };
    const admit = button("Let in", () => this.moderation.admit(identity));
    const deny = button("Turn away", () => this.moderation.remove(identity));
    const actions = element("div", { class: "person-actions" }, admit, deny);
    return element("li", { "data-testid": `asking-${identity}` }, element("bdi", { class: "person-name" }, name), actions);
  }

  private renderRow(person: Person): Row {
    const row = this.row(person.identity);
    setText(row.name, person.local ? `${person.name} (you)` : person.name);
    setText(row.remarks, [person.box ? "the box" : "", ...remarks(person)].filter((word) => word !== "").join(", "));
    const actions = actionsFor(person, this.rights);
    const shown = actions.join(" ");
    if (row.actions.dataset.shown !== shown) {
      row.actions.dataset.shown = shown;
      row.actions.replaceChildren(...actions.map((action) => this.button(action, person)));
    }
    return row;
  }

  private row(identity: string): Row {
    const known = this.rows.get(identity);
    if (known) return known;
    const name = element("bdi", { class: "person-name" });
    const said = element("span", { class: "quiet" });
    const actions = element("div", { class: "person-actions" });
    const root = element("li", { "data-testid": `person-${identity}` }, element("p", {}, name), said, actions);
    const made = { root, name, remarks: said, actions };
    this.rows.set(identity, made);
    return made;
  }

  private button(action: Action, person: Person): HTMLElement {
    const label = ACTION_LABELS[action];
    const attributes = { type: "button", class: "small", "data-action": action, "aria-label": `${label}: ${person.name}` };
    const made = element("button", attributes, label);
    made.addEventListener("click", () => void this.act(action, person));
    return made;
  }

  private async act(action: Action, { identity, name }: Person): Promise<void> {
    const title = `Remove ${name}?`;
    const text = "They leave the room at once. With their link they could come back.";
    if (action === "remove" && !(await confirmed(title, text, "Remove"))) return;
    const person = this.room.remoteParticipants.get(identity);
    if (person) await this.try(() => this.perform(action, person));
  }

  private async perform(action: Action, person: RemoteParticipant): Promise<void> {
    const { moderation } = this;
    const track = (source: Track.Source) => person.getTrackPublication(source);
    switch (action) {
      case "mute":
        return moderation.mute(person.identity, track(Track.Source.Microphone));
      case "stop-camera":
        return moderation.mute(person.identity, track(Track.Source.Camera));
      case "stop-screen":
        return moderation.mute(person.identity, track(Track.Source.ScreenShare));
      case "to-viewer":
        return moderation.setMayPublish(person, false);
      case "to-stage":
        return moderation.setMayPublish(person, true);
      case "remove":
        return moderation.remove(person.identity);
    }
  }

  /** Everybody else, the box included. */
  private async muteAll(): Promise<void> {
    const loud = othersIn(this.room).filter((who) => who.isMicrophoneEnabled);
    const mute = (who: RemoteParticipant) =>
      this.moderation.mute(who.identity, who.getTrackPublication(Track.Source.Microphone));
    const outcomes = await Promise.allSettled(loud.map(mute));
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed) throw failed.reason;
  }

  private async endRoom(): Promise<void> {
    const text = "Everybody is removed, and a recording or broadcast of the room ends.";
    if (await confirmed("End the room for all?", text, "End for all")) await this.try(() => this.moderation.endRoom());
  }

  private async try(deed: () => Promise<void>): Promise<void> {
    try {
      await deed();
    } catch (error) {
      this.notice(plain(error));
    }
  }
}

/** Whoever has just used a button that is gone after a change goes on in its row, or else at the list's beginning. */
function keepFocus(panel: HTMLElement, change: () => void): void {
  const focused = document.activeElement;
  const row = panel.contains(focused) ? focused?.closest("li") : undefined;
  change();
  if (!row || panel.contains(document.activeElement)) return;
  const next = row.isConnected ? row.querySelector("button") : null;
  (next ?? byId("people-title")).focus();
}
