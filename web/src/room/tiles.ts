/** A tile for everybody in the room, and a large one for a shared screen. */
import { ConnectionQuality, Track, type Participant, type Room, type TrackPublication } from "livekit-client";
import { byId, element, setText } from "../shared/dom";
import { icon } from "../shared/icons";
import { isSilent } from "./controls";
import { fitGrid, initials, tileOrder } from "./layout";

const GAP = 8;

/** The elements of one tile and the track that plays in it. */
interface Tile {
  root: HTMLElement;
  video: HTMLVideoElement;
  name: HTMLElement;
  letters: HTMLElement;
  muted: HTMLElement;
  weak: HTMLElement;
  track: Track | undefined;
}

export class Tiles {
  private readonly tiles = new Map<string, Tile>();
  private readonly stage = byId("stage");
  private readonly grid = byId("grid");
  private readonly large = byId("large");

  constructor(private readonly room: Room) {
    new ResizeObserver(() => this.layOut()).observe(this.stage);
  }

  /** Brings the tiles to what the room is now. */
  render(): void {
    const { localParticipant } = this.room;
    const people: Participant[] = [...this.room.remoteParticipants.values(), localParticipant];
    people.sort((a, b) => tileOrder(placeOf(a), placeOf(b)));
    const keep = new Set<string>();
    for (const person of people) this.renderPerson(person, keep);
    for (const [key, tile] of this.tiles) {
      if (keep.has(key)) continue;
      tile.track?.detach(tile.video);
      tile.root.remove();
      this.tiles.delete(key);
    }
    this.arrange(people.map((person) => `tile-${person.identity}`));
    this.layOut();
  }

  private renderPerson(person: Participant, keep: Set<string>): void {
    const key = `tile-${person.identity}`;
    keep.add(key);
    const tile = this.tile(key);
    const called = person.name || person.identity;
    const label = person.isLocal ? `${called} (you)` : called;
    const silent = isSilent(person);
    setText(tile.name, label);
    setText(tile.letters, initials(called));
    tile.muted.hidden = !silent;
    const quality = person.connectionQuality;
    tile.weak.hidden = quality !== ConnectionQuality.Poor && quality !== ConnectionQuality.Lost;
    tile.root.classList.toggle("speaking", person.isSpeaking && !silent);
    tile.root.classList.toggle("mine", person.isLocal);
    const words = [label, silent ? "microphone off" : "", person.isSpeaking && !silent ? "speaking" : ""];
    tile.root.setAttribute("aria-label", words.filter((word) => word !== "").join(", "));
    this.play(tile, person.getTrackPublication(Track.Source.Camera));
    this.renderScreen(person, called, keep);
  }

  private renderScreen(person: Participant, called: string, keep: Set<string>): void {
    const publication = person.getTrackPublication(Track.Source.ScreenShare);
    if (!publication?.track || publication.isMuted) return;
    const key = `tile-${person.identity}-screen`;
    keep.add(key);
    const tile = this.tile(key);
    const label = person.isLocal ? "Your screen" : `Screen of ${called}`;
    setText(tile.name, label);
    tile.root.setAttribute("aria-label", label);
    tile.root.classList.add("screen");
    tile.muted.hidden = true;
    tile.weak.hidden = true;
    this.play(tile, publication);
  }

  /** Shows the publication's track, or the letters while there is no picture. */
  private play(tile: Tile, publication: TrackPublication | undefined): void {
    const track = publication && !publication.isMuted ? publication.track : undefined;
    if (track !== tile.track) {
      tile.track?.detach(tile.video);
      tile.track = track;
      if (track) track.attach(tile.video);
      else tile.video.srcObject = null;
    }
    tile.root.classList.toggle("no-picture", track === undefined);
  }

  private tile(key: string): Tile {
    const known = this.tiles.get(key);
    if (known) return known;
    const video = element("video", { playsinline: true, autoplay: true, "aria-hidden": "true" });
    video.muted = true;
    const name = element("span", { class: "tile-name" });
    const letters = element("span", { class: "tile-letters", "aria-hidden": "true" });
    const muted = element("span", { class: "tile-muted", title: "Microphone off" }, icon("microphone-off"));
    const weak = element("span", { class: "tile-weak", title: "Weak connection" }, icon("signal"));
    const foot = element("span", { class: "tile-foot" }, muted, weak, name);
    const root = element("div", { class: "tile", role: "listitem", "data-testid": key, id: key }, video, letters, foot);
    const made = { root, video, name, letters, muted, weak, track: undefined };
    this.tiles.set(key, made);
    return made;
  }

  /** Puts screens into the large place and everybody into the grid, moving only what must. */
  private arrange(order: string[]): void {
    const screens = [...this.tiles.entries()].filter(([key]) => !order.includes(key)).map(([, tile]) => tile.root);
    place(this.large, screens.slice(-1));
    const rest = screens.slice(0, -1);
    const people = order.map((key) => this.tiles.get(key)?.root).filter((root) => root !== undefined);
    place(this.grid, [...rest, ...people]);
    this.large.hidden = screens.length === 0;
    this.stage.classList.toggle("with-screen", screens.length > 0);
  }

  private layOut(): void {
    const { clientWidth, clientHeight } = this.stage;
    if (clientWidth === 0 || this.stage.classList.contains("with-screen")) return;
    const count = this.grid.childElementCount;
    const boxFirst = this.grid.firstElementChild?.id.startsWith("tile-box-") === true;
    const portrait = clientHeight > clientWidth * 1.2;
    const stacked = portrait && count > 2;
    // On a phone held upright the box gets the whole width and the others share the rest.
    const boxHeight = stacked && boxFirst ? Math.floor((clientWidth * 9) / 16) : 0;
    const restHeight = boxHeight > 0 ? clientHeight - boxHeight - GAP : clientHeight;
    const others = boxHeight > 0 ? count - 1 : count;
    const fit = fitGrid(others, clientWidth, restHeight, GAP, stacked ? 1 : 16 / 9, boxHeight > 0 ? 2 : 1);
    this.grid.classList.toggle("box-first", boxHeight > 0);
    this.grid.classList.toggle("stacked", stacked);
    this.grid.style.setProperty("--box-height", `${boxHeight}px`);
    this.grid.style.setProperty("--tile-width", `${fit.tileWidth}px`);
    this.grid.style.setProperty("--tile-height", `${fit.tileHeight}px`);
    this.grid.style.setProperty("--columns", String(fit.columns));
  }
}

function placeOf(person: Participant): { identity: string; local: boolean; joinedAtMs: number } {
  return { identity: person.identity, local: person.isLocal, joinedAtMs: person.joinedAt?.getTime() ?? 0 };
}

/** Makes the children of `parent` exactly these, touching none that already stands right. */
function place(parent: HTMLElement, children: HTMLElement[]): void {
  children.forEach((child, index) => {
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
  });
  while (parent.children.length > children.length) parent.lastElementChild?.remove();
}
