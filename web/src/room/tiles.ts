/** The stage: a tile for everybody and for each shared screen, the main one large. */
import { Track, type Participant, type Room } from "livekit-client";
import { byId, setText } from "../shared/dom";
import { count } from "../shared/format";
import { inSight, mainTile, merged, tileOrder, type Place } from "./follow";
import { arrange } from "./layout";
import { remarks } from "./people";
import { calledOf, othersIn, personOf, screenOf } from "./person";
import { Tile } from "./tile";

/** The key of somebody's tile; it also names the tile to tests. */
export function tileKey(identity: string): string {
  return `tile-${identity}`;
}

export class Tiles {
  private readonly tiles = new Map<string, Tile>();
  private readonly stage = byId("stage");
  private readonly list = byId("tiles");
  private readonly more = byId("more");
  /** When each spoke last, by the page's clock. */
  private readonly spoke = new Map<string, number>();
  private places: Place[] = [];
  /** The others' screens in the order in which they began. */
  private screens: string[] = [];
  private order: string[] = [];
  private main: string | undefined;
  private pinned: string | undefined;
  private speakerView = false;

  constructor(private readonly room: Room) {
    new ResizeObserver(() => this.layOut()).observe(this.list);
    setInterval(() => {
      for (const tile of this.tiles.values()) tile.watch(performance.now());
    }, 1000);
  }

  get isSpeakerView(): boolean {
    return this.speakerView;
  }

  setSpeakerView(on: boolean): void {
    this.speakerView = on;
    this.pinned = undefined;
    this.render();
  }

  isPinned(key: string): boolean {
    return this.pinned === key;
  }

  /** Keeps somebody large until somebody else is chosen, or nobody any more. */
  pin(key: string): void {
    this.pinned = this.pinned === key ? undefined : key;
    this.render();
  }

  /** Brings the tiles to what the room is now. */
  render(): void {
    this.places = [];
    for (const person of [...othersIn(this.room), this.room.localParticipant]) {
      this.showPerson(person);
      this.showScreen(person);
    }
    this.places.sort(tileOrder);
    const there = new Set(this.places.map((place) => place.key));
    for (const [key, tile] of this.tiles) {
      if (there.has(key)) continue;
      tile.remove();
      this.tiles.delete(key);
      this.spoke.delete(key);
    }
    this.screens = this.screens.filter((key) => there.has(key));
    this.order = merged(this.order, this.places);
    // Elements stay where they are; a newcomer's is put among them.
    this.places.forEach(({ key }, index) => {
      const root = this.tiles.get(key)?.root;
      const before = this.list.children[index] ?? null;
      if (root && root !== before) this.list.insertBefore(root, before);
    });
    this.layOut();
  }

  private showPerson(participant: Participant): void {
    const person = personOf(participant);
    const key = tileKey(participant.identity);
    this.places.push(placeOf(participant, key, person.box));
    const speaking = person.speaking && !person.silent;
    if (speaking) this.spoke.set(key, performance.now());
    const camera = participant.getTrackPublication(Track.Source.Camera);
    const track = camera && !camera.isMuted ? camera.track : undefined;
    const look = {
      label: person.local ? `${person.name} (you)` : person.name,
      letters: person.name,
      remarks: remarks(person),
      silent: person.silent,
      speaking,
      connection: person.connection,
      note: person.connection === "lost" ? "Connection lost" : "",
      mine: person.local,
      screen: false,
      box: person.box,
      pinned: this.pinned === key,
    };
    this.tile(key).show(look, track);
  }

  private showScreen(participant: Participant): void {
    const track = screenOf(participant);
    if (!track) return;
    const key = `screen-${participant.identity}`;
    this.places.push(placeOf(participant, key, false));
    if (!participant.isLocal && !this.screens.includes(key)) this.screens.push(key);
    const look = {
      label: participant.isLocal ? "Your screen" : `Screen of ${calledOf(participant)}`,
      letters: calledOf(participant),
      remarks: [],
      silent: false,
      speaking: false,
      connection: "good" as const,
      note: "",
      mine: false,
      screen: true,
      box: false,
      pinned: this.pinned === key,
    };
    this.tile(key).show(look, track);
  }

  private tile(key: string): Tile {
    const known = this.tiles.get(key);
    if (known) return known;
    const made = new Tile(key, () => this.pin(key));
    this.tiles.set(key, made);
    return made;
  }

  /** Gives every tile its place. */
  private layOut(): void {
    const { clientWidth, clientHeight } = this.list;
    if (clientWidth === 0 || this.places.length === 0) return;
    this.main = mainTile({
      pinned: this.pinned,
      screens: this.screens,
      speakerView: this.speakerView,
      speakers: this.room.activeSpeakers.filter((who) => !who.isLocal).map((who) => tileKey(who.identity)),
      before: this.main,
      all: this.order,
    });
    const { main } = this;
    const rects = arrange(this.order.length, clientWidth, clientHeight, main !== undefined);
    const others = this.order.filter((key) => key !== main);
    const inSightOnes = inSight(others, rects.length - (main === undefined ? 0 : 1), this.spoke, this.kept());
    const at = main === undefined ? -1 : this.order.indexOf(main);
    this.order = at < 0 ? inSightOnes : [...inSightOnes.slice(0, at), main ?? "", ...inSightOnes.slice(at)];
    const ranked = main === undefined ? inSightOnes : [main, ...inSightOnes];
    ranked.forEach((key, rank) => this.tiles.get(key)?.place(rects[rank], key === main));
    this.stage.dataset.main = main ?? "";
    const hidden = ranked.length - rects.length;
    this.more.hidden = hidden <= 0;
    setText(this.more, hidden > 0 ? `${count(hidden, "other")} out of sight` : "");
  }

  /** Never out of sight: the box, oneself, and shared screens. */
  private kept(): Set<string> {
    const kept = this.places.filter((place) => place.box || place.local || place.key.startsWith("screen-"));
    return new Set(kept.map((place) => place.key));
  }
}

function placeOf(participant: Participant, key: string, box: boolean): Place {
  return { key, local: participant.isLocal, box, joinedAtMs: participant.joinedAt?.getTime() ?? 0 };
}
